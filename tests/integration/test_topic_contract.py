"""The results topic, against a real SNS with a subscribed queue."""

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from invitations.errors import TopicUnavailableError
from invitations.messages import Message, RetryState
from invitations.requests import MAX_ID_LENGTH, InvalidRequestError
from invitations.results import (
    Reason,
    Source,
    Status,
    invalid_result,
    request_result,
)
from invitations.topic import MOST_AT_ONCE, ResultTopic
from local.aws import LocalAws
from local.processes import free_port
from local.stack import subscribe_queue
from tests.fakes import a_request

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient

NOW = 1_800_000_000.0
SENT = request_result(
    a_request(
        user_id="zażółć 🎉",
        state=RetryState("r1", Source.EVENTBRIDGE, NOW, attempts=1, http_status=200),
    ),
    Status.SENT,
    Reason.INVITED,
    NOW,
    window_ends_at=NOW + 300,
    sent_count=1,
)


@dataclass(frozen=True)
class Bench:
    topic: ResultTopic
    client: "SQSClient"
    queue_url: str
    """Of a queue that the topic delivers to, without an envelope."""

    def receive(self) -> list[tuple[str, Mapping[str, str]]]:
        """The content and the attributes of each message."""
        received = self.client.receive_message(
            QueueUrl=self.queue_url,
            WaitTimeSeconds=5,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
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
def bench(aws: LocalAws, name: str) -> Bench:
    sns: SNSClient = aws.client("sns")
    topic_arn = sns.create_topic(Name=name)["TopicArn"]
    queue_url = subscribe_queue(aws, name, topic_arn)
    return Bench(ResultTopic(sns, topic_arn), aws.client("sqs"), queue_url)


def test_subscriber_gets_the_result_as_json_with_attributes_to_filter_by(bench: Bench) -> None:
    bench.topic.publish(SENT)

    assert bench.receive() == [
        (SENT.to_json(), {"status": "sent", "reason": "invited", "source": "eventbridge"})
    ]


def test_subscriber_gets_a_sweeps_summary(bench: Bench) -> None:
    summary = {"status": "finished", "reason": "done", "requested": 3}
    bench.topic.publish_summary(summary)

    [(content, attributes)] = bench.receive()
    assert json.loads(content) == summary
    assert attributes == {"status": "finished", "reason": "done", "source": "sweep"}


def test_threads_publish_any_number_of_results(bench: Bench) -> None:
    results = [replace(SENT, request_id=f"r{number}") for number in range(2 * MOST_AT_ONCE + 1)]
    with ThreadPoolExecutor(len(results)) as threads:
        list(threads.map(bench.topic.publish, results))

    received: set[str] = set()
    while len(received) < len(results):
        received |= {content for content, _ in bench.receive()}
    assert received == {result.to_json() for result in results}


def test_ten_of_the_longest_results_fit_into_one_call() -> None:
    # What JSON makes of a character outside the basic plane is the longest of all.
    longest = "🎉" * MAX_ID_LENGTH
    error = InvalidRequestError(
        Reason.DRY_RUN_NOT_SUPPORTED, "x" * 2_000, longest, Source.EVENTBRIDGE, longest, longest
    )
    result = invalid_result(Message("m1", "{}", Source.SQS, NOW, NOW), error)

    assert len(result.to_json()) * MOST_AT_ONCE < 256 * 1024 / 3


class FakeClient:
    """Refuses the result of the request `bad`; meanwhile others wait for the next call."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def publish_batch(self, **call: Any) -> dict[str, Any]:
        entries = call["PublishBatchRequestEntries"]
        time.sleep(0.1)
        bad = [each["Id"] for each in entries if json.loads(each["Message"])["request_id"] == "bad"]
        failed = [{"Id": each, "Code": "InternalError", "SenderFault": False} for each in bad]
        return {
            "Successful": [{"Id": each["Id"]} for each in entries if each["Id"] not in bad],
            "Failed": [] if self._silent else failed,
        }


@pytest.mark.parametrize(("silent", "why"), [(False, "InternalError"), (True, "no error code")])
def test_result_that_is_not_taken_raises_for_itself_alone(silent: bool, why: str) -> None:
    topic = ResultTopic(FakeClient(silent=silent), "arn")  # type: ignore[arg-type]  # the one method

    with ThreadPoolExecutor(4) as threads:
        sent = {
            name: threads.submit(topic.publish, replace(SENT, request_id=name))
            for name in ("a", "b", "bad", "c")
        }
    refused = {name: each.exception() for name, each in sent.items() if each.exception()}

    assert refused.keys() == {"bad"}
    assert why in str(refused["bad"])


@pytest.mark.parametrize("where", ["missing", "unreachable"])
def test_publishing_raises_when_the_topic_takes_nothing(
    where: str, aws: LocalAws, name: str
) -> None:
    if where == "unreachable":
        aws = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
    topic = ResultTopic(aws.client("sns"), f"arn:aws:sns:eu-west-1:000000000000:{name}-missing")

    with pytest.raises(TopicUnavailableError, match="the topic did not take a message"):
        topic.publish(SENT)
    with pytest.raises(TopicUnavailableError):
        topic.publish_summary({"status": "failed", "reason": "x"})
