"""`make tail`: print a stack's results and sweep summaries as they are published, until Ctrl-C."""

import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.errors import CommandError
from local.processes import uninterrupted
from local.rows import plain_console, print_row
from local.stack import subscribe
from ops.deployed import explained, find_stack

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient

# Time, status, reason, request or sweep, user or counts.
_WIDTHS = (24, 12, 18, 36, 0)
_HEAD = ("time (UTC)", "status", "reason", "request, sweep", "user, counts")
_LONGEST_NAME = 80


def main(stack: str) -> int:
    """Print each message that the topic publishes; returns 0 on Ctrl-C and SIGTERM."""
    console, topic_arn = plain_console(), find_stack(stack).output("ResultTopicArn")
    with explained(f"Following {stack}"):
        sqs, sns = boto3.client("sqs"), boto3.client("sns")
        with suppress(KeyboardInterrupt), temporary_queue(sqs, sns, topic_arn, stack) as queue_url:
            console.print(f"Results and sweeps of {stack} from now on; Ctrl-C ends the command.")
            print_row(console, _WIDTHS, *_HEAD)
            while True:
                answer = sqs.receive_message(
                    QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=20
                )
                for message in answer.get("Messages", []):
                    print_row(console, _WIDTHS, *row(message["Body"]))
                    handle = message["ReceiptHandle"]
                    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=handle)
    return 0


@contextmanager
def temporary_queue(
    sqs: "SQSClient", sns: "SNSClient", topic_arn: str, stack: str
) -> Iterator[str]:
    """Subscribe a new queue to a topic for the length of the block; yields its URL.

    Raises CommandError if the queue or the subscription cannot be deleted.
    """
    name = f"{stack}-tail-"[: _LONGEST_NAME - 32] + uuid.uuid4().hex
    made = ExitStack()
    try:
        # A signal between creation and callback would leave the resource behind.
        with uninterrupted():
            # A queue that outlives its command must not collect personal data for long.
            queue_url = sqs.create_queue(
                QueueName=name,
                Attributes={"MessageRetentionPeriod": "300", "SqsManagedSseEnabled": "true"},
            )["QueueUrl"]
            made.callback(sqs.delete_queue, QueueUrl=queue_url)
            subscription = subscribe(sqs, sns, queue_url, topic_arn)
            made.callback(sns.unsubscribe, SubscriptionArn=subscription)
        yield queue_url
    finally:
        with uninterrupted():
            try:
                made.close()
            except (BotoCoreError, ClientError) as error:
                left = f"the queue {name} and its subscription to {topic_arn}"
                raise CommandError(
                    f"Delete {left} by hand, the command could not: {error}"
                ) from error


def row(body: str) -> list[str]:
    """Return the cells for one message of the topic."""
    document = json.loads(body)
    cells = [document[name] for name in ("occurred_at", "status", "reason")]
    if "sweep_id" in document:
        counts = ", ".join(f"{name} {document[name]}" for name in ("found", "due", "queued"))
        return [*cells, document["sweep_id"], counts]
    return [*cells, document["request_id"], document["user_id"] or ""]
