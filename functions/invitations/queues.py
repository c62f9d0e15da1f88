"""The queues that the application writes to.

A deferred message goes to the retry queue, or, when it is bulk, to the bulk queue; a failed or
invalid one goes to the dead-letter queue. Its body stays as it came. Beside it travel the
application's attributes, the trace header, and as many of the sender's attributes as fit.
"""

import base64
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invitations.batcher import MOST_MESSAGES, Batcher, Entry, send_batch, text_attributes
from invitations.errors import QueueUnavailableError
from invitations.messages import Message, RetryState
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
_MOST_ATTRIBUTES = 10


class MessageQueue:
    """One queue; threads send together. Every method raises QueueUnavailableError."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url
        self.name = url.rpartition("/")[2]
        self._batcher: Batcher[Entry, str | None] = Batcher(self._send_batch, MOST_MESSAGES)

    def defer(self, message: Message, state: RetryState, delay_seconds: int) -> None:
        """Put a copy of a message on the queue, to arrive after a delay."""
        came = _what_came_with(message, DEFERRED_ATTRIBUTES)
        entry = _entry(message.body, _state_texts(state), came)
        self._send({**entry, "DelaySeconds": delay_seconds})

    def send_dead_letter(self, message: Message, result: Result) -> None:
        """Put a copy of a failed or invalid message on the queue, with its result."""
        texts = {
            REQUEST_ID_ATTRIBUTE: result.request_id,
            SOURCE_ATTRIBUTE: result.source,
            "status": result.status,
            "reason": result.reason,
            "detail": result.detail or result.reason,
        }
        self._send(_entry(message.body, texts, _what_came_with(message, texts)))

    def send(
        self, requests: Sequence[tuple[str, RetryState]], order: Message | None = None
    ) -> None:
        """Put new requests on the queue: bodies with their states, and what came with their order.

        Some of them may be on the queue when it raises.
        """
        came = {} if order is None else _what_came_with(order, DEFERRED_ATTRIBUTES)
        entries = [_entry(body, _state_texts(state), came) for body, state in requests]
        for start in range(0, len(entries), MOST_MESSAGES):
            for refusal in self._send_batch(entries[start : start + MOST_MESSAGES]):
                _raise_if(refusal)

    def send_text(self, body: str, delay_seconds: int) -> None:
        """Put a message without attributes on the queue, to arrive after a delay."""
        self._send({"MessageBody": body, "DelaySeconds": delay_seconds})

    def _send(self, entry: Entry) -> None:
        _raise_if(self._batcher.submit(entry))

    def _send_batch(self, entries: Sequence[Entry]) -> list[str | None]:
        refusals = send_batch(
            lambda numbered: self._client.send_message_batch(QueueUrl=self._url, Entries=numbered),
            entries,
        )
        if len(entries) > 1 and "BatchRequestTooLong" in str(refusals[0]):
            # Each message fits into a call of its own.
            return [refusal for entry in entries for refusal in self._send_batch([entry])]
        return refusals


def _raise_if(refusal: str | None) -> None:
    if refusal is not None:
        raise QueueUnavailableError(f"a queue did not take a message: {refusal}")


def _state_texts(state: RetryState) -> dict[str, str]:
    # The request's name and source stay readable when SQS itself moves the message to the
    # dead-letter queue, from where a redrive believes no retry state.
    return {
        RETRY_STATE_ATTRIBUTE: state.to_json(),
        REQUEST_ID_ATTRIBUTE: state.request_id,
        SOURCE_ATTRIBUTE: state.source,
    }


def _entry(body: str, texts: Mapping[str, str], came: Mapping[str, Any]) -> Entry:
    attributes = text_attributes(texts) | came.get("MessageAttributes", {})
    return {**came, "MessageBody": body, "MessageAttributes": attributes}


def _what_came_with(message: Message, taken: Collection[str]) -> dict[str, Any]:
    """Return the trace header, and the sender's attributes that fit beside the `taken` names."""
    fitting = [name for name in message.attributes if name not in taken]
    fitting.sort(key=lambda name: name not in _TRACE_ATTRIBUTES)
    kept = fitting[: _MOST_ATTRIBUTES - len(taken)]
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
        came["MessageSystemAttributes"] = text_attributes({"AWSTraceHeader": message.trace_header})
    return came


def _as_sent(attribute: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an attribute from the form that Lambda delivers to the form that SQS takes."""
    sent: dict[str, Any] = {"DataType": attribute["dataType"]}
    if attribute.get("binaryValue") is not None:
        return {**sent, "BinaryValue": base64.b64decode(attribute["binaryValue"])}
    return {**sent, "StringValue": attribute["stringValue"]}
