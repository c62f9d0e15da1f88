"""`make redrive`: everything from a stack's dead-letter queue back to its request queue."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from local.deployed import explained, find_stack
from local.errors import LocalStackError
from local.rows import plain_console

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

_POLL_SECONDS = 1.0
_MOST_AT_ONCE = 10


class NotRedrivenError(LocalStackError):
    """The queue's own task failed."""

    def __init__(self, name: str, error: object) -> None:
        super().__init__(f"{name} was not redriven, or not all of it: {error}.")


def main(stack: str) -> int:
    """Redrive a stack of the AWS that the environment points to."""
    console = plain_console()
    deployed = find_stack(stack)
    with explained(f"Redriving {stack}, or some of it,"):
        moved = redrive(
            boto3.client("sqs"),
            deployed.output("DeadLetterQueueUrl"),
            deployed.output("RequestQueueUrl"),
            report=lambda count: console.print(f"{count} so far …"),
        )
    console.print(f"Moved to the request queue of {stack}: {moved}.")
    return 0


def redrive(
    sqs: "SQSClient", source_url: str, destination_url: str, *, report: Callable[[int], object]
) -> int:
    """Move every message of one queue to another, its body and attributes untouched.

    Returns how many were moved, and reports it meanwhile; raises NotRedrivenError when the
    queue's own task fails.
    """
    source_arn, destination_arn = _arn(sqs, source_url), _arn(sqs, destination_url)
    try:
        # The destination is named because most of these messages were sent here by the function:
        # to the queue they have no origin to go back to.
        sqs.start_message_move_task(SourceArn=source_arn, DestinationArn=destination_arn)
    except ClientError as error:
        # What the local AWS says of an operation that it does not know.
        if error.response["Error"]["Code"] != "InvalidAction":
            raise
        return _move_one_by_one(sqs, source_url, destination_url)
    return _await_move_task(sqs, source_arn, report)


def _await_move_task(sqs: "SQSClient", source_arn: str, report: Callable[[int], object]) -> int:
    while True:
        task = sqs.list_message_move_tasks(SourceArn=source_arn)["Results"][0]
        moved = task.get("ApproximateNumberOfMessagesMoved", 0)
        match task.get("Status"):
            case "COMPLETED":
                return moved
            case "RUNNING":
                report(moved)
                time.sleep(_POLL_SECONDS)
            case status:
                raise NotRedrivenError(source_arn, task.get("FailureReason", status))


def _move_one_by_one(sqs: "SQSClient", source_url: str, destination_url: str) -> int:
    # Counted beforehand: what is refused once more comes back while this still moves.
    expected = int(_attribute(sqs, source_url, "ApproximateNumberOfMessages"))
    moved = 0
    while moved < expected:
        messages = sqs.receive_message(
            QueueUrl=source_url,
            MaxNumberOfMessages=min(expected - moved, _MOST_AT_ONCE),
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            break
        for message in messages:
            # Deleted last, so that an interruption leaves a message twice and never not at all.
            sqs.send_message(
                QueueUrl=destination_url,
                MessageBody=message["Body"],
                MessageAttributes=message.get("MessageAttributes", {}),
            )
            sqs.delete_message(QueueUrl=source_url, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


def _arn(sqs: "SQSClient", queue_url: str) -> str:
    return _attribute(sqs, queue_url, "QueueArn")


def _attribute(sqs: "SQSClient", queue_url: str, name: "QueueAttributeNameType") -> str:
    return sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=[name])["Attributes"][name]
