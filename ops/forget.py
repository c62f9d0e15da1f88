"""`make forget`: delete what a stack's ledger holds about a user."""

import time
from typing import TYPE_CHECKING, Any

import boto3

from invitations.ledger import UserRecord
from invitations.results import iso
from local.errors import CommandError
from local.rows import plain_console
from ops.deployed import explained, find_stack, named
from ops.status import partition_key, read_user

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

    The `USER` item goes first, on the condition that it was not changed since it was read, so that
    a claim made in the meantime keeps its window. Raises CommandError for a window that is active.
    """
    known = read_user(client, table_name, user_id)
    record = known.record if known else UserRecord()
    ends_at = record.active_window(now)
    if ends_at is not None and not force:
        raise CommandError(
            f"Nothing was deleted: the window of {user_id} is active until {iso(ends_at)}, and "
            "without it the next request would send a second e-mail. FORCE=1 deletes all the same."
        )
    condition: dict[str, Any] = {
        "ConditionExpression": "attribute_not_exists(pk) OR revision = :read",
        "ExpressionAttributeValues": {":read": {"S": record.item.get("revision", "")}},
    }
    try:
        client.delete_item(
            TableName=table_name,
            Key={"pk": partition_key(user_id), "sk": {"S": "USER"}},
            **({} if force else condition),
        )
    except client.exceptions.ConditionalCheckFailedException as error:
        raise CommandError(
            f"Nothing was deleted: a request for {user_id} was carried out meanwhile. Run the "
            "command again."
        ) from error
    results = known.results if known else []
    for result in results:
        # Those that were read, and none that ended a claim since.
        key = {"pk": partition_key(user_id), "sk": {"S": f"REQUEST#{result.request_id}"}}
        client.delete_item(TableName=table_name, Key=key)
    return len(results) + bool(record.item)
