"""`make invite`: put one request on a stack's queue and wait for its result.

The command reads the result from the ledger, because a subscription to the topic would have to be
made and removed for one request.
"""

import json
import shlex
import time
import uuid
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from invitations.requests import read_user_id
from invitations.shapes import FieldError
from local.errors import CommandError
from local.rows import plain_console, print_row
from ops.deployed import explained, find_stack, named

_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 1.0
_LABEL_WIDTHS = (21, 0)
_SHOWN = ("status", "reason", "detail", "occurred_at", "window_ends_at", "invitation_expires_at")


def main(user_id: str, stack: str) -> int:
    """Send the request and print its result; returns 0 once the request is on the queue."""
    try:
        user = read_user_id(named(user_id, "USER"))
    except FieldError as error:
        raise CommandError(f"USER={user_id!a} is not a user id: {error.detail}") from error
    name, console, deployed = str(uuid.uuid4()), plain_console(), find_stack(stack)
    queue_url, table_name = deployed.output("RequestQueueUrl"), deployed.output("TableName")
    with explained(f"Putting the request on the queue of {stack}"):
        body = json.dumps({"user_id": user, "request_id": name})
        boto3.client("sqs").send_message(QueueUrl=queue_url, MessageBody=body)
    console.print(f"Request {name} for user {user} is on the queue of {stack}.")
    try:
        result = _wait_for_result(table_name, user, name)
    except (BotoCoreError, ClientError) as error:
        console.print(f"The result cannot be read from here: {error}")
        return 0
    if result is None:
        console.print(
            f"There is no result after {_PATIENCE_SECONDS:g} s. The request is not lost: it waits "
            f"on a queue, and make status USER={shlex.quote(user)} STACK={stack} shows its result "
            "when it has ended."
        )
        return 0
    for label in _SHOWN:
        if result[label] is not None:
            print_row(console, _LABEL_WIDTHS, label, result[label])
    return 0


def _wait_for_result(table_name: str, user_id: str, request_id: str) -> Mapping[str, Any] | None:
    client, deadline = boto3.client("dynamodb"), time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answer = client.get_item(
            TableName=table_name,
            Key={"pk": {"S": f"USER#{user_id}"}, "sk": {"S": f"REQUEST#{request_id}"}},
            ConsistentRead=True,
        )
        if "Item" in answer:
            result: Mapping[str, Any] = json.loads(answer["Item"]["result"]["S"])
            return result
        time.sleep(_POLL_SECONDS)
    return None
