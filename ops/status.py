"""`make status`: show what a stack's ledger holds about a user.

All items of a user share the partition key `USER#<user_id>`: `USER` has the window, the latest
claim, counts and times of invitations; `REQUEST#<request_id>` has a result, and the end of the
claim under which its call was made. `USER` alone lacks what that result says.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

from invitations.ledger import UserRecord, user_record
from invitations.messages import StoredResult
from invitations.results import Result, iso
from invitations.table import from_dynamodb
from local.rows import plain_console, print_row
from ops.deployed import explained, find_stack, named

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# Time, status, reason, HTTP status, attempts, request.
_WIDTHS = (24, 9, 22, 4, 8, 0)
_LABEL_WIDTHS = (16, 0)


@dataclass(frozen=True)
class KnownUser:
    """What the ledger holds about a user."""

    record: UserRecord
    results: Sequence[Result]
    """The stored results, the latest first."""


def partition_key(user_id: str) -> dict[str, str]:
    """Return the partition key of a user's items."""
    return {"S": f"USER#{user_id}"}


def read_user(client: "DynamoDBClient", table_name: str, user_id: str) -> KnownUser | None:
    """Read a user's items; returns None if there are none."""
    pages = client.get_paginator("query").paginate(
        TableName=table_name,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": partition_key(user_id)},
        ConsistentRead=True,
    )
    items = [from_dynamodb(item) for page in pages for item in page["Items"]]
    if not items:
        return None
    by_name = {item["sk"]: item for item in items}
    record = user_record(by_name.pop("USER", {}))
    ended = sorted(
        map(StoredResult.from_fields, by_name.values()),
        key=lambda each: each.ended_at,
        reverse=True,
    )
    # The result of the claim's request has ended the claim; the USER item does not say so.
    for stored in ended:
        record = record.ended(stored.claim_id, stored.claim_end)
    return KnownUser(record, [each.result for each in ended])


def main(user_id: str, stack: str) -> int:
    """Print the user's window, counts and requests; changes nothing."""
    named(user_id, "USER")
    table_name, console = find_stack(stack).output("TableName"), plain_console()
    with explained(f"Reading the ledger of {stack}"):
        known = read_user(boto3.client("dynamodb"), table_name, user_id)
    if known is None:
        console.print(f"Nothing is known of {user_id} in {stack}.")
        return 0
    console.print(f"{user_id} in {stack}:")
    labels = {
        "window": window_text(known.record, time.time()),
        "sent_count": str(known.record.sent_count),
        "maybe_sent_count": str(known.record.maybe_sent_count),
        "last_invited_at": iso(known.record.invited_at[-1]) if known.record.invited_at else "never",
    }
    for label, value in labels.items():
        print_row(console, _LABEL_WIDTHS, label, value)
    console.print()
    print_row(console, _WIDTHS, "time (UTC)", "status", "reason", "http", "attempts", "request")
    for row in request_rows(known):
        print_row(console, _WIDTHS, *row)
    return 0


def window_text(record: UserRecord, now: float) -> str:
    """Describe the window as a request at `now` would find it."""
    if record.window_ends_at is None:
        return "none"
    what = "over since" if record.active_window(now) is None else "active until"
    return f"{what} {iso(record.window_ends_at)}"


def request_rows(known: KnownUser) -> Iterator[tuple[str, ...]]:
    """Return a row for the open claim, then one for each result, the latest first."""
    record = known.record
    if record.claimed_at is not None:
        yield iso(record.claimed_at), "open", "claimed", "", "", record.window_request_id or ""
    for result in known.results:
        names = ("occurred_at", "status", "reason", "http_status", "attempts", "request_id")
        values = [getattr(result, name) for name in names]
        yield tuple("" if value is None else str(value) for value in values)
