"""`make tail`: print a stack's results and sweep summaries as they are published, until Ctrl-C."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.errors import CommandError
from local.processes import uninterrupted
from local.rows import plain_console, print_row
from ops.deployed import explained, find_stack

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient

# Time, status, reason, request or sweep, user or counts.
_WIDTHS = (24, 12, 18, 36, 0)
_WAIT_SECONDS = 20
# A queue that outlives its command must not collect personal data for long.
_RETENTION_SECONDS = 300
_LONGEST_NAME = 80


class LeftBehindError(CommandError):
    """The temporary queue or its subscription could not be deleted."""

    def __init__(self, left: str, error: object) -> None:
        super().__init__(f"Delete {left} by hand, the command could not: {error}")


@dataclass
class _Resources:
    queue_url: str | None = None
    subscription_arn: str | None = None


def main(stack: str) -> int:
    """Print each message that the topic publishes; returns 0 on Ctrl-C and SIGTERM."""
    console = plain_console()
    deployed = find_stack(stack)
    topic_arn = deployed.output("ResultTopicArn")
    with explained(f"Following {stack}"):
        sqs, sns = boto3.client("sqs"), boto3.client("sns")
        with suppress(KeyboardInterrupt), temporary_queue(sqs, sns, topic_arn, stack) as queue_url:
            console.print(f"Results and sweeps of {stack} from now on; Ctrl-C ends the command.")
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
    """Subscribe a new queue to a topic for the length of the block; yields its URL.

    Raises LeftBehindError if the queue or the subscription cannot be deleted.
    """
    name = f"{stack}-tail-"[: _LONGEST_NAME - 32] + uuid.uuid4().hex
    made = _Resources()
    try:
        # A signal between creation and assignment would leave the resource behind.
        with uninterrupted():
            _make(made, sqs, sns, topic_arn, name)
        yield made.queue_url or ""
    finally:
        with uninterrupted():
            _remove(made, sqs, sns)


def row(body: str) -> list[str]:
    """Return the cells for one message of the topic."""
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


def _make(made: _Resources, sqs: "SQSClient", sns: "SNSClient", topic_arn: str, name: str) -> None:
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


def _remove(made: _Resources, sqs: "SQSClient", sns: "SNSClient") -> None:
    left = [each for each in (made.subscription_arn, made.queue_url) if each is not None]
    try:
        if made.subscription_arn is not None:
            sns.unsubscribe(SubscriptionArn=made.subscription_arn)
            left.pop(0)
        if made.queue_url is not None:
            sqs.delete_queue(QueueUrl=made.queue_url)
    except (BotoCoreError, ClientError) as error:
        raise LeftBehindError(" and ".join(left), error) from error
