"""The results topic, against a real SNS with a subscribed queue."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from invitations.batcher import MOST_MESSAGES
from invitations.errors import TopicUnavailableError
from invitations.requests import MAX_ID_LENGTH
from invitations.results import Reason, Source, request_result
from invitations.topic import ResultTopic
from local.aws import LocalAws
from local.processes import free_port
from local.stack import subscribe_queue
from tests.fakes import START, a_request

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient

SENT = request_result(
    a_request(user_id="zażółć 🎉", source=Source.EVENTBRIDGE), Reason.INVITED, START
)


def test_subscriber_gets_results_and_summaries_as_json_with_attributes_to_filter_by(
    aws: LocalAws, name: str
) -> None:
    client: SNSClient = aws.client("sns")
    topic_arn = client.create_topic(Name=name)["TopicArn"]
    topic, queue_url = ResultTopic(client, topic_arn), subscribe_queue(aws, name, topic_arn)
    summary = {"status": "finished", "reason": "done", "requested": 3}

    topic.publish(asdict(SENT), SENT.source)
    topic.publish(summary, Source.SWEEP)

    received: dict[str, dict[str, str]] = {}
    while len(received) < 2:
        for message in aws.client("sqs").receive_message(
            QueueUrl=queue_url, WaitTimeSeconds=20, MessageAttributeNames=["All"]
        )["Messages"]:
            attributes = message["MessageAttributes"].items()
            received[message["Body"]] = {key: each["StringValue"] for key, each in attributes}
    assert received == {
        SENT.to_json(): {"status": "sent", "reason": "invited", "source": "eventbridge"},
        json.dumps(summary): {"status": "finished", "reason": "done", "source": "sweep"},
    }


def test_threads_publish_more_results_than_fit_into_one_call(aws: LocalAws, name: str) -> None:
    client: SNSClient = aws.client("sns")
    topic = ResultTopic(client, client.create_topic(Name=name)["TopicArn"])

    with ThreadPoolExecutor(40) as threads:
        list(threads.map(topic.publish, [asdict(SENT)] * 40, ["sqs"] * 40))


def test_ten_of_the_longest_results_fit_into_one_call() -> None:
    # What JSON makes of a character outside the basic plane is the longest of all.
    longest = "🎉" * MAX_ID_LENGTH
    result = replace(
        SENT, request_id=longest, user_id=longest, correlation_id=longest, detail="x" * 2_000
    )

    assert len(result.to_json()) * MOST_MESSAGES < 256 * 1024 / 3


def test_result_that_is_not_taken_is_an_error() -> None:
    client = Mock()
    client.publish_batch.return_value = {"Failed": [{"Id": "0", "Code": "InternalError"}]}

    with pytest.raises(TopicUnavailableError, match="InternalError"):
        ResultTopic(client, "arn").publish(asdict(SENT), SENT.source)


@pytest.mark.parametrize("where", ["missing", "unreachable"])
def test_publishing_is_an_error_when_the_topic_takes_nothing(where: str, aws: LocalAws) -> None:
    if where == "unreachable":
        aws = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
    topic = ResultTopic(aws.client("sns"), "arn:aws:sns:eu-west-1:000000000000:missing")

    with pytest.raises(TopicUnavailableError, match="a message was not taken"):
        topic.publish({"status": "failed", "reason": "x"}, Source.SWEEP)
