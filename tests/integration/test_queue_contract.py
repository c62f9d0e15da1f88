"""The queues, against a real SQS: what a copy of a message has, and what a refusal means."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from invitations.errors import QueueUnavailableError
from invitations.messages import Ending, Message, RetryState
from invitations.queues import MOST_BYTES_AT_ONCE, MessageQueue
from invitations.requests import Request
from invitations.results import Reason, Result, Source, Status, request_result
from local.aws import LocalAws
from local.processes import free_port

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
    Request("r1", "u1", Source.EVENTBRIDGE, correlation_id="zażółć"),
    RetryState("r1", Source.EVENTBRIDGE, NOW),
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
    unsaved=Ending(FAILED, NOW + 0.5, "claim-1", NOW + 300.5, NOW),
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


def test_deferred_copy_has_the_body_untouched_and_the_retry_state(bench: Bench) -> None:
    bench.queue.defer(MESSAGE, STATE, 0)

    copy = bench.receive_one()
    assert copy["Body"] == BODY
    assert RetryState.from_json(texts(copy)["retry_state"]) == STATE


def test_deferred_copy_names_request_and_source_for_a_later_redrive(bench: Bench) -> None:
    bench.queue.defer(MESSAGE, STATE, 0)

    copy = texts(bench.receive_one())
    assert (copy["request_id"], copy["source"]) == ("r1", "eventbridge")


@pytest.mark.parametrize("delay_seconds", [1, 900])
def test_deferred_copy_is_kept_back_for_the_delay(bench: Bench, delay_seconds: int) -> None:
    bench.queue.defer(MESSAGE, STATE, delay_seconds)

    assert (bench.receive(), bench.delayed()) == ([], 1)


@pytest.mark.parametrize(("delay_seconds", "sent"), [(-5, 0), (7, 7), (900, 900), (10_000, 900)])
def test_delay_is_between_none_and_the_longest_of_sqs(delay_seconds: int, sent: int) -> None:
    client = HeldClient()
    client.may_go_on.set()
    queue = MessageQueue(client, "https://sqs/1/q")  # type: ignore[arg-type]  # the one method
    queue.defer(MESSAGE, STATE, delay_seconds)

    [[entry]] = client.calls
    assert entry["DelaySeconds"] == sent


def test_each_copy_is_a_message_of_its_own(bench: Bench) -> None:
    bench.queue.defer(MESSAGE, STATE, 0)
    bench.queue.defer(MESSAGE, STATE, 0)

    one, other = bench.receive()
    assert one["MessageId"] != other["MessageId"]


def test_body_of_an_invocation_may_have_any_character(bench: Bench) -> None:
    body = json.dumps({"user_id": "u\uffff", "note": "\ud800\x00\ufffe"})
    bench.queue.keep(replace(MESSAGE, body=body), FAILED)

    assert bench.receive_one()["Body"] == body


# Attributes of the sender


def test_trace_header_travels_with_a_copy(bench: Bench) -> None:
    traced = replace(MESSAGE, trace_header=TRACE)
    client = HeldClient()
    client.may_go_on.set()
    queue = MessageQueue(client, "https://sqs/1/q")  # type: ignore[arg-type]  # the one method
    queue.defer(traced, STATE, 0)
    queue.keep(traced, FAILED)

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
        (lambda queue: queue.keep(case_13b(), FAILED), 5, 5),
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


def test_log_is_silent_when_every_attribute_fits(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    attributes = {f"crm-{number}": text_attribute("v") for number in range(7)}
    bench.queue.defer(replace(MESSAGE, attributes=attributes), STATE, 0)

    assert len(texts(bench.receive_one())) == 10
    assert caplog.records == []


# Dead letters


def test_dead_letter_has_the_body_untouched_and_what_became_of_it(bench: Bench) -> None:
    bench.queue.keep(MESSAGE, FAILED)

    letter = bench.receive_one()
    assert letter["Body"] == BODY
    assert texts(letter) == {
        "request_id": "r1",
        "source": "eventbridge",
        "status": "failed",
        "reason": "attempts_exhausted",
        "detail": FAILED.detail,
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


# Several threads


class HeldClient:
    """Holds its first call until others wait, and refuses the bodies it is told to."""

    def __init__(self, *refused: str, silent: bool = False) -> None:
        self.calls: list[Sequence[Mapping[str, Any]]] = []
        self.held, self.may_go_on = threading.Event(), threading.Event()
        self._refused = refused
        self._silent = silent

    def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> dict[str, Any]:  # noqa: N803
        self.calls.append(Entries)
        if len(self.calls) == 1:
            self.held.set()
            assert self.may_go_on.wait(timeout=5)
        bad = [each["Id"] for each in Entries if each["MessageBody"] in self._refused]
        return {
            "Successful": [{"Id": each["Id"]} for each in Entries if each["Id"] not in bad],
            "Failed": []
            if self._silent
            else [{"Id": each, "Code": "InternalError", "SenderFault": False} for each in bad],
        }


def deferred_together(client: HeldClient, bodies: Sequence[str]) -> list[str | None]:
    """For each body why it was refused, or None; all but the first are sent together."""
    queue: Any = MessageQueue(client, "https://sqs/1/q")  # type: ignore[arg-type]  # the one method

    def defer(body: str) -> str | None:
        try:
            queue.defer(replace(MESSAGE, body=body), STATE, 0)
        except QueueUnavailableError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(len(bodies)) as threads:
        first = threads.submit(defer, bodies[0])
        assert client.held.wait(timeout=5)
        others = [threads.submit(defer, body) for body in bodies[1:]]
        while len(queue._batcher._waiting) < len(others):
            pass
        client.may_go_on.set()
        return [each.result() for each in (first, *others)]


def test_threads_send_together_what_waited_for_a_call() -> None:
    client = HeldClient()

    assert deferred_together(client, ["a", *"bcdefghijk"]) == [None] * 11
    assert [len(entries) for entries in client.calls] == [1, 10]
    assert all(len({each["Id"] for each in entries}) == len(entries) for entries in client.calls)


@pytest.mark.parametrize(("silent", "why"), [(False, "InternalError"), (True, "did not say why")])
def test_refused_message_raises_for_itself_alone(silent: bool, why: str) -> None:
    _, good, bad, other = deferred_together(
        HeldClient("bad", silent=silent), ["a", "b", "bad", "c"]
    )

    assert (good, other) == (None, None)
    assert bad is not None
    assert why in bad


def test_calls_stay_below_the_size_that_sqs_takes() -> None:
    client = HeldClient()
    deferred_together(client, ["a", *(letter * 100_000 for letter in "bcdef"), "ż" * 100_000])

    sizes = [sum(len(each["MessageBody"].encode()) for each in entries) for entries in client.calls]
    assert max(sizes) < MOST_BYTES_AT_ONCE
    assert [len(entries) for entries in client.calls] == [1, 2, 2, 1, 1]


def test_message_that_is_too_long_for_company_goes_alone() -> None:
    client = HeldClient()
    deferred_together(client, ["a", "b", "c" * 300_000, "d"])

    assert [len(entries) for entries in client.calls][1:] == [1, 1, 1]


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
        queue.keep(MESSAGE, FAILED)
    with pytest.raises(QueueUnavailableError):
        queue.send([(BODY, STATE)])
    with pytest.raises(QueueUnavailableError):
        queue.send_text(BODY, 0)


def test_queue_has_the_name_that_records_give_it(bench: Bench, name: str) -> None:
    assert bench.queue.name == name


def test_refusal_of_a_new_request_is_an_error() -> None:
    client = HeldClient("bad")
    client.may_go_on.set()
    queue = MessageQueue(client, "https://sqs/1/q")  # type: ignore[arg-type]  # the one method

    with pytest.raises(QueueUnavailableError, match="InternalError"):
        queue.send([("good", STATE), ("bad", STATE)])


def test_results_detail_is_left_out_of_no_dead_letter(bench: Bench) -> None:
    bare: Result = replace(FAILED, detail=None)
    bench.queue.keep(MESSAGE, bare)

    assert texts(bench.receive_one())["detail"] == "attempts_exhausted"
