"""`make tail`: a stack's results and sweeps as they are published, until Ctrl-C."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.deployed import explained, find_stack
from local.errors import LocalStackError
from local.processes import uninterrupted
from local.rows import plain_console, print_row

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient

# Time, status, reason, request or sweep, user or counts.
_WIDTHS = (24, 12, 18, 36, 0)
_WAIT_SECONDS = 20
# Should the queue outlive its command, it gathers nothing about people for long.
_RETENTION_SECONDS = 300
_LONGEST_NAME = 80


class LeftBehindError(LocalStackError):
    """What was made for the command could not be removed."""

    def __init__(self, left: str, error: object) -> None:
        super().__init__(f"Delete {left} yourself, it could not be deleted: {error}")


@dataclass
class _Made:
    queue_url: str | None = None
    subscription_arn: str | None = None


def main(stack: str) -> int:
    """Print what is published from now on; Ctrl-C and SIGTERM are its ordinary end."""
    console = plain_console()
    deployed = find_stack(stack)
    topic_arn = deployed.output("ResultTopicArn")
    with explained(f"Following {stack}"):
        sqs, sns = boto3.client("sqs"), boto3.client("sns")
        with suppress(KeyboardInterrupt), temporary_queue(sqs, sns, topic_arn, stack) as queue_url:
            console.print(f"What {stack} publishes from now on; Ctrl-C ends it.")
            print_row(
                console, _WIDTHS, "time (UTC)", "status", "reason", "request, sweep", "user, counts"
            )
            for body in _bodies(sqs, queue_url):
                print_row(console, _WIDTHS, *row(body))
    return 0


@contextmanager
def temporary_queue(
    sqs: "SQSClient", sns: "SNSClient", topic_arn: str, stack: str
) -> Iterator[str]:
    """Make a queue that a topic publishes to, for the length of the block.

    Raises LeftBehindError when it cannot be removed again.
    """
    name = f"{stack}-tail-"[: _LONGEST_NAME - 32] + uuid.uuid4().hex
    made = _Made()
    try:
        # Nothing may be interrupted between its making and the note that it was made.
        with uninterrupted():
            _make(made, sqs, sns, topic_arn, name)
        yield made.queue_url or ""
    finally:
        with uninterrupted():
            _remove(made, sqs, sns)


def row(body: str) -> list[str]:
    """The cells of one message of the topic."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return ["", "foreign", "", "", body]
    cells = [document.get(name) for name in ("occurred_at", "status", "reason")]
    if "sweep_id" in document:
        counts = ", ".join(f"{name} {document.get(name)}" for name in ("found", "due", "queued"))
        cells += [document["sweep_id"], counts]
    else:
        cells += [document.get("request_id"), document.get("user_id")]
    return [str(cell or "") for cell in cells]


def _bodies(sqs: "SQSClient", queue_url: str) -> Iterator[str]:
    while True:
        answer = sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=_WAIT_SECONDS
        )
        for message in answer.get("Messages", []):
            yield message["Body"]
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


def _make(made: _Made, sqs: "SQSClient", sns: "SNSClient", topic_arn: str, name: str) -> None:
    made.queue_url = sqs.create_queue(
        QueueName=name,
        Attributes={
            "MessageRetentionPeriod": str(_RETENTION_SECONDS),
            "SqsManagedSseEnabled": "true",
        },
    )["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=made.queue_url, AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    policy = json.dumps(_only_from(topic_arn, queue_arn))
    sqs.set_queue_attributes(QueueUrl=made.queue_url, Attributes={"Policy": policy})
    made.subscription_arn = sns.subscribe(
        TopicArn=topic_arn,
        Protocol="sqs",
        Endpoint=queue_arn,
        Attributes={"RawMessageDelivery": "true"},
        ReturnSubscriptionArn=True,
    )["SubscriptionArn"]


def _only_from(topic_arn: str, queue_arn: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
            }
        ],
    }


def _remove(made: _Made, sqs: "SQSClient", sns: "SNSClient") -> None:
    left = [each for each in (made.subscription_arn, made.queue_url) if each is not None]
    try:
        if made.subscription_arn is not None:
            sns.unsubscribe(SubscriptionArn=made.subscription_arn)
            left.pop(0)
        if made.queue_url is not None:
            sqs.delete_queue(QueueUrl=made.queue_url)
    except (BotoCoreError, ClientError) as error:
        raise LeftBehindError(" and ".join(left), error) from error
