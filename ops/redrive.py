"""`make redrive`: move all messages of a stack's dead-letter queue to its request queue."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError

from local.errors import CommandError
from local.rows import plain_console
from ops.deployed import explained, find_stack

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

_POLL_SECONDS = 1.0
_MOST_AT_ONCE = 10


def main(stack: str) -> int:
    """Redrive the stack and print the number of messages."""
    console = plain_console()
    deployed = find_stack(stack)
    with explained(f"Redriving {stack}, or a part of it,"):
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
    """Move all messages of one queue to another with their bodies and attributes.

    Returns the number of messages, and reports it while the task runs. Raises CommandError.
    """
    source_arn, destination_arn = (
        _attribute(sqs, url, "QueueArn") for url in (source_url, destination_url)
    )
    try:
        # Without a destination SQS moves messages to their source queue, and most of these have
        # none, because a function sent them here.
        sqs.start_message_move_task(SourceArn=source_arn, DestinationArn=destination_arn)
    except ClientError as error:
        # The local AWS does not support the operation.
        if error.response["Error"]["Code"] != "InvalidAction":
            raise
        return _move_one_by_one(sqs, source_url, destination_url)
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
                why = task.get("FailureReason", status)
                raise CommandError(f"Not all messages of {source_arn} were moved: {why}.")


def _move_one_by_one(sqs: "SQSClient", source_url: str, destination_url: str) -> int:
    # Counted first, because a message may fail again and return while this loop runs.
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
            # Sent before it is deleted: an interruption duplicates a message, and never loses it.
            sqs.send_message(
                QueueUrl=destination_url,
                MessageBody=message["Body"],
                MessageAttributes=message.get("MessageAttributes", {}),
            )
            sqs.delete_message(QueueUrl=source_url, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


def _attribute(sqs: "SQSClient", queue_url: str, name: "QueueAttributeNameType") -> str:
    return sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=[name])["Attributes"][name]
