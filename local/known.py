"""What the ledger knows of a user, read from outside: the items under one key.

| sk | attributes |
|---|---|
| `USER` | the window, the latest request with its result, `sent_count`, `last_sent_at` |
| `REQUEST#<request_id>` | the result of an earlier request |
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Item = Mapping[str, Any]
Document = Mapping[str, Any]

WINDOW_LATE_SECONDS = 2
"""So much later a window counts as over, because the functions' clocks differ."""


@dataclass(frozen=True)
class OpenRequest:
    """The user's latest request, when it has no result yet."""

    request_id: str
    attempts: int
    is_held: bool
    """Whether an execution is at it, or died at it; else it waits on the queue."""


@dataclass(frozen=True)
class KnownUser:
    """Times are epoch seconds; a result is as it was published."""

    window_ends_at: float | None
    sent_count: int
    last_sent_at: float | None
    open_request: OpenRequest | None
    latest: Document | None
    """The result of the request that called the API last, once it has ended."""
    others: Sequence[Document]

    def window_is_active(self, now: float) -> bool:
        return self.window_ends_at is not None and self.window_ends_at + WINDOW_LATE_SECONDS > now

    @property
    def results(self) -> Sequence[Document]:
        """The newest first."""
        every = [*self.others, *([] if self.latest is None else [self.latest])]
        return sorted(every, key=lambda each: str(each["occurred_at"]), reverse=True)

    def result_of(self, request_id: str) -> Document | None:
        return next((each for each in self.results if each["request_id"] == request_id), None)


def partition_key(user_id: str) -> dict[str, str]:
    """The key that all of a user's items share."""
    return {"S": f"USER#{user_id}"}


def read_user(client: "DynamoDBClient", table_name: str, user_id: str) -> KnownUser | None:
    """What the table says of a user now; None: nothing."""
    pages = client.get_paginator("query").paginate(
        TableName=table_name,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": partition_key(user_id)},
        ConsistentRead=True,
    )
    return known_user([item for page in pages for item in page["Items"]])


def known_user(items: Iterable[Item]) -> KnownUser | None:
    """Put a user's items together; None when there are none."""
    by_name = {item["sk"]["S"]: item for item in items}
    if not by_name:
        return None
    user = by_name.pop("USER", {})
    return KnownUser(
        window_ends_at=_number(user, "window_ends_at"),
        sent_count=int(_number(user, "sent_count") or 0),
        last_sent_at=_number(user, "last_sent_at"),
        open_request=_open_request(user),
        latest=json.loads(user["result"]["S"]) if "result" in user else None,
        others=[json.loads(item["result"]["S"]) for item in by_name.values()],
    )


def _open_request(user: Item) -> OpenRequest | None:
    if "request_id" not in user or "result" in user:
        return None
    attempts = int(_number(user, "attempts") or 0)
    return OpenRequest(user["request_id"]["S"], attempts, "claim_id" in user)


def _number(item: Item, name: str) -> float | None:
    return float(item[name]["N"]) if name in item else None
