"""`make forget`: delete what a stack's ledger knows of a user."""

import time
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from local.deployed import explained, find_stack, named
from local.errors import LocalStackError
from local.known import WINDOW_LATE_SECONDS, partition_key
from local.rows import plain_console
from local.status import iso

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_WARNING = """
The window, the count and the results are forgotten with them. A request that is under way, on a
queue or in the dead-letter queue may write again, and may send an e-mail that was sent before:
look once more with make status when the queues are empty. The logs, the backups of the table and
whoever subscribed to the results keep what they have; docs/security.md says for how long."""


class WindowActiveError(LocalStackError):
    """Who forgets a window lets a second e-mail go out within it."""

    def __init__(self, user_id: str, ends_at: float) -> None:
        super().__init__(
            f"Nothing was deleted: the window of {user_id} is active until {iso(ends_at)}, and "
            "without it the next request would send a second e-mail. FORCE=1 deletes all the same."
        )


def main(user_id: str, stack: str, force: str = "") -> int:
    """Delete the user's items; an active window is forgotten only when `force` is 1."""
    console = plain_console()
    named(user_id, "USER")
    deployed = find_stack(stack)
    table_name = deployed.output("TableName")
    with explained(f"Forgetting {user_id} in {stack}, or some of it,"):
        client = boto3.client("dynamodb")
        deleted = forget(client, table_name, user_id, now=time.time(), force=force == "1")
    if not deleted:
        console.print(f"Nothing is known of {user_id} in {stack}.")
        return 0
    console.print(f"Items of {user_id} deleted in {stack}: {deleted}.")
    console.print(_WARNING.strip())
    return 0


def forget(
    client: "DynamoDBClient", table_name: str, user_id: str, *, now: float, force: bool
) -> int:
    """Delete a user's items; returns how many there were.

    The user's own record goes first, on the condition that its window is over: a function that
    claims it meanwhile is not overlooked. Raises WindowActiveError.
    """
    deleted = _delete_record(client, table_name, user_id, now=now, force=force)
    pages = client.get_paginator("query").paginate(
        TableName=table_name,
        # Not the record: whoever wrote it again meanwhile holds a window.
        KeyConditionExpression="pk = :pk AND begins_with(sk, :request)",
        ExpressionAttributeValues={
            ":pk": partition_key(user_id),
            ":request": {"S": "REQUEST#"},
        },
        ProjectionExpression="pk, sk",
        ConsistentRead=True,
    )
    for key in [item for page in pages for item in page["Items"]]:
        client.delete_item(TableName=table_name, Key=key)
        deleted += 1
    return deleted


def _delete_record(
    client: "DynamoDBClient", table_name: str, user_id: str, *, now: float, force: bool
) -> int:
    condition: dict[str, Any] = {
        "ConditionExpression": "attribute_not_exists(window_ends_at) OR window_ends_at <= :over",
        "ExpressionAttributeValues": {":over": {"N": f"{now - WINDOW_LATE_SECONDS:.3f}"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    try:
        answer = client.delete_item(
            TableName=table_name,
            Key={"pk": partition_key(user_id), "sk": {"S": "USER"}},
            ReturnValues="ALL_OLD",
            **({} if force else condition),
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        record: Any = error.response.get("Item", {})
        raise WindowActiveError(user_id, float(record["window_ends_at"]["N"])) from error
    return int("Attributes" in answer)
