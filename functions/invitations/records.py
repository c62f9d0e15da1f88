"""Records of an SQS event, read as messages."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from invitations.messages import Message, Pace, RetryState
from invitations.queues import (
    DEAD_LETTER_ATTRIBUTES,
    DEFERRED_ATTRIBUTES,
    REQUEST_ID_ATTRIBUTE,
    RETRY_STATE_ATTRIBUTE,
    SOURCE_ATTRIBUTE,
)
from invitations.requests import usable_id
from invitations.results import Source

# Lambda adds these to an asynchronous invocation that it puts into the dead-letter queue.
_INVOCATION_ATTRIBUTES = {"RequestID", "ErrorCode", "ErrorMessage"}
_ALWAYS_THERE = ("messageId", "body", "attributes", "eventSourceARN")
_ATTRIBUTES = ("SentTimestamp", "ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount")


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
                _check(record)
            return True
    return False


def _check(record: Mapping[str, Any]) -> None:
    attributes = record.get("attributes", {})
    missing = [name for name in _ALWAYS_THERE if name not in record]
    missing += [f"attributes.{name}" for name in _ATTRIBUTES if name not in attributes]
    if missing:
        raise UnsupportedEventError(
            f"A record of the SQS event has no {', '.join(missing)}, which SQS always sends; send "
            "the message to the request queue, or invoke the function with the request itself."
        )


def message_of(record: SQSRecord, retry_queue_name: str, bulk_queue_name: str) -> Message:
    """Read a record.

    Retry state is read from the retry queue and the bulk queue only: every sender may write to the
    request queue.
    """
    attributes = record.attributes
    given: Mapping[str, Any] = record.raw_event.get("messageAttributes") or {}
    message_id, source, state = record.message_id, Source.SQS, None
    own_names = {REQUEST_ID_ATTRIBUTE}
    if _text(given, SOURCE_ATTRIBUTE) in list(Source):
        # The message was redriven from the dead-letter queue.
        source = Source(_text(given, SOURCE_ATTRIBUTE))
        own_names = DEAD_LETTER_ATTRIBUTES
    elif given.keys() >= _INVOCATION_ATTRIBUTES:
        message_id = usable_id(_text(given, "RequestID")) or message_id
    queue_name = record.event_source_arn.rpartition(":")[2]
    if queue_name in (retry_queue_name, bulk_queue_name) and RETRY_STATE_ATTRIBUTE in given:
        state = RetryState.from_json(given[RETRY_STATE_ATTRIBUTE]["stringValue"])
        own_names = DEFERRED_ATTRIBUTES
    return Message(
        message_id=message_id,
        body=record.body,
        source=source,
        sent_at=int(attributes.sent_timestamp) / 1000,
        received_at=int(attributes.approximate_first_receive_timestamp) / 1000,
        receive_count=int(attributes.approximate_receive_count),
        pace=Pace.BULK if queue_name == bulk_queue_name else Pace.EVENT,
        retry_state=state,
        request_id=usable_id(_text(given, REQUEST_ID_ATTRIBUTE)),
        attributes={name: each for name, each in given.items() if name not in own_names},
        trace_header=attributes.aws_trace_header,
    )


def _text(attributes: Mapping[str, Any], name: str) -> Any:
    return attributes.get(name, {}).get("stringValue")
