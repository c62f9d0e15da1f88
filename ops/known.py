"""Reads what a stack's ledger holds about a user.

All items of a user share the partition key `USER#<user_id>`:

| sk | attributes |
|---|---|
| `USER` | window, open claim, counts and times of invitations |
| `REQUEST#<request_id>` | the published result and the time at which the request ended |
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Item = Mapping[str, Any]
Result = Mapping[str, Any]

CLOCK_SKEW_SECONDS = 2
"""The functions count a window as over this long after its end, because their clocks differ."""


@dataclass(frozen=True)
class KnownUser:
    """What the ledger holds about a user; times are epoch seconds."""

    window_ends_at: float | None = None
    sent_count: int = 0
    maybe_sent_count: int = 0
    """Calls with an unknown outcome."""
    invited_at: Sequence[float] = ()
    """The latest invitations that were sent or may have been sent, in order."""
    open_claim: tuple[str, float] | None = None
    """The request for which an execution calls the API, or died while it did, and since when."""
    results: Sequence[Result] = ()
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
