"""The queues, against a real SQS: what a copy of a message has, and what a refusal means."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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

CASES = Path(__file__).parents[1] / "cases"
NOW = 1_800_000_000.0
BODY = '{ "user_id" : "zażółć 🎉 \ufffd",\n\t"user_id": "twice" } '
"""A body that does not survive being parsed and written again."""
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

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


def text_attribute(text: str) -> dict[str, Any]:
    """An attribute as a function receives it."""
    return {
        "stringValue": text,
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }


@dataclass(frozen=True)
class Bench:
    queue: MessageQueue
    client: "SQSClient"
    url: str

    def receive(self) -> "list[MessageTypeDef]":
        received = self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        return received.get("Messages", [])

    def receive_one(self) -> "MessageTypeDef":
        [message] = self.receive()
        return message

    def delayed(self) -> int:
        counted = self.client.get_queue_attributes(
            QueueUrl=self.url, AttributeNames=["ApproximateNumberOfMessagesDelayed"]
        )
        return int(counted["Attributes"]["ApproximateNumberOfMessagesDelayed"])


@pytest.fixture
def bench(aws: LocalAws, name: str) -> Bench:
    client: SQSClient = aws.client("sqs")
    url = client.create_queue(QueueName=name)["QueueUrl"]
    return Bench(MessageQueue(client, url), client, url)


def texts(message: "MessageTypeDef") -> dict[str, str]:
    attributes = message.get("MessageAttributes", {})
    return {name: value["StringValue"] for name, value in attributes.items()}


# Deferred copies


def test_deferred_copy_has_the_body_untouched_the_retry_state_and_names_for_a_redrive(
    bench: Bench,
) -> None:
    bench.queue.defer(MESSAGE, STATE, 0)

    copy = bench.receive_one()
    attributes = texts(copy)
    assert copy["Body"] == BODY
    assert RetryState.from_json(attributes.pop("retry_state")) == STATE
    assert attributes == {"request_id": "r1", "source": "eventbridge"}


def test_deferred_copy_is_kept_back_for_the_delay(bench: Bench) -> None:
    bench.queue.defer(MESSAGE, STATE, 900)

    assert (bench.receive(), bench.delayed()) == ([], 1)


@pytest.mark.parametrize(("delay_seconds", "sent"), [(-5, 0), (7, 7), (900, 900), (10_000, 900)])
def test_delay_is_between_none_and_the_longest_of_sqs(delay_seconds: int, sent: int) -> None:
    client = FakeClient()
    queue_over(client).defer(MESSAGE, STATE, delay_seconds)

    assert client.calls[0][0]["DelaySeconds"] == sent


def test_body_of_an_invocation_may_have_any_character(bench: Bench) -> None:
    body = json.dumps({"user_id": "u\uffff", "note": "\ud800\x00\ufffe"})
    bench.queue.send_dead_letter(replace(MESSAGE, body=body), FAILED)

    assert bench.receive_one()["Body"] == body


# Attributes of the sender


def test_trace_header_travels_with_a_copy(bench: Bench) -> None:
    traced = replace(MESSAGE, trace_header=TRACE)
    client = FakeClient()
    queue = queue_over(client)
    queue.defer(traced, STATE, 0)
    queue.send_dead_letter(traced, FAILED)

    header = {"AWSTraceHeader": {"DataType": "String", "StringValue": TRACE}}
    assert [entry["MessageSystemAttributes"] for [entry] in client.calls] == [header, header]
    # The local AWS takes it, but forgets it in a batch.
    bench.queue.defer(traced, STATE, 0)


def test_senders_attributes_travel_with_their_types(bench: Bench) -> None:
    attributes = {
        "team": text_attribute("crm"),
        "count": {"stringValue": "7", "dataType": "Number"},
        "money": {"stringValue": "7.5", "dataType": "Number.eur"},
        "blob": {"binaryValue": "AAH/", "dataType": "Binary"},
        "picture": {"binaryValue": "AAH/", "stringValue": None, "dataType": "Binary.png"},
    }
    bench.queue.defer(replace(MESSAGE, attributes=attributes), STATE, 0)

    copy = bench.receive_one()["MessageAttributes"]
    assert copy["team"] == {"StringValue": "crm", "DataType": "String"}
    assert copy["count"] == {"StringValue": "7", "DataType": "Number"}
    assert copy["money"] == {"StringValue": "7.5", "DataType": "Number.eur"}
    assert (copy["blob"]["BinaryValue"], copy["blob"]["DataType"]) == (b"\x00\x01\xff", "Binary")
    assert copy["picture"]["BinaryValue"] == b"\x00\x01\xff"


def case_13b() -> Message:
    """The case's message as a function receives it."""
    case = json.loads(
        (CASES / "13b-ten-attributes-and-trace-header-deferred.json").read_text(encoding="utf-8")
    )
    return replace(
        MESSAGE,
        body=case["MessageBody"],
        attributes={
            name: text_attribute(value["StringValue"])
            for name, value in case["MessageAttributes"].items()
        },
        trace_header=case["MessageSystemAttributes"]["AWSTraceHeader"]["StringValue"],
    )


@pytest.mark.parametrize(
    ("put", "own", "kept"),
    [
        (lambda queue: queue.defer(case_13b(), STATE, 0), 3, 7),
        (lambda queue: queue.send_dead_letter(case_13b(), FAILED), 5, 5),
    ],
    ids=["deferred", "dead"],
)
def test_case_of_ten_attributes_keeps_as_many_as_fit_and_the_log_names_the_others(
    bench: Bench,
    put: Callable[[MessageQueue], None],
    own: int,
    kept: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put(bench.queue)

    copy = texts(bench.receive_one())
    names = ["traceparent", *(f"crm-{number}" for number in range(9))]
    assert len(copy) == own + kept
    assert {name for name in copy if name in names} == set(names[:kept])
    [line] = caplog.records
    assert (line.message, vars(line)["dropped"]) == ("message attributes dropped", names[kept:])


def test_requests_of_an_order_carry_what_came_with_it(bench: Bench) -> None:
    bench.queue.send([('{"user_id": "u1"}', STATE), ('{"user_id": "u2"}', STATE)], case_13b())

    copies = [texts(message) for message in bench.receive()]
    kept = {"traceparent", *(f"crm-{number}" for number in range(6))}
    assert [kept <= copy.keys() for copy in copies] == [True, True]


def test_senders_attribute_with_a_name_of_ours_is_dropped_and_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.queue.defer(replace(MESSAGE, attributes={"source": text_attribute("crm")}), STATE, 0)

    assert texts(bench.receive_one())["source"] == STATE.source
    assert vars(caplog.records[0])["dropped"] == ["source"]


# Dead letters


@pytest.mark.parametrize("detail", [FAILED.detail, None])
def test_dead_letter_has_the_body_untouched_and_what_became_of_it(
    bench: Bench, detail: str | None
) -> None:
    bench.queue.send_dead_letter(MESSAGE, replace(FAILED, detail=detail))

    letter = bench.receive_one()
    assert letter["Body"] == BODY
    assert texts(letter) == {
        "request_id": "r1",
        "source": "eventbridge",
        "status": "failed",
        "reason": "attempts_exhausted",
        # SQS takes no empty attribute.
        "detail": detail or "attempts_exhausted",
    }


# New requests


def test_any_number_of_new_requests_is_put_on_the_queue(bench: Bench) -> None:
    requests = [(f'{{"user_id": "u{number}"}}', STATE) for number in range(23)]
    bench.queue.send(requests)

    received = [message for _ in range(3) for message in bench.receive()]
    assert {message["Body"] for message in received} == {body for body, _ in requests}
    assert {texts(message)["request_id"] for message in received} == {"r1"}


def test_text_without_attributes_is_put_on_the_queue(bench: Bench) -> None:
    bench.queue.send_text('{"sweep": 1}', 0)

    message = bench.receive_one()
    assert (message["Body"], texts(message)) == ('{"sweep": 1}', {})


# Refusals


class FakeClient:
    """Refuses the bodies it is told to; meanwhile others wait for the next call, if it is slow."""

    def __init__(self, *refused: str, silent: bool = False, seconds: float = 0) -> None:
        self.calls: list[Sequence[Mapping[str, Any]]] = []
        self._refused = refused
        self._silent = silent
        self._seconds = seconds

    def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> dict[str, Any]:  # noqa: N803
        self.calls.append(Entries)
        time.sleep(self._seconds)
        bad = [each["Id"] for each in Entries if each["MessageBody"] in self._refused]
        failed = [{"Id": each, "Code": "InternalError", "SenderFault": False} for each in bad]
        return {
            "Successful": [{"Id": each["Id"]} for each in Entries if each["Id"] not in bad],
            "Failed": [] if self._silent else failed,
        }


def queue_over(client: FakeClient) -> MessageQueue:
    return MessageQueue(client, "https://sqs/1/q")  # type: ignore[arg-type]  # the one method


@pytest.mark.parametrize(("silent", "why"), [(False, "InternalError"), (True, "no error code")])
def test_refused_message_raises_for_itself_alone(silent: bool, why: str) -> None:
    queue = queue_over(FakeClient("bad", silent=silent, seconds=0.1))

    with ThreadPoolExecutor(4) as threads:
        sent = {
            body: threads.submit(queue.defer, replace(MESSAGE, body=body), STATE, 0)
            for body in ("a", "b", "bad", "c")
        }
    refused = {body: each.exception() for body, each in sent.items() if each.exception()}

    assert refused.keys() == {"bad"}
    assert why in str(refused["bad"])


def test_refusal_of_a_new_request_is_an_error() -> None:
    with pytest.raises(QueueUnavailableError, match="InternalError"):
        queue_over(FakeClient("bad")).send([("good", STATE), ("bad", STATE)])


@pytest.mark.parametrize(
    ("bodies", "together"),
    [
        ([letter * 100_000 for letter in "abcdef"], [2, 2, 2]),
        (["ż" * 100_000, "a" * 100_000], [1, 1]),
        (["b", "c" * 300_000, "d"], [1, 1, 1]),
    ],
)
def test_calls_stay_below_the_size_that_sqs_takes(bodies: list[str], together: list[int]) -> None:
    client = FakeClient()
    queue_over(client).send([(body, STATE) for body in bodies])

    assert [len(entries) for entries in client.calls] == together


# Outages


@pytest.mark.parametrize("where", ["missing", "unreachable"])
def test_every_method_raises_when_the_queue_takes_nothing(
    where: str, aws: LocalAws, name: str
) -> None:
    if where == "unreachable":
        aws = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
    queue = MessageQueue(aws.client("sqs"), f"{aws.endpoint_url}/000000000000/{name}-missing")

    with pytest.raises(QueueUnavailableError, match="a queue did not take a message"):
        queue.defer(MESSAGE, STATE, 0)
    with pytest.raises(QueueUnavailableError):
        queue.send_dead_letter(MESSAGE, FAILED)
    with pytest.raises(QueueUnavailableError):
        queue.send([(BODY, STATE)])
    with pytest.raises(QueueUnavailableError):
        queue.send_text(BODY, 0)


def test_queue_has_the_name_that_records_give_it(bench: Bench, name: str) -> None:
    assert bench.queue.name == name
