"""One contract for the results topic, kept by the fake of the unit tests and by SNS."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.stub import Stubber

from invitations.adapters.sns import MOST_AT_ONCE, SnsResultTopic
from invitations.envelopes import MAX_ID_LENGTH
from invitations.errors import TopicUnavailableError
from invitations.models import Request, Source, Status, answer_request
from invitations.ports import ResultTopic
from local.aws import LocalAws
from local.processes import free_port
from local.stack import subscribe_queue
from tests.fakes import START, RecordingTopic

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient

SENT = answer_request(
    Request("r1", "zażółć 🎉", Source.EVENTBRIDGE),
    Status.SENT,
    "invited",
    occurred_at=START,
    attempts=1,
    http_status=200,
    window_ends_at=START + 300,
)
ATTRIBUTES = {"status": "sent", "reason": "invited", "source": "eventbridge"}


@dataclass(frozen=True)
class Bench:
    topic: ResultTopic
    received: Callable[[], list[str]]
    """What a subscriber got, as JSON."""


@pytest.fixture
def in_memory() -> Bench:
    topic = RecordingTopic()
    return Bench(topic, lambda: [result.to_json() for result in topic.published])


@dataclass(frozen=True)
class Subscription:
    """A queue that a topic delivers to, without an envelope."""

    client: "SQSClient"
    queue_url: str

    def receive(self) -> list[tuple[str, Mapping[str, str]]]:
        """Return the content and the attributes of each message."""
        received = self.client.receive_message(
            QueueUrl=self.queue_url, WaitTimeSeconds=5, MessageAttributeNames=["All"]
        )
        return [
            (
                message["Body"],
                {
                    name: value["StringValue"]
                    for name, value in message["MessageAttributes"].items()
                },
            )
            for message in received["Messages"]
        ]


@pytest.fixture
def sns_topic(aws: LocalAws, name: str) -> SnsResultTopic:
    client: SNSClient = aws.client("sns")
    return SnsResultTopic(client, client.create_topic(Name=name)["TopicArn"])


@pytest.fixture
def subscription(aws: LocalAws, name: str, sns_topic: SnsResultTopic) -> Subscription:
    client: SQSClient = aws.client("sqs")
    queue_url = subscribe_queue(aws, name, sns_topic.topic_arn)
    return Subscription(client, queue_url)


@pytest.fixture
def sns(sns_topic: SnsResultTopic, subscription: Subscription) -> Bench:
    return Bench(sns_topic, lambda: [content for content, _ in subscription.receive()])


@pytest.fixture(params=["in_memory", "sns"])
def bench(request: pytest.FixtureRequest) -> Bench:
    bench: Bench = request.getfixturevalue(request.param)
    return bench


def test_a_subscriber_gets_the_result_as_json(bench: Bench) -> None:
    assert bench.topic.publish([SENT]) == [None]

    assert bench.received() == [SENT.to_json()]


def test_many_results_are_published_together(bench: Bench) -> None:
    results = [SENT._replace(request_id=f"r{number}") for number in range(MOST_AT_ONCE + 1)]

    assert bench.topic.publish(results) == [None] * len(results)

    received: set[str] = set()
    while len(received) < len(results):
        received |= set(bench.received())
    assert received == {result.to_json() for result in results}


def test_the_longest_results_fit_into_one_call() -> None:
    # What JSON makes of a character outside the basic plane is the longest of all.
    longest = "🎉" * MAX_ID_LENGTH
    result = answer_request(
        Request(longest, longest, Source.EVENTBRIDGE, correlation_id=longest),
        Status.REJECTED,
        "unsupported_media_type",
        occurred_at=START,
        attempts=10_000,
    )

    assert len(result.to_json()) * MOST_AT_ONCE < 256 * 1024 / 4


def test_one_that_is_not_taken_fails_alone(sns_topic: SnsResultTopic) -> None:
    with Stubber(sns_topic.client) as stubber:
        stubber.add_response(
            "publish_batch",
            {
                "Successful": [{"Id": "0", "MessageId": "m"}, {"Id": "2", "MessageId": "m"}],
                "Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False}],
            },
        )
        first, second, third = sns_topic.publish([SENT, SENT, SENT])

    assert (first, third) == (None, None)
    assert "InternalError" in str(second)


def test_one_of_which_nothing_is_said_counts_as_not_taken(sns_topic: SnsResultTopic) -> None:
    with Stubber(sns_topic.client) as stubber:
        stubber.add_response("publish_batch", {"Successful": [], "Failed": []})
        (error,) = sns_topic.publish([SENT])

    assert isinstance(error, TopicUnavailableError)


def test_a_result_carries_attributes_to_filter_by(
    sns_topic: SnsResultTopic, subscription: Subscription
) -> None:
    sns_topic.publish([SENT])

    ((_, attributes),) = subscription.receive()
    assert attributes == ATTRIBUTES


class TestOutage:
    @pytest.fixture
    def broken_in_memory(self) -> RecordingTopic:
        topic = RecordingTopic()
        topic.fail("publish")
        return topic

    @pytest.fixture
    def missing_sns(self, aws: LocalAws, name: str) -> SnsResultTopic:
        return _to_nowhere(aws, name)

    @pytest.fixture
    def unreachable_sns(self, name: str) -> SnsResultTopic:
        return _to_nowhere(LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path()), name)

    @pytest.fixture(params=["broken_in_memory", "missing_sns", "unreachable_sns"])
    def topic(self, request: pytest.FixtureRequest) -> ResultTopic:
        topic: ResultTopic = request.getfixturevalue(request.param)
        return topic

    def test_is_told_when_publishing(self, topic: ResultTopic) -> None:
        (error,) = topic.publish([SENT])

        assert isinstance(error, TopicUnavailableError)


def _to_nowhere(aws: LocalAws, name: str) -> SnsResultTopic:
    return SnsResultTopic(aws.client("sns"), f"arn:aws:sns:eu-west-1:000000000000:{name}-missing")
