"""The queues, against a real SQS: what a copy of a message has, and what a refusal means."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from invitations.batcher import refusals_of
from invitations.errors import QueueUnavailableError
from invitations.messages import Message, RetryState, StoredResult
from invitations.queues import MessageQueue
from invitations.results import Reason, Source, Status, request_result
from local.aws import LocalAws
from local.processes import free_port
from tests.fakes import a_request

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

NOW = 1_800_000_000.0
BODY = '{ "user_id" : "zażółć 🎉 \ufffd",\n\t"user_id": "twice" } '
"""A body that does not survive being parsed and written again."""

MESSAGE = Message("m1", BODY, Source.SQS, sent_at=NOW, received_at=NOW)
FAILED = request_result(
    a_request(state=RetryState("r1", Source.EVENTBRIDGE, NOW), correlation_id="zażółć"),
    Status.FAILED,
    Reason.ATTEMPTS_EXHAUSTED,
    NOW,
)
STATE = RetryState(
    "r1",
    Source.EVENTBRIDGE,
    asked_at=NOW - 0.5,
    attempts=3,
    http_status=429,
    unsaved=StoredResult(FAILED, NOW + 0.5, "claim-1", NOW + 300.5, NOW),
)
# As many as SQS takes; one has a name of ours.
TEN_ATTRIBUTES = replace(
    MESSAGE,
    attributes={
        name: {"stringValue": "crm", "binaryListValues": [], "dataType": "String"}
        for name in ("source", *(f"crm-{number}" for number in range(8)), "traceparent")
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
    bench.queue.defer(MESSAGE, STATE, 0)

    [copy] = bench.receive()
    attributes = texts(copy)
    assert copy["Body"] == BODY
    assert RetryState.from_json(attributes.pop("retry_state")) == STATE
    assert attributes == {"request_id": "r1", "source": "eventbridge"}


@pytest.mark.parametrize("detail", [FAILED.detail, None])
def test_dead_letter_has_the_body_untouched_and_what_became_of_it(
    bench: Bench, detail: str | None
) -> None:
    bench.queue.send_dead_letter(MESSAGE, replace(FAILED, detail=detail))

    [letter] = bench.receive()
    assert letter["Body"] == BODY
    assert texts(letter) == {
        "request_id": "r1",
        "source": "eventbridge",
        "status": "failed",
        "reason": "attempts_exhausted",
        # SQS takes no empty attribute.
        "detail": detail or "attempts_exhausted",
    }


def test_body_of_an_invocation_may_have_any_character(bench: Bench) -> None:
    body = json.dumps({"user_id": "u\uffff", "note": "\ud800\x00\ufffe"})
    bench.queue.send_dead_letter(replace(MESSAGE, body=body), FAILED)

    assert [each["Body"] for each in bench.receive()] == [body]


def test_senders_attributes_travel_with_their_types(bench: Bench) -> None:
    attributes: dict[str, dict[str, Any]] = {
        "money": {"stringValue": "7.5", "dataType": "Number.eur"},
        "blob": {"binaryValue": "AAH/", "dataType": "Binary"},
        "picture": {"binaryValue": "AAH/", "stringValue": None, "dataType": "Binary.png"},
    }
    bench.queue.defer(replace(MESSAGE, attributes=attributes), STATE, 0)

    [copy] = bench.receive()
    assert {name: copy["MessageAttributes"][name] for name in attributes} == {
        "money": {"StringValue": "7.5", "DataType": "Number.eur"},
        "blob": {"BinaryValue": b"\x00\x01\xff", "DataType": "Binary"},
        "picture": {"BinaryValue": b"\x00\x01\xff", "DataType": "Binary.png"},
    }


@pytest.mark.parametrize(
    ("put", "kept"),
    [
        (lambda queue: queue.defer(TEN_ATTRIBUTES, STATE, 0), 7),
        (lambda queue: queue.send([(BODY, STATE)], TEN_ATTRIBUTES), 7),
        (lambda queue: queue.send_dead_letter(TEN_ATTRIBUTES, FAILED), 5),
    ],
)
def test_as_many_of_the_senders_attributes_as_fit_are_kept_and_the_log_names_the_others(
    bench: Bench, put: Callable[[MessageQueue], None], kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    put(bench.queue)

    copy = texts(*bench.receive())
    numbered = [f"crm-{number}" for number in range(8)]
    assert len(copy) == 10
    assert copy["source"] == "eventbridge"
    assert {*copy} & {*numbered, "traceparent"} == {*numbered[: kept - 1], "traceparent"}
    [line] = caplog.records
    dropped = ["source", *numbered[kept - 1 :]]
    assert (line.message, vars(line)["dropped"]) == ("message attributes dropped", dropped)


@pytest.mark.parametrize("bodies", [list(map(str, range(23))), [x * 500_000 for x in "abc"]])
def test_any_number_of_new_requests_of_any_size_is_put_on_the_queue(
    bench: Bench, bodies: list[str]
) -> None:
    bench.queue.send([(body, STATE) for body in bodies])

    received = [message for _ in range(3) for message in bench.receive()]
    assert sorted(message["Body"] for message in received) == sorted(bodies)
    assert {texts(message)["request_id"] for message in received} == {"r1"}


# What is sent, and refusals


class FakeClient:
    """Refuses the body `bad`."""

    def __init__(self) -> None:
        self.entries: list[Any] = []

    def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> dict[str, Any]:  # noqa: N803
        self.entries += Entries
        bad = [each["Id"] for each in Entries if each["MessageBody"] == "bad"]
        return {
            "Successful": [{"Id": each["Id"]} for each in Entries if each["Id"] not in bad],
            "Failed": [{"Id": each, "Code": "InternalError"} for each in bad],
        }


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def queue(client: FakeClient) -> MessageQueue:
    return MessageQueue(client, "https://sqs/1/q")  # type: ignore[arg-type]  # the one method


def test_delay_is_between_none_and_the_longest_of_sqs(
    client: FakeClient, queue: MessageQueue
) -> None:
    for seconds in (-5, 7, 10_000):
        queue.defer(MESSAGE, STATE, seconds)
    queue.send_text("text", 10_000)

    assert [entry["DelaySeconds"] for entry in client.entries] == [0, 7, 900, 900]


def test_trace_header_travels_with_a_copy(client: FakeClient, queue: MessageQueue) -> None:
    """The local AWS forgets it in a batch."""
    traced = replace(MESSAGE, trace_header="Root=1-5759e988-bd862e3fe1be46a994272793")
    queue.defer(traced, STATE, 0)
    queue.send_dead_letter(traced, FAILED)

    header = {"AWSTraceHeader": {"DataType": "String", "StringValue": traced.trace_header}}
    assert [entry["MessageSystemAttributes"] for entry in client.entries] == [header, header]


def test_refusal_of_one_message_is_an_error(queue: MessageQueue) -> None:
    with pytest.raises(QueueUnavailableError, match="InternalError"):
        queue.defer(replace(MESSAGE, body="bad"), STATE, 0)
    with pytest.raises(QueueUnavailableError, match="InternalError"):
        queue.send([("good", STATE), ("bad", STATE), ("good", STATE)])


def test_each_entry_of_a_batch_is_taken_or_refused_for_itself() -> None:
    answer = {"Successful": [{"Id": "0"}], "Failed": [{"Id": "2", "Code": "InternalError"}]}

    assert refusals_of(answer, 3) == [None, "no error code returned", "InternalError"]


@pytest.mark.parametrize("where", ["missing", "unreachable"])
def test_every_method_raises_when_the_queue_takes_nothing(
    where: str, aws: LocalAws, name: str
) -> None:
    nobody = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
    reached = aws if where == "missing" else nobody
    queue = MessageQueue(reached.client("sqs"), f"{reached.endpoint_url}/000000000000/{name}")

    puts: list[Callable[[], None]] = [
        lambda: queue.defer(MESSAGE, STATE, 0),
        lambda: queue.send_dead_letter(MESSAGE, FAILED),
        lambda: queue.send([(BODY, STATE)]),
        lambda: queue.send_text(BODY, 0),
    ]
    for put in puts:
        with pytest.raises(QueueUnavailableError, match="a queue did not take a message"):
            put()
