"""`make invite`: one request on a stack's queue, and its result when that comes soon.

The result is looked for in the ledger, which has it before the topic does: no subscription has to
be made and removed for one request.
"""

import json
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3
import jsonschema
from botocore.exceptions import BotoCoreError, ClientError

from local.aws import REPOSITORY
from local.deployed import explained, find_stack, named
from local.errors import LocalStackError
from local.known import read_user
from local.rows import plain_console, print_row

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_SCHEMA = REPOSITORY / "schemas/request-1.0.json"
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 1.0
_LABEL_WIDTHS = (21, 0)


class NoUserIdError(LocalStackError):
    """The queue would take it, and the function would refuse it."""

    def __init__(self, user_id: str, why: str) -> None:
        super().__init__(f"USER={user_id!a} can be no user's id: {why}.")


def main(user_id: str, stack: str) -> int:
    """Returns 0 once the request is on the queue, whatever becomes of it there."""
    console = plain_console()
    request = compose(named(user_id, "USER"))
    deployed = find_stack(stack)
    queue_url, table_name = deployed.output("RequestQueueUrl"), deployed.output("TableName")
    with explained(f"Putting the request on the queue of {stack}"):
        boto3.client("sqs").send_message(QueueUrl=queue_url, MessageBody=json.dumps(request))
    console.print(f"Request {request['request_id']} is on the queue of {stack}.")
    try:
        result = _await_result(boto3.client("dynamodb"), table_name, request)
    except (BotoCoreError, ClientError) as error:
        console.print(f"Its result cannot be seen from here: {error}")
        return 0
    if result is None:
        console.print(
            f"It has no result after {_PATIENCE_SECONDS:g} s. It is not lost: it waits on the "
            f"queue, and make status USER={user_id} STACK={stack} says how far it is."
        )
        return 0
    for name in ("status", "reason", "occurred_at", "window_ends_at", "invitation_expires_at"):
        if result[name] is not None:
            print_row(console, _LABEL_WIDTHS, name, result[name])
    return 0


def compose(user_id: str) -> dict[str, str]:
    """A new request; raises NoUserIdError when its schema does not allow it."""
    request = {"user_id": user_id, "request_id": str(uuid.uuid4())}
    schema = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    try:
        jsonschema.validate(request, schema)
    except jsonschema.ValidationError as error:
        raise NoUserIdError(user_id, error.message) from error
    return request


def _await_result(
    client: "DynamoDBClient", table_name: str, request: Mapping[str, str]
) -> Mapping[str, Any] | None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        known = read_user(client, table_name, request["user_id"])
        result = None if known is None else known.result_of(request["request_id"])
        if result is not None:
            return result
        time.sleep(_POLL_SECONDS)
    return None
