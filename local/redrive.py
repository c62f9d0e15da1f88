"""`make redrive`: everything from a stack's dead-letter queue back to its request queue."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from local.errors import LocalStackError

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

_POLL_SECONDS = 1.0
_MOST_AT_ONCE = 10


class NotRedrivenError(LocalStackError):
    """AWS refused a step of the redrive."""

    def __init__(self, name: str, error: object) -> None:
        super().__init__(f"{name} was not redriven, or not all of it: {error}.")


def main(stack: str) -> int:
    """Redrive a stack of the AWS that the environment points to; raises NotRedrivenError."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    try:
        outputs = _outputs(stack)
        moved = redrive(
            boto3.client("sqs"),
            outputs["DeadLetterQueueUrl"],
            outputs["RequestQueueUrl"],
            report=lambda count: console.print(f"{count} so far …"),
        )
    except (BotoCoreError, ClientError) as error:
        raise NotRedrivenError(stack, error) from error
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


def _outputs(stack: str) -> dict[str, str]:
    (description,) = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in description.get("Outputs", [])}


def _arn(sqs: "SQSClient", queue_url: str) -> str:
    return _attribute(sqs, queue_url, "QueueArn")


def _attribute(sqs: "SQSClient", queue_url: str, name: "QueueAttributeNameType") -> str:
    return sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=[name])["Attributes"][name]
