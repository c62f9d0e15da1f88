"""The queues, against a real SQS: what a copy of a message has, and what a refusal means."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from invitations.errors import QueueUnavailableError
from invitations.messages import Message, RetryState
from invitations.queues import MessageQueue
from invitations.results import Reason, Source, request_result
from local.aws import LocalAws
from local.processes import free_port
from tests.fakes import START, a_request

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

BODY = '{ "user_id" : "zażółć 🎉 \ufffd",\n\t"user_id": "twice" } '
"""A body that does not survive being parsed and written again."""

STATE = RetryState(START, attempts=2)
MESSAGE = Message("m1", BODY, Source.EVENTBRIDGE, STATE, "r1")
FAILED = request_result(a_request(source=Source.EVENTBRIDGE), Reason.ATTEMPTS_EXHAUSTED, START)
# As many as SQS takes.
TEN_ATTRIBUTES = replace(
    MESSAGE,
    attributes={
        name: {"stringValue": "crm", "binaryListValues": [], "dataType": "String"}
        for name in (*(f"crm-{number}" for number in range(9)), "traceparent")
    },
)


@dataclass(frozen=True)
class Bench:
    queue: MessageQueue
    client: "SQSClient"
    url: str

    def receive(self) -> "list[MessageTypeDef]":
        received = self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        return received.get("Messages", [])


@pytest.fixture
def bench(aws: LocalAws, name: str) -> Bench:
    client: SQSClient = aws.client("sqs")
    url = client.create_queue(QueueName=name)["QueueUrl"]
    return Bench(MessageQueue(client, url), client, url)


def texts(message: "MessageTypeDef") -> dict[str, str]:
    attributes = message.get("MessageAttributes", {})
    return {name: value["StringValue"] for name, value in attributes.items()}


# Copies


def test_deferred_copy_has_the_body_untouched_the_retry_state_and_names_for_a_redrive(
    bench: Bench,
) -> None:
    bench.queue.defer(MESSAGE, 0)

    [copy] = bench.receive()
    attributes = texts(copy)
    assert copy["Body"] == BODY
    assert RetryState.from_json(attributes.pop("retry_state")) == STATE
    assert attributes == {"request_id": "r1", "source": "eventbridge"}


def test_dead_letter_has_the_body_untouched_and_what_became_of_it(bench: Bench) -> None:
    # SQS takes no empty attribute.
    bench.queue.send_dead_letter(MESSAGE, replace(FAILED, detail=None))

    [letter] = bench.receive()
    assert letter["Body"] == BODY
    assert texts(letter) == {
        "request_id": "r1",
        "source": "eventbridge",
        "status": "failed",
        "reason": "attempts_exhausted",
        "detail": "attempts_exhausted",
    }


def test_senders_attributes_travel_with_their_types(bench: Bench) -> None:
    attributes: dict[str, dict[str, Any]] = {
        "money": {"stringValue": "7.5", "dataType": "Number.eur"},
        "picture": {"binaryValue": "AAH/", "stringValue": None, "dataType": "Binary.png"},
    }
    bench.queue.defer(replace(MESSAGE, attributes=attributes), 0)

    [copy] = bench.receive()
    assert {name: copy["MessageAttributes"][name] for name in attributes} == {
        "money": {"StringValue": "7.5", "DataType": "Number.eur"},
        "picture": {"BinaryValue": b"\x00\x01\xff", "DataType": "Binary.png"},
    }


@pytest.mark.parametrize(
    ("put", "kept"),
    [
        (lambda queue: queue.defer(TEN_ATTRIBUTES, 0), 7),
        (lambda queue: queue.send_all([TEN_ATTRIBUTES]), 7),
        (lambda queue: queue.send_dead_letter(TEN_ATTRIBUTES, FAILED), 5),
    ],
)
def test_as_many_of_the_senders_attributes_as_fit_are_kept_and_the_log_names_the_others(
    bench: Bench, put: Callable[[MessageQueue], None], kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    put(bench.queue)

    copy = texts(*bench.receive())
    numbered = [f"crm-{number}" for number in range(9)]
    assert len(copy) == 10
    assert copy["source"] == "eventbridge"
    assert {*copy} & {*numbered, "traceparent"} == {*numbered[: kept - 1], "traceparent"}
    [line] = caplog.records
    dropped = numbered[kept - 1 :]
    assert (line.message, vars(line)["dropped"]) == ("message attributes dropped", dropped)


@pytest.mark.parametrize("bodies", [list(map(str, range(23))), [x * 500_000 for x in "abc"]])
def test_any_number_of_new_requests_of_any_size_is_put_on_the_queue(
    bench: Bench, bodies: list[str]
) -> None:
    bench.queue.send_all([replace(MESSAGE, body=body) for body in bodies])

    received = [message for _ in range(3) for message in bench.receive()]
    assert sorted(message["Body"] for message in received) == sorted(bodies)
    assert {texts(message)["request_id"] for message in received} == {"r1"}


# Refusals


@pytest.mark.parametrize(
    ("third", "refusal"),
    [({}, "no error code"), ({"Failed": [{"Id": "2", "Code": "InternalError"}]}, "InternalError")],
)
def test_refusal_of_one_message_of_a_batch_is_an_error(third: dict[str, Any], refusal: str) -> None:
    client = Mock()
    client.send_message_batch.return_value = {"Successful": [{"Id": "0"}, {"Id": "1"}], **third}

    with pytest.raises(QueueUnavailableError, match=refusal):
        MessageQueue(client, "url").send_all([MESSAGE] * 3)


@pytest.mark.parametrize("where", ["missing", "unreachable"])
def test_message_that_the_queue_does_not_take_is_an_error(
    where: str, aws: LocalAws, name: str
) -> None:
    nobody = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
    reached = aws if where == "missing" else nobody
    queue = MessageQueue(reached.client("sqs"), f"{reached.endpoint_url}/000000000000/{name}")

    with pytest.raises(QueueUnavailableError, match="a message was not taken"):
        queue.defer(MESSAGE, 0)
    with pytest.raises(QueueUnavailableError, match="a message was not taken"):
        queue.send_all([MESSAGE])
