"""`make status`: show what a stack's ledger holds about a user.

All items of a user share the partition key `USER#<user_id>`: `USER` has window, open claim, counts
and times of invitations, `REQUEST#<request_id>` the published result and when the request ended.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3

from invitations.ledger import CLOCK_SKEW_SECONDS
from invitations.results import iso
from local.rows import plain_console, print_row
from ops.deployed import explained, find_stack, named

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Item = Mapping[str, Any]
Result = Mapping[str, Any]

# Time, status, reason, HTTP status, attempts, request.
_WIDTHS = (24, 9, 22, 4, 8, 0)
_LABEL_WIDTHS = (16, 0)


@dataclass(frozen=True)
class KnownUser:
    """What the ledger holds about a user; times are epoch seconds."""

    window_ends_at: float | None
    sent_count: int
    maybe_sent_count: int
    """Calls with an unknown outcome."""
    invited_at: Sequence[float]
    """The latest invitations that were sent or may have been sent, in order."""
    open_claim: tuple[str, float] | None
    """The request for which an execution calls the API, or died while it did, and since when."""
    results: Sequence[Result]
    """The results as they were published, the latest first."""

    def window_is_active(self, now: float) -> bool:
        """Return whether a request at `now` would find the window active."""
        return self.window_ends_at is not None and self.window_ends_at + CLOCK_SKEW_SECONDS > now

    def result_of(self, request_id: str) -> Result | None:
        """Return the result of a request; None if the request has not ended."""
        return next((each for each in self.results if each["request_id"] == request_id), None)


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
    return known_user([item for page in pages for item in page["Items"]])


def known_user(items: Iterable[Item]) -> KnownUser | None:
    """Combine a user's items; returns None if there are none."""
    by_name = {item["sk"]["S"]: item for item in items}
    if not by_name:
        return None
    user, claim = by_name.pop("USER", {}), None
    if "claim_id" in user:
        claim = (user["window_request_id"]["S"], float(user["claimed_at"]["N"]))
    ended = sorted(by_name.values(), key=lambda item: _number(item, "ended_at") or 0, reverse=True)
    return KnownUser(
        window_ends_at=_number(user, "window_ends_at"),
        sent_count=int(_number(user, "sent_count") or 0),
        maybe_sent_count=int(_number(user, "maybe_sent_count") or 0),
        invited_at=[float(moment["N"]) for moment in user.get("invited_at", {"L": []})["L"]],
        open_claim=claim,
        results=[json.loads(item["result"]["S"]) for item in ended],
    )


def _number(item: Item, name: str) -> float | None:
    return float(item[name]["N"]) if name in item else None


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
        "window": window_text(known, time.time()),
        "sent_count": str(known.sent_count),
        "maybe_sent_count": str(known.maybe_sent_count),
        "last_invited_at": iso(known.invited_at[-1]) if known.invited_at else "never",
    }
    for label, value in labels.items():
        print_row(console, _LABEL_WIDTHS, label, value)
    console.print()
    print_row(console, _WIDTHS, "time (UTC)", "status", "reason", "http", "attempts", "request")
    for row in request_rows(known):
        print_row(console, _WIDTHS, *row)
    return 0


def window_text(known: KnownUser, now: float) -> str:
    """Describe the window as a request at `now` would find it."""
    if known.window_ends_at is None:
        return "none"
    ends_at = iso(known.window_ends_at)
    return f"active until {ends_at}" if known.window_is_active(now) else f"over since {ends_at}"


def request_rows(known: KnownUser) -> Iterator[tuple[str, ...]]:
    """Return a row for the open claim, then one for each result, the latest first."""
    if known.open_claim is not None:
        request_id, claimed_at = known.open_claim
        yield iso(claimed_at), "open", "claimed", "", "", request_id
    for result in known.results:
        names = ("occurred_at", "status", "reason", "http_status", "attempts", "request_id")
        yield tuple("" if result[name] is None else str(result[name]) for name in names)
