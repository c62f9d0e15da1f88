"""The queues: batches that come in, and messages that the application reads and writes.

A deferred message goes to the retry queue, or, when it is bulk, to the bulk queue; a failed or
invalid one goes to the dead-letter queue. Its body stays as it came. Beside it travel the
application's attributes, the trace header, and as many of the sender's attributes as fit.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invitations.batcher import BatchSender, Entry, text_attributes
from invitations.errors import QueueUnavailableError
from invitations.messages import Message, Pace, RetryState
from invitations.observability import logger
from invitations.requests import usable_id
from invitations.results import Result, Source

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from mypy_boto3_sqs.client import SQSClient

# The application's own attributes of a deferred message, and of a dead letter.
_OF_DEFERRED = {"retry_state", "request_id", "source"}
_OF_DEAD_LETTERS = _OF_DEFERRED | {"status", "reason", "detail"}
# W3C's trace context: kept first when there are too many attributes.
_TRACE_ATTRIBUTES = ("traceparent", "tracestate")
_MOST_ATTRIBUTES = 10
# Lambda adds these to an asynchronous invocation that it puts into the dead-letter queue.
_INVOCATION_ATTRIBUTES = {"RequestID", "ErrorCode", "ErrorMessage"}

# Of a record and of its `attributes`.
_ALWAYS_THERE = ("messageId", "body", "attributes", "eventSourceARN")
_ATTRIBUTES = ("SentTimestamp", "ApproximateReceiveCount")


class UnsupportedEventError(Exception):
    """The function was invoked with records that it must not report as carried out."""


def is_batch(event: Any) -> bool:
    """Return whether an event is a batch of SQS.

    Raises UnsupportedEventError for one that lacks what SQS always sends, and for a bare array of
    records, whose sender would take any answer for success.
    """
    match event:
        case [{"body": _}, *_]:
            raise UnsupportedEventError(
                "The event is an array of records, as EventBridge Pipes send it; let the pipe send "
                "to the request queue."
            )
        case {"Records": [{"eventSource": "aws:sqs"}, *_] as records}:
            for record in records:
                given = {*record, *record.get("attributes", {})}
                missing = [name for name in _ALWAYS_THERE + _ATTRIBUTES if name not in given]
                if missing:
                    raise UnsupportedEventError(
                        f"A record of the SQS event has no {', '.join(missing)}, which SQS always "
                        "sends; send the message to the request queue, or invoke the function with "
                        "the request itself."
                    )
            return True
    return False


def message_of(record: "SQSRecord", retry_queue_name: str, bulk_queue_name: str) -> Message:
    """Read a record.

    Retry state is read from the retry queue and the bulk queue only: every sender may write to the
    request queue.
    """
    attributes = record.attributes
    given: Mapping[str, Any] = record.raw_event.get("messageAttributes") or {}
    texts = {name: each.get("stringValue") for name, each in given.items()}
    request_id, message_id = usable_id(texts.get("request_id")), record.message_id
    state = RetryState(asked_at=int(attributes.sent_timestamp) / 1000)
    is_known_source = texts.get("source") in list(Source)
    # On the request queue, a known source says that the message was redriven.
    own_names = _OF_DEAD_LETTERS if is_known_source else _OF_DEFERRED
    queue_name = record.event_source_arn.rpartition(":")[2]
    if queue_name in (retry_queue_name, bulk_queue_name) and "retry_state" in texts:
        state, message_id = RetryState.from_json(texts["retry_state"]), request_id or message_id
        own_names = _OF_DEFERRED
    elif not is_known_source and texts.keys() >= _INVOCATION_ATTRIBUTES:
        message_id = usable_id(texts["RequestID"]) or message_id
    return Message(
        message_id=message_id,
        body=record.body,
        source=Source(texts["source"]) if is_known_source else Source.SQS,
        state=state,
        given_request_id=request_id,
        receive_count=int(attributes.approximate_receive_count),
        pace=Pace.BULK if queue_name == bulk_queue_name else Pace.EVENT,
        attributes={name: each for name, each in given.items() if name not in own_names},
        trace_header=attributes.aws_trace_header,
    )


class MessageQueue:
    """One queue; threads send together. Every method raises QueueUnavailableError."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self.name = url.rpartition("/")[2]
        self._sender = BatchSender(
            lambda entries: client.send_message_batch(QueueUrl=url, Entries=entries),
            QueueUnavailableError,
        )

    def defer(self, message: Message, delay_seconds: int) -> None:
        """Put a copy of a message on the queue, to arrive after a delay."""
        self._sender.send({**_copy(message), "DelaySeconds": delay_seconds})

    def send_all(self, messages: Sequence[Message]) -> None:
        """Put new messages on the queue; some of them may be on it when this method raises."""
        self._sender.send_all([_copy(each) for each in messages])

    def send_dead_letter(self, message: Message, result: Result) -> None:
        """Put a copy of a failed or invalid message on the queue, with its result."""
        texts = {
            "request_id": result.request_id,
            "source": result.source,
            "status": result.status,
            "reason": result.reason,
            "detail": result.detail or result.reason,
        }
        self._sender.send(_entry(message, texts))

    def send_text(self, body: str, delay_seconds: int) -> None:
        """Put a message without attributes on the queue, to arrive after a delay."""
        self._sender.send({"MessageBody": body, "DelaySeconds": delay_seconds})


def _copy(message: Message) -> Entry:
    texts = {
        "retry_state": message.state.to_json(),
        # Not part of the retry state: a redrive from the dead-letter queue, where SQS itself may
        # move the message, believes these two and no retry state.
        "request_id": message.request_id,
        "source": message.source,
    }
    return _entry(message, texts)


def _entry(message: Message, texts: Mapping[str, str]) -> Entry:
    """Return a message as SQS takes it, with the sender's attributes that fit beside `texts`."""
    names = [name for name in message.attributes if name not in texts]
    names.sort(key=lambda name: name not in _TRACE_ATTRIBUTES)
    room = _MOST_ATTRIBUTES - len(texts)
    kept, dropped = names[:room], names[room:]
    if dropped:
        logger.warning(
            "message attributes dropped",
            extra={"message_id": message.message_id, "dropped": dropped},
        )
    attributes = {name: _as_sent(message.attributes[name]) for name in kept}
    entry = {"MessageBody": message.body, "MessageAttributes": attributes | text_attributes(texts)}
    if message.trace_header:
        entry["MessageSystemAttributes"] = text_attributes({"AWSTraceHeader": message.trace_header})
    return entry


def _as_sent(attribute: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an attribute from the form that Lambda delivers to the form that SQS takes."""
    sent: dict[str, Any] = {"DataType": attribute["dataType"]}
    if attribute.get("binaryValue") is not None:
        return {**sent, "BinaryValue": base64.b64decode(attribute["binaryValue"])}
    return {**sent, "StringValue": attribute["stringValue"]}
