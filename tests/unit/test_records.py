"""What is believed of an SQS record, and of which queue."""

from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from invitations.messages import Message, Pace, RetryState
from invitations.records import UnsupportedEventError, is_batch, message_of
from invitations.results import Source

STATE = RetryState("r1", Source.EVENTBRIDGE, asked_at=1_790_000_000.5, attempts=2)
OURS = {"request_id": "r0", "source": "sqs"}


def record(queue: str = "requests", **attributes: str) -> dict[str, Any]:
    """A record as SQS sends it, with these message attributes."""
    return {
        "messageId": "m1",
        "receiptHandle": "handle",
        "body": '{"user_id": "u1"}',
        "attributes": {
            "ApproximateReceiveCount": "3",
            "SentTimestamp": "1790000000500",
            "SenderId": "sender",
            "ApproximateFirstReceiveTimestamp": "1790000001000",
        },
        "messageAttributes": {
            name: {
                "stringValue": text,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "String",
            }
            for name, text in attributes.items()
        },
        "md5OfBody": "-",
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:eu-west-1:111122223333:{queue}",
        "awsRegion": "eu-west-1",
    }


def read(record: dict[str, Any]) -> Message:
    return message_of(SQSRecord(record), "retries", "bulk")


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in record().items() if key != name}


# Batches


def test_batch_of_sqs_is_recognised() -> None:
    assert is_batch({"Records": [record(), record()]})


@pytest.mark.parametrize(
    "event", [{"user_id": "u1"}, [], None, {"Records": []}, {"Records": [{"s3": {}}]}, [{}]]
)
def test_other_event_is_no_batch(event: object) -> None:
    assert not is_batch(event)


@pytest.mark.parametrize(
    ("odd", "missing"),
    [
        (without("body"), "body"),
        (without("eventSourceARN"), "eventSourceARN"),
        ({**record(), "attributes": {"SentTimestamp": "1"}}, "attributes.ApproximateFirstReceive"),
        (None, "messageId"),
        ({"attributes": None}, "messageId"),
    ],
)
def test_record_without_what_sqs_always_sends_is_an_error_that_names_it(
    odd: object, missing: str
) -> None:
    with pytest.raises(UnsupportedEventError, match=f"has no {missing}"):
        is_batch({"Records": [record(), odd]})


def test_array_of_records_is_an_error_and_no_success_for_pipes() -> None:
    with pytest.raises(UnsupportedEventError, match="let the pipe send to the request queue"):
        is_batch([record()])


# Messages


def test_message_has_what_the_record_says() -> None:
    message = read(record())

    assert (message.message_id, message.body) == ("m1", '{"user_id": "u1"}')
    assert (message.sent_at, message.received_at) == (1_790_000_000.5, 1_790_000_001.0)
    assert (message.source, message.receive_count) == ("sqs", 3)
    assert message.asked_at == message.sent_at
    assert (message.request_id, message.original_source, message.retry_state) == (None, None, None)


@pytest.mark.parametrize(
    "bare", [without("messageAttributes"), {**record(), "messageAttributes": None}]
)
def test_record_without_message_attributes_is_read(bare: dict[str, Any]) -> None:
    assert read(bare).attributes == {}


@pytest.mark.parametrize(
    ("queue", "pace"), [("requests", Pace.EVENT), ("retries", Pace.EVENT), ("bulk", Pace.BULK)]
)
def test_bulk_queue_alone_makes_bulk(queue: str, pace: Pace) -> None:
    assert read(record(queue)).pace == pace


@pytest.mark.parametrize("queue", ["retries", "bulk"])
def test_retry_state_is_believed_from_the_applications_own_queues(queue: str) -> None:
    message = read(record(queue, retry_state=STATE.to_json()))

    assert message.retry_state == STATE
    assert message.asked_at == STATE.asked_at


@pytest.mark.parametrize("queue", ["requests", "retries-2"])
@pytest.mark.parametrize("state", [STATE.to_json(), "{"])
def test_retry_state_on_another_queue_counts_for_nothing(queue: str, state: str) -> None:
    message = read(record(queue, retry_state=state))

    assert message.retry_state is None
    assert message.asked_at == message.sent_at


def test_unreadable_retry_state_raises_for_that_message() -> None:
    with pytest.raises(KeyError):
        read(record("retries", retry_state='{"unsaved": {}}'))


def test_redriven_messages_request_id_and_source_are_believed_from_the_request_queue() -> None:
    message = read(record(request_id="r0", source="sns"))

    assert (message.request_id, message.original_source) == ("r0", "sns")


@pytest.mark.parametrize(
    ("request_id", "source"), [(" ", "crm"), ("x" * 129, ""), ("r\u200b0", "SQS")]
)
def test_request_id_and_source_that_no_body_could_have_are_not_believed(
    request_id: str, source: str
) -> None:
    message = read(record(request_id=request_id, source=source))

    assert (message.request_id, message.original_source) == (None, None)


def test_binary_request_id_and_source_are_not_believed() -> None:
    odd = record()
    odd["messageAttributes"] = {
        name: {"binaryValue": "cjA=", "dataType": "Binary"} for name in ("request_id", "source")
    }

    assert (read(odd).request_id, read(odd).original_source) == (None, None)


def test_senders_attributes_and_trace_header_are_kept() -> None:
    traced = record(traceparent="00-ab", retry_state="x", request_id="r0", source="sqs")
    traced["attributes"]["AWSTraceHeader"] = "Root=1-5759e988-bd862e3fe1be46a994272793"
    message = read(traced)

    assert list(message.attributes) == ["traceparent"]
    assert message.attributes["traceparent"]["stringValue"] == "00-ab"
    assert message.trace_header == "Root=1-5759e988-bd862e3fe1be46a994272793"


@pytest.mark.parametrize(
    ("received", "kept"),
    [
        (record(**OURS, status="failed", reason="x", detail="y"), []),
        (record("retries", **OURS, retry_state=STATE.to_json(), reason="VIP"), ["reason"]),
        # A sender's own attributes may have the same names.
        (record(source="crm", reason="VIP"), ["source", "reason"]),
    ],
    ids=["redriven", "deferred", "new"],
)
def test_attributes_of_the_application_are_not_kept_as_the_senders(
    received: dict[str, Any], kept: list[str]
) -> None:
    assert list(read(received).attributes) == kept


def test_redriven_invocation_has_the_id_that_lambda_gave_it() -> None:
    attributes = {"RequestID": "7c2e", "ErrorCode": "200", "ErrorMessage": "down"}

    assert read(record(**attributes)).invocation_id == "7c2e"
    assert read(record(RequestID="a sender's")).invocation_id is None
