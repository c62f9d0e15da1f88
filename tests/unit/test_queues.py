"""What is believed of an SQS record, and of which queue."""

from dataclasses import replace
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from invitations.messages import Message, Pace, RetryState
from invitations.queues import UnsupportedEventError, is_batch, message_of
from tests.fakes import StoredMessage, text_attribute

NEW = RetryState(asked_at=1_790_000_000.5)
STATE = replace(NEW, attempts=2)
BODY = '{"user_id": "u1"}'
BINARY = {"binaryValue": "cjA=", "dataType": "Binary"}
OURS = {"request_id": "r0", "source": "sqs"}


def record(queue: str = "requests", **attributes: str) -> dict[str, Any]:
    """A record as SQS sends it, with these message attributes."""
    given = {name: text_attribute(text) for name, text in attributes.items()}
    stored = StoredMessage(queue, "m1", BODY, given, sent_at=1_790_000_000.5)
    return stored.record(1_790_000_001.0, receive_count=3)


def read(record: dict[str, Any]) -> Message:
    return message_of(SQSRecord(record), "retries", "bulk")


WITHOUT_BODY = {name: each for name, each in record().items() if name != "body"}

# Batches


@pytest.mark.parametrize("event", [{"user_id": "u1"}, [], None, {"Records": [{"s3": {}}]}, [{}]])
def test_batch_of_sqs_alone_is_recognised(event: object) -> None:
    assert is_batch({"Records": [record(), record()]})
    assert not is_batch(event)


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({"Records": [record(), WITHOUT_BODY]}, "has no body"),
        ({"Records": [record(), {**record(), "attributes": {}}]}, "no SentTimestamp"),
        # A success would tell EventBridge Pipes that the records were carried out.
        ([record()], "let the pipe send to the request queue"),
    ],
)
def test_records_that_nobody_can_report_on_are_an_error(event: object, sentence: str) -> None:
    with pytest.raises(UnsupportedEventError, match=sentence):
        is_batch(event)


# Messages


@pytest.mark.parametrize(
    ("queue", "pace", "state"),
    [
        ("retries", Pace.EVENT, STATE),
        ("bulk", Pace.BULK, STATE),
        ("requests", Pace.EVENT, NEW),
        ("retries-2", Pace.EVENT, NEW),
    ],
)
def test_retry_state_is_believed_from_the_applications_own_queues_alone(
    queue: str, pace: Pace, state: RetryState
) -> None:
    message = read(record(queue, retry_state=STATE.to_json()))

    assert (message.pace, message.state) == (pace, state)


@pytest.mark.parametrize(
    ("received", "believed"),
    [
        (record(request_id="r0", source="sns"), ("r0", "sns")),
        (record(request_id=" ", source="crm"), (None, "sqs")),
        (record(request_id="r\u200b0", source=""), (None, "sqs")),
        (record() | {"messageAttributes": dict.fromkeys(OURS, BINARY)}, (None, "sqs")),
    ],
)
def test_redriven_messages_request_id_and_source_are_believed_if_a_body_could_have_them(
    received: dict[str, Any], believed: tuple[str | None, str | None]
) -> None:
    message = read(received)

    assert (message.given_request_id, message.source) == believed


@pytest.mark.parametrize(
    ("received", "kept"),
    [
        # Redriven
        (record(**OURS, traceparent="x", status="failed", reason="y", detail="z"), ["traceparent"]),
        # Deferred
        (record("retries", **OURS, retry_state=STATE.to_json(), reason="VIP"), ["reason"]),
        # New: a sender's own attributes may have names of a dead letter's.
        (record(source="crm", reason="VIP", vip="yes"), ["reason", "vip"]),
    ],
)
def test_senders_attributes_are_kept_and_the_applications_are_not(
    received: dict[str, Any], kept: list[str]
) -> None:
    attributes = read(received).attributes

    assert attributes == {name: received["messageAttributes"][name] for name in kept}


def test_message_of_the_application_has_the_id_of_its_request() -> None:
    assert read(record("bulk", **OURS, retry_state=STATE.to_json())).message_id == "r0"
    assert read(record(**OURS)).message_id == "m1"


def test_redriven_invocation_has_the_id_that_lambda_gave_it() -> None:
    attributes = {"RequestID": "7c2e", "ErrorCode": "200", "ErrorMessage": "down"}

    assert read(record(**attributes)).message_id == "7c2e"
    # A second redrive: the result of the first must not change.
    assert read(record(source="direct", **attributes)).message_id == "m1"
    assert read(record(RequestID="a sender's")).message_id == "m1"
