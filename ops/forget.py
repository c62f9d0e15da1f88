"""`make forget`: delete what a stack's ledger holds about a user."""

import time
from typing import TYPE_CHECKING, Any

import boto3

from invitations.ledger import CLOCK_SKEW_SECONDS
from invitations.results import iso
from local.errors import CommandError
from local.rows import plain_console
from ops.deployed import explained, find_stack, named
from ops.status import partition_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_WARNING = """
The window, the counts and the results are deleted. A request of this user that is under way, on a
queue or in the dead-letter queue may write items again, and may send an e-mail that was already
sent: run make status again when the queues are empty. The logs, the backups of the table and the
subscribers of the results keep their copies; docs/security.md says for how long."""


def main(user_id: str, stack: str, force: str = "") -> int:
    """Delete the user's items; deletes an active window only if `force` is 1."""
    named(user_id, "USER")
    table_name, console = find_stack(stack).output("TableName"), plain_console()
    with explained(f"Deleting the items of {user_id} in {stack}, or some of them,"):
        client = boto3.client("dynamodb")
        deleted = forget(client, table_name, user_id, now=time.time(), force=force == "1")
    if deleted:
        console.print(f"Items of {user_id} deleted in {stack}: {deleted}.")
        console.print(_WARNING.strip())
    else:
        console.print(f"Nothing is known of {user_id} in {stack}.")
    return 0


def forget(
    client: "DynamoDBClient", table_name: str, user_id: str, *, now: float, force: bool
) -> int:
    """Delete a user's items; returns their number.

    The `USER` item goes first, on the condition that its window is over, so that a claim made in
    the meantime keeps its window. Raises CommandError for a window that is active.
    """
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
    except client.exceptions.ConditionalCheckFailedException as error:
        item: Any = error.response.get("Item", {})
        ends_at = iso(float(item["window_ends_at"]["N"]))
        raise CommandError(
            f"Nothing was deleted: the window of {user_id} is active until {ends_at}, and without "
            "it the next request would send a second e-mail. FORCE=1 deletes all the same."
        ) from error
    pages = client.get_paginator("query").paginate(
        TableName=table_name,
        # Without the USER item: a function may have written it again with a new window.
        KeyConditionExpression="pk = :pk AND begins_with(sk, :request)",
        ExpressionAttributeValues={":pk": partition_key(user_id), ":request": {"S": "REQUEST#"}},
        ProjectionExpression="pk, sk",
        ConsistentRead=True,
    )
    keys = [item for page in pages for item in page["Items"]]
    for key in keys:
        client.delete_item(TableName=table_name, Key=key)
    return len(keys) + ("Attributes" in answer)
