"""One contract for the queues, kept by the fake of the unit tests and by SQS."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.stub import Stubber

from invitations.adapters.sqs import PROGRESS_ATTRIBUTE, SqsRequestQueue
from invitations.envelopes import read_progress
from invitations.errors import QueueUnavailableError
from invitations.models import (
    Claim,
    Copy,
    Progress,
    Request,
    Source,
    Status,
    Tally,
    Unrecorded,
    answer_request,
)
from invitations.ports import RequestQueue
from local.aws import LocalAws
from local.processes import free_port
from tests.fakes import START, Clock, InMemoryQueue, Message

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

BODY = '{ "user_id" : "zażółć 🎉",\n\t"user_id": "twice" } '
"""A body that does not survive being parsed and written again."""

FAILED = answer_request(
    Request("r1", "u1", Source.EVENTBRIDGE, correlation_id="zażółć"),
    Status.FAILED,
    "attempts_exhausted",
    occurred_at=START,
    attempts=3,
)
PROGRESS = Progress(
    request_id="r1",
    source=Source.EVENTBRIDGE,
    life_id="life-1",
    deferrals=3,
    tally=Tally(2, 1),
    http_status=429,
    unrecorded=Unrecorded(Claim("claim-1", "r1", "u1"), FAILED, START + 0.5, START + 300.5),
)
COPY = Copy(BODY, PROGRESS, 0)


@dataclass(frozen=True)
class Bench:
    queue: RequestQueue
    deferred: Callable[[], list[Message]]
    """The messages that are due on the request queue."""
    waiting: Callable[[], int]
    """How many messages are there, but not due yet."""
    parked: Callable[[], list[Message]]


@pytest.fixture
def in_memory() -> Bench:
    clock = Clock()
    queue = InMemoryQueue(clock)
    return Bench(
        queue,
        deferred=lambda: [message for message in queue.deferred if message.due_at <= clock()],
        waiting=lambda: sum(message.due_at > clock() for message in queue.deferred),
        parked=lambda: queue.parked,
    )


@pytest.fixture
def sqs(aws: LocalAws, name: str) -> Bench:
    client: SQSClient = aws.client("sqs")
    queue_url = client.create_queue(QueueName=name)["QueueUrl"]
    dead_letter_queue_url = client.create_queue(QueueName=f"{name}-dead")["QueueUrl"]

    def waiting() -> int:
        counted = client.get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=["ApproximateNumberOfMessagesDelayed"]
        )
        return int(counted["Attributes"]["ApproximateNumberOfMessagesDelayed"])

    return Bench(
        SqsRequestQueue(lambda: client, queue_url, dead_letter_queue_url),
        deferred=lambda: _receive(client, queue_url),
        waiting=waiting,
        parked=lambda: _receive(client, dead_letter_queue_url),
    )


def _receive(client: "SQSClient", queue_url: str) -> list[Message]:
    received = client.receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    messages = []
    for message in received.get("Messages", []):
        attributes = {
            name: value["StringValue"]
            for name, value in message.get("MessageAttributes", {}).items()
        }
        messages.append(
            Message(
                message["MessageId"],
                message["Body"],
                attributes.get(PROGRESS_ATTRIBUTE),
                status=attributes.get("status"),
                reason=attributes.get("reason"),
            )
        )
    return messages


@pytest.fixture(params=["in_memory", "sqs"])
def bench(request: pytest.FixtureRequest) -> Bench:
    bench: Bench = request.getfixturevalue(request.param)
    return bench


class TestDefer:
    def test_puts_a_copy_back_with_its_body_untouched(self, bench: Bench) -> None:
        bench.queue.defer([COPY])

        (copy,) = bench.deferred()
        assert copy.body == BODY

    @pytest.mark.parametrize("progress", [PROGRESS, Progress()], ids=["all known", "none known"])
    def test_lets_progress_travel_with_the_copy(self, bench: Bench, progress: Progress) -> None:
        bench.queue.defer([Copy(BODY, progress, 0)])

        (copy,) = bench.deferred()
        assert read_progress(copy.notes) == progress

    @pytest.mark.parametrize("delay_seconds", [1, 900])
    def test_keeps_the_copy_back_for_the_delay(self, bench: Bench, delay_seconds: int) -> None:
        bench.queue.defer([Copy(BODY, PROGRESS, delay_seconds)])

        assert (bench.deferred(), bench.waiting()) == ([], 1)

    def test_gives_each_copy_a_name_of_its_own(self, bench: Bench) -> None:
        bench.queue.defer([COPY, COPY])

        one, other = bench.deferred()
        assert one.message_id != other.message_id

    @pytest.mark.parametrize(
        ("count", "length"),
        [pytest.param(11, 10, id="too many for one call"), pytest.param(3, 200_000, id="too long")],
    )
    def test_puts_any_number_of_copies_back(self, bench: Bench, count: int, length: int) -> None:
        bodies = {f"{number}".ljust(length) for number in range(count)}

        errors = bench.queue.defer([Copy(body, Progress(), 0) for body in bodies])

        assert errors == [None] * count
        assert {copy.body for _ in range(count) for copy in bench.deferred()} == bodies

    def test_leaves_the_dead_letter_queue_alone(self, bench: Bench) -> None:
        bench.queue.defer([COPY])

        assert bench.parked() == []


def test_a_copy_that_is_not_taken_fails_alone(aws: LocalAws) -> None:
    client = aws.client("sqs")
    queue = SqsRequestQueue(lambda: client, "any", "any")
    with Stubber(client) as stubber:
        stubber.add_response(
            "send_message_batch",
            {
                "Successful": [{"Id": "0", "MessageId": "m", "MD5OfMessageBody": "-"}],
                "Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False}],
            },
        )
        first, second, third = queue.defer([COPY, COPY, COPY])

    assert first is None
    assert "InternalError" in str(second)
    # Nothing was said of it.
    assert isinstance(third, QueueUnavailableError)


def test_one_client_is_made_for_all_who_come_at_once(aws: LocalAws, sqs: Bench, name: str) -> None:
    made: list[SQSClient] = []

    def make_client() -> "SQSClient":
        made.append(aws.client("sqs"))
        return made[-1]

    queue_url = aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
    queue = SqsRequestQueue(make_client, queue_url, queue_url)
    with ThreadPoolExecutor(10) as executor:
        list(executor.map(lambda _: queue.park(BODY, PROGRESS, FAILED), range(10)))

    assert len(made) == 1
    assert len(sqs.deferred()) == 10


class TestPark:
    def test_lays_the_body_untouched_beside_what_became_of_it(self, bench: Bench) -> None:
        bench.queue.park(BODY, PROGRESS, FAILED)

        (parked,) = bench.parked()
        assert (parked.body, parked.status, parked.reason) == (
            BODY,
            "failed",
            "attempts_exhausted",
        )

    def test_lets_progress_travel_with_the_message(self, bench: Bench) -> None:
        bench.queue.park(BODY, PROGRESS, FAILED)

        (parked,) = bench.parked()
        assert read_progress(parked.notes) == PROGRESS

    def test_notes_nothing_when_nothing_is_known(self, bench: Bench) -> None:
        bench.queue.park(BODY, None, FAILED)

        (parked,) = bench.parked()
        assert parked.notes is None

    def test_leaves_the_request_queue_alone(self, bench: Bench) -> None:
        bench.queue.park(BODY, PROGRESS, FAILED)

        assert (bench.deferred(), bench.waiting()) == ([], 0)


class TestOutage:
    @pytest.fixture
    def broken_in_memory(self) -> InMemoryQueue:
        queue = InMemoryQueue(Clock())
        queue.fail("defer")
        queue.fail("park")
        return queue

    @pytest.fixture
    def missing_sqs(self, aws: LocalAws, name: str) -> SqsRequestQueue:
        return _to_nowhere(aws, name)

    @pytest.fixture
    def unreachable_sqs(self, name: str) -> SqsRequestQueue:
        return _to_nowhere(LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path()), name)

    @pytest.fixture(params=["broken_in_memory", "missing_sqs", "unreachable_sqs"])
    def queue(self, request: pytest.FixtureRequest) -> RequestQueue:
        queue: RequestQueue = request.getfixturevalue(request.param)
        return queue

    def test_is_told_when_deferring(self, queue: RequestQueue) -> None:
        (error,) = queue.defer([COPY])

        assert isinstance(error, QueueUnavailableError)

    def test_is_told_when_parking(self, queue: RequestQueue) -> None:
        with pytest.raises(QueueUnavailableError):
            queue.park(BODY, PROGRESS, FAILED)


def _to_nowhere(aws: LocalAws, name: str) -> SqsRequestQueue:
    queue_url = f"{aws.endpoint_url}/000000000000/{name}"
    return SqsRequestQueue(lambda: aws.client("sqs"), queue_url, queue_url)
