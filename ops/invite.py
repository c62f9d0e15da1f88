"""`make invite`: put one request on a stack's queue and wait for its result.

The command reads the result from the ledger, because a subscription to the topic would have to be
made and removed for one request.
"""

import json
import shlex
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from invitations.requests import read_user_id
from invitations.shapes import FieldError
from local.errors import CommandError
from local.rows import plain_console, print_row
from ops.deployed import explained, find_stack, named
from ops.status import Result, read_user

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 1.0
_LABEL_WIDTHS = (21, 0)
_SHOWN = ("status", "reason", "detail", "occurred_at", "window_ends_at", "invitation_expires_at")


def main(user_id: str, stack: str) -> int:
    """Send the request and print its result; returns 0 once the request is on the queue."""
    console, request = plain_console(), compose(named(user_id, "USER"))
    deployed = find_stack(stack)
    queue_url, table_name = deployed.output("RequestQueueUrl"), deployed.output("TableName")
    with explained(f"Putting the request on the queue of {stack}"):
        boto3.client("sqs").send_message(QueueUrl=queue_url, MessageBody=json.dumps(request))
    name, user = request["request_id"], request["user_id"]
    console.print(f"Request {name} for user {user} is on the queue of {stack}.")
    try:
        result = _wait_for_result(boto3.client("dynamodb"), table_name, request)
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
    for name in _SHOWN:
        if result[name] is not None:
            print_row(console, _LABEL_WIDTHS, name, result[name])
    return 0


def compose(user_id: str) -> dict[str, str]:
    """Return a new request; raises CommandError for a user id that the functions refuse."""
    try:
        return {"user_id": read_user_id(user_id), "request_id": str(uuid.uuid4())}
    except FieldError as error:
        raise CommandError(f"USER={user_id!a} is not a user id: {error.detail}") from error


def _wait_for_result(
    client: "DynamoDBClient", table_name: str, request: Mapping[str, str]
) -> Result | None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        known = read_user(client, table_name, request["user_id"])
        if known and (result := known.result_of(request["request_id"])):
            return result
        time.sleep(_POLL_SECONDS)
    return None
