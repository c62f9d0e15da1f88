"""`make forget`: delete what a stack's ledger holds about a user."""

import time
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from local.errors import CommandError
from local.rows import plain_console
from ops.deployed import explained, find_stack, named
from ops.known import CLOCK_SKEW_SECONDS, partition_key
from ops.status import iso

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_WARNING = """
The window, the counts and the results are deleted. A request of this user that is under way, on a
queue or in the dead-letter queue may write items again, and may send an e-mail that was already
sent: run make status again when the queues are empty. The logs, the backups of the table and the
subscribers of the results keep their copies; docs/security.md says for how long."""


def main(user_id: str, stack: str, force: str = "") -> int:
    """Delete the user's items; deletes an active window only if `force` is 1."""
    console = plain_console()
    named(user_id, "USER")
    deployed = find_stack(stack)
    table_name = deployed.output("TableName")
    with explained(f"Deleting the items of {user_id} in {stack}, or some of them,"):
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
    """Delete a user's items; returns their number.

    The `USER` item goes first, on the condition that its window is over, so that a claim made in
    the meantime keeps its window. Raises CommandError for a window that is active.
    """
    deleted = _delete_user_item(client, table_name, user_id, now=now, force=force)
    pages = client.get_paginator("query").paginate(
        TableName=table_name,
        # Without the USER item: a function may have written it again with a new window.
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


def _delete_user_item(
    client: "DynamoDBClient", table_name: str, user_id: str, *, now: float, force: bool
) -> int:
    condition: dict[str, Any] = {
        "ConditionExpression": "attribute_not_exists(window_ends_at) OR window_ends_at <= :over",
        "ExpressionAttributeValues": {":over": {"N": f"{now - CLOCK_SKEW_SECONDS:.3f}"}},
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
        item: Any = error.response.get("Item", {})
        ends_at = iso(float(item["window_ends_at"]["N"]))
        raise CommandError(
            f"Nothing was deleted: the window of {user_id} is active until {ends_at}, and without "
            "it the next request would send a second e-mail. FORCE=1 deletes all the same."
        ) from error
    return int("Attributes" in answer)
