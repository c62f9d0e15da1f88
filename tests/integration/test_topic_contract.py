"""The results topic, against a real SNS with a subscribed queue."""

import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from invitations.errors import TopicUnavailableError
from invitations.messages import Message, RetryState
from invitations.requests import MAX_ID_LENGTH, InvalidRequestError, Request
from invitations.results import (
    Reason,
    Result,
    Source,
    Status,
    invalid_result,
    request_result,
)
from invitations.topic import MOST_AT_ONCE, ResultTopic
from local.aws import LocalAws
from local.processes import free_port
from local.stack import subscribe_queue

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient

NOW = 1_800_000_000.0
SENT = request_result(
    Request("r1", "zażółć 🎉", Source.EVENTBRIDGE),
    RetryState("r1", Source.EVENTBRIDGE, NOW, attempts=1, http_status=200),
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


class HeldClient:
    """Holds its first call until others wait, and refuses the requests it is told to."""

    def __init__(self, *refused: str, silent: bool = False) -> None:
        self.calls: list[Sequence[Mapping[str, Any]]] = []
        self.held, self.may_go_on = threading.Event(), threading.Event()
        self._refused = refused
        self._silent = silent

    def publish_batch(
        self,
        *,
        TopicArn: str,  # noqa: N803
        PublishBatchRequestEntries: Any,  # noqa: N803
    ) -> dict[str, Any]:
        entries = PublishBatchRequestEntries
        self.calls.append(entries)
        if len(self.calls) == 1:
            self.held.set()
            assert self.may_go_on.wait(timeout=5)
        bad = [
            each["Id"]
            for each in entries
            if json.loads(each["Message"])["request_id"] in self._refused
        ]
        return {
            "Successful": [{"Id": each["Id"]} for each in entries if each["Id"] not in bad],
            "Failed": []
            if self._silent
            else [{"Id": each, "Code": "InternalError", "SenderFault": False} for each in bad],
        }


@pytest.mark.parametrize(("silent", "why"), [(False, "InternalError"), (True, "did not say why")])
def test_result_that_is_not_taken_raises_for_itself_alone(silent: bool, why: str) -> None:
    client = HeldClient("bad", silent=silent)
    topic: Any = ResultTopic(client, "arn")  # type: ignore[arg-type]  # the one method

    def publish(request_id: str) -> str | None:
        try:
            topic.publish(replace(SENT, request_id=request_id))
        except TopicUnavailableError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(publish, "a")
        assert client.held.wait(timeout=5)
        others = [threads.submit(publish, each) for each in ("b", "bad", "c")]
        while len(topic._batcher._waiting) < len(others):
            pass
        client.may_go_on.set()
        answers = [each.result() for each in (first, *others)]

    assert [len(entries) for entries in client.calls] == [1, 3]
    assert (answers[0], answers[1], answers[3]) == (None, None, None)
    assert why in str(answers[2])


@pytest.mark.parametrize("where", ["missing", "unreachable"])
def test_publishing_raises_when_the_topic_takes_nothing(
    where: str, aws: LocalAws, name: str
) -> None:
    if where == "unreachable":
        aws = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
    topic = ResultTopic(aws.client("sns"), f"arn:aws:sns:eu-west-1:000000000000:{name}-missing")
    result: Result = SENT

    with pytest.raises(TopicUnavailableError, match="the topic did not take a message"):
        topic.publish(result)
    with pytest.raises(TopicUnavailableError):
        topic.publish_summary({"status": "failed", "reason": "x"})
