"""The queues that the application writes to.

A deferred message goes to the retry queue, or, when it is bulk, to the bulk queue; a failed or
invalid one goes to the dead-letter queue. Its body stays as it came. Beside it travel the
application's attributes, the trace header, and as many of the sender's attributes as fit.
"""

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from invitations.batcher import Batcher, refusals_of
from invitations.errors import QueueUnavailableError
from invitations.messages import MAX_DELAY_SECONDS, Message, RetryState
from invitations.observability import logger
from invitations.results import Result

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

RETRY_STATE_ATTRIBUTE = "retry_state"
REQUEST_ID_ATTRIBUTE = "request_id"
SOURCE_ATTRIBUTE = "source"
DEFERRED_ATTRIBUTES = {RETRY_STATE_ATTRIBUTE, REQUEST_ID_ATTRIBUTE, SOURCE_ATTRIBUTE}
"""The application's own attributes of a deferred message."""

DEAD_LETTER_ATTRIBUTES = DEFERRED_ATTRIBUTES | {"status", "reason", "detail"}
"""Those of a dead letter; SQS itself moves deferred messages there, too."""

# W3C's trace context: kept first when there are too many attributes.
_TRACE_ATTRIBUTES = ("traceparent", "tracestate")

MOST_AT_ONCE = 10
MOST_ATTRIBUTES = 10

Entry = Mapping[str, Any]
"""A message as SendMessageBatch takes it, but for its `Id`."""


class MessageQueue:
    """One queue; threads send together. Every method raises QueueUnavailableError."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url
        self.name = url.rpartition("/")[2]
        self._batcher: Batcher[Entry, str | None] = Batcher(self._send, MOST_AT_ONCE)

    def defer(self, message: Message, state: RetryState, delay_seconds: int) -> None:
        """Put a copy of a message on the queue, to arrive after a delay."""
        delay = min(max(delay_seconds, 0), MAX_DELAY_SECONDS)
        self._submit({**_copy(message, _state_texts(state)), "DelaySeconds": delay})

    def send_dead_letter(self, message: Message, result: Result) -> None:
        """Put a copy of a failed or invalid message on the queue, with its result."""
        texts = {
            REQUEST_ID_ATTRIBUTE: result.request_id,
            SOURCE_ATTRIBUTE: result.source,
            "status": result.status,
            "reason": result.reason,
            "detail": result.detail or result.reason,
        }
        self._submit(_copy(message, texts))

    def send(
        self, requests: Sequence[tuple[str, RetryState]], order: Message | None = None
    ) -> None:
        """Put new requests on the queue: bodies with their states, and what came with their order.

        Some of them may be on the queue when it raises.
        """
        came = {} if order is None else _what_came_with(order, DEFERRED_ATTRIBUTES)
        for start in range(0, len(requests), MOST_AT_ONCE):
            refusals = self._send(
                [
                    _entry(body, _state_texts(state), came)
                    for body, state in requests[start : start + MOST_AT_ONCE]
                ]
            )
            for refusal in filter(None, refusals):
                raise _unavailable(refusal)

    def send_text(self, body: str, delay_seconds: int) -> None:
        """Put a message without attributes on the queue, to arrive after a delay."""
        self._submit({"MessageBody": body, "DelaySeconds": min(delay_seconds, MAX_DELAY_SECONDS)})

    def _submit(self, entry: Entry) -> None:
        refusal = self._batcher.submit(entry)
        if refusal is not None:
            raise _unavailable(refusal)

    def _send(self, entries: Sequence[Entry]) -> Sequence[str | None]:
        """Send messages; return for each why it was refused, or None."""
        numbered: list[Any] = [{**entry, "Id": str(n)} for n, entry in enumerate(entries)]
        try:
            answer = self._client.send_message_batch(QueueUrl=self._url, Entries=numbered)
        except (BotoCoreError, ClientError) as error:
            if "BatchRequestTooLong" in str(error) and len(entries) > 1:
                # Each message fits into a call of its own.
                return [refusal for entry in entries for refusal in self._send([entry])]
            return [str(error)] * len(entries)
        return refusals_of(answer, len(entries))


def _state_texts(state: RetryState) -> dict[str, str]:
    # The request's name and source stay readable when SQS itself moves the message to the
    # dead-letter queue, from where a redrive believes no retry state.
    return {
        RETRY_STATE_ATTRIBUTE: state.to_json(),
        REQUEST_ID_ATTRIBUTE: state.request_id,
        SOURCE_ATTRIBUTE: state.source,
    }


def _copy(message: Message, texts: Mapping[str, str]) -> dict[str, Any]:
    return _entry(message.body, texts, _what_came_with(message, texts.keys()))


def _entry(body: str, texts: Mapping[str, str], came: Mapping[str, Any]) -> dict[str, Any]:
    attributes = {**_texts(texts), **came.get("MessageAttributes", {})}
    return {**came, "MessageBody": body, "MessageAttributes": attributes}


def _what_came_with(message: Message, taken: Collection[str]) -> dict[str, Any]:
    """Return the trace header, and the sender's attributes that fit beside the `taken` names."""
    room = MOST_ATTRIBUTES - len(taken)
    fitting = [name for name in message.attributes if name not in taken]
    kept = sorted(fitting, key=lambda name: name not in _TRACE_ATTRIBUTES)[:room]
    dropped = [name for name in message.attributes if name not in kept]
    if dropped:
        logger.warning(
            "message attributes dropped",
            extra={"message_id": message.message_id, "dropped": dropped},
        )
    came: dict[str, Any] = {
        "MessageAttributes": {name: _as_sent(message.attributes[name]) for name in kept}
    }
    if message.trace_header:
        came["MessageSystemAttributes"] = _texts({"AWSTraceHeader": message.trace_header})
    return came


def _texts(texts: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"DataType": "String", "StringValue": text} for name, text in texts.items()}


def _as_sent(attribute: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an attribute from the form that Lambda delivers to the form that SQS takes."""
    sent: dict[str, Any] = {"DataType": attribute["dataType"]}
    if attribute.get("binaryValue") is not None:
        return {**sent, "BinaryValue": base64.b64decode(attribute["binaryValue"])}
    return {**sent, "StringValue": attribute["stringValue"]}


def _unavailable(why: str) -> QueueUnavailableError:
    return QueueUnavailableError(f"a queue did not take a message: {why}")
