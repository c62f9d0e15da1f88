"""What is believed of an SQS record, and of which queue."""

import json
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from invitations.messages import Message, Pace, RetryState
from invitations.records import UnsupportedEventError, is_batch, message_of
from invitations.results import Source

CASES = Path(__file__).parents[1] / "cases"
STATE = RetryState("r1", Source.EVENTBRIDGE, asked_at=1_790_000_000.5, attempts=2)


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
    "event",
    [{"user_id": "u1"}, {}, [], None, "text", 7, {"Records": []}, {"Records": [{"s3": {}}]}, [{}]],
)
def test_other_event_is_no_batch(event: object) -> None:
    assert not is_batch(event)


@pytest.mark.parametrize("name", ["messageId", "body", "attributes", "eventSourceARN"])
def test_record_without_a_field_that_sqs_always_sends_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(UnsupportedEventError, match=f"has no {name}"):
        is_batch({"Records": [record(), without(name)]})


@pytest.mark.parametrize(
    "name", ["SentTimestamp", "ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount"]
)
def test_record_without_an_attribute_that_sqs_always_sends_is_an_error_that_names_it(
    name: str,
) -> None:
    trimmed = record()
    del trimmed["attributes"][name]

    with pytest.raises(UnsupportedEventError, match=rf"has no attributes\.{name}, which"):
        is_batch({"Records": [trimmed]})


@pytest.mark.parametrize("odd", ["text", None, 7, [], {"attributes": None}])
def test_record_that_is_none_is_an_error(odd: object) -> None:
    with pytest.raises(UnsupportedEventError, match="has no messageId"):
        is_batch({"Records": [record(), odd]})


@pytest.mark.parametrize(
    ("case", "missing"),
    [
        ("52-trimmed-console-sqs-event", "attributes, eventSourceARN, attributes.SentTimestamp"),
        ("52b-sqs-record-without-message-id", "messageId, eventSourceARN"),
    ],
)
def test_case_of_a_trimmed_event_names_what_is_missing(case: str, missing: str) -> None:
    event = json.loads((CASES / f"{case}.json").read_text(encoding="utf-8"))

    with pytest.raises(UnsupportedEventError, match=f"has no {missing}"):
        is_batch(event)


def test_array_of_records_is_an_error_and_no_success_for_pipes() -> None:
    with pytest.raises(UnsupportedEventError, match="let the pipe send to the request queue"):
        is_batch([record()])


def test_consoles_sample_event_is_read() -> None:
    event = {
        "Records": [
            {
                "messageId": "19dd0b57-b21e-4ac1-bd88-01bbb068cb78",
                "receiptHandle": "MessageReceiptHandle",
                "body": "Hello from SQS!",
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1523232000000",
                    "SenderId": "123456789012",
                    "ApproximateFirstReceiveTimestamp": "1523232000001",
                },
                "messageAttributes": {},
                "md5OfBody": "{{{md5_of_body}}}",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:MyQueue",
                "awsRegion": "us-east-1",
            }
        ]
    }

    assert is_batch(event)
    assert read(event["Records"][0]).body == "Hello from SQS!"


# Messages


def test_message_has_what_the_record_says() -> None:
    message = read(record())

    assert (message.message_id, message.body) == ("m1", '{"user_id": "u1"}')
    assert (message.sent_at, message.received_at) == (1_790_000_000.5, 1_790_000_001.0)
    assert (message.source, message.receive_count) == ("sqs", 3)
    assert message.asked_at == message.sent_at
    assert (message.request_id, message.original_source, message.retry_state) == (None, None, None)


@pytest.mark.parametrize("attributes", ["left out", None])
def test_record_without_message_attributes_is_read(attributes: str | None) -> None:
    bare = without("messageAttributes") | ({} if attributes else {"messageAttributes": None})

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


@pytest.mark.parametrize("queue", ["requests", "retries-2", "other"])
def test_forged_retry_state_on_another_queue_counts_for_nothing(queue: str) -> None:
    message = read(record(queue, retry_state=STATE.to_json()))

    assert message.retry_state is None
    assert message.asked_at == message.sent_at


def test_forged_retry_state_that_is_unreadable_does_no_harm_on_the_request_queue() -> None:
    assert read(record(retry_state="{")).retry_state is None


def test_redriven_messages_request_id_and_source_are_believed_from_the_request_queue() -> None:
    message = read(record(request_id="r0", source="sns"))

    assert (message.request_id, message.original_source) == ("r0", "sns")


@pytest.mark.parametrize("request_id", [" ", "x" * 129, "r\u200b0", "r\n0"])
def test_request_id_that_no_body_could_have_is_not_believed(request_id: str) -> None:
    assert read(record(request_id=request_id)).request_id is None


@pytest.mark.parametrize("source", ["crm", "", "SQS"])
def test_senders_own_source_is_not_believed(source: str) -> None:
    assert read(record(source=source)).original_source is None


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


def test_attributes_of_a_dead_letter_do_not_come_back_with_a_redrive() -> None:
    redriven = record(request_id="r0", source="sqs", status="failed", reason="x", detail="y")

    assert read(redriven).attributes == {}


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"x"', "7", "{}", "[" * 100_000])
def test_unreadable_retry_state_raises_for_that_message(text: str) -> None:
    with pytest.raises(
        (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
    ):
        read(record("retries", retry_state=text))
