"""`make redrive`: move all messages of a stack's dead-letter queue to its request queue."""

import time
from typing import TYPE_CHECKING

import boto3

from local.rows import plain_console
from ops.deployed import explained, find_stack

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


def main(stack: str) -> int:
    """Redrive the stack and print the number of messages."""
    console, deployed = plain_console(), find_stack(stack)
    urls = (deployed.output("DeadLetterQueueUrl"), deployed.output("RequestQueueUrl"))
    with explained(f"Redriving {stack}, or a part of it,"), console.status("Redriving …"):
        moved = redrive(boto3.client("sqs"), *urls)
    console.print(f"Moved to the request queue of {stack}: {moved}.")
    return 0


def redrive(sqs: "SQSClient", source_url: str, destination_url: str) -> int:
    """Move the messages of one queue to another with their bodies and attributes.

    Returns their number. A message that comes to the source queue in the meantime, because it has
    failed again, stays there.
    """
    started_at, moved = time.time() * 1000, 0
    while True:
        messages = sqs.receive_message(
            QueueUrl=source_url,
            MaxNumberOfMessages=10,
            # Long polling asks all servers of the queue.
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages", [])
        old = [each for each in messages if int(each["Attributes"]["SentTimestamp"]) < started_at]
        if not old:
            return moved
        for message in old:
            # Sent before it is deleted: an interruption duplicates a message, and never loses it.
            sqs.send_message(
                QueueUrl=destination_url,
                MessageBody=message["Body"],
                MessageAttributes=message.get("MessageAttributes", {}),
            )
            sqs.delete_message(QueueUrl=source_url, ReceiptHandle=message["ReceiptHandle"])
        moved += len(old)
