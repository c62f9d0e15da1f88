"""Pauses: what the item that holds a stack's rate limiter says, and the operator's two updates.

All functions read this item before a call to the API. `revision` is its optimistic lock: a function
that read the item before one of these updates cannot overwrite it afterwards.
"""

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_KEY = {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}
# The year 3000.
_NEVER = "32503680000"
# The circuit breaker is open until a call succeeds, also after `paused_until`.
_BREAKER = ("outage", "key_refused")


@dataclass(frozen=True)
class Pause:
    """Why nobody calls the API, and until when (epoch seconds)."""

    reason: str
    until: float


def read_pause(client: "DynamoDBClient", table_name: str, now: float) -> Pause | None:
    """Read the pause or open breaker that holds up calls at `now`."""
    answer = client.get_item(TableName=table_name, Key=_KEY, ConsistentRead=True)
    item = answer.get("Item", {})
    reason = item.get("pause_reason", {}).get("S")
    until = float(item.get("paused_until", {}).get("N", 0))
    return Pause(reason, until) if reason and (until > now or reason in _BREAKER) else None


def pause(client: "DynamoDBClient", table_name: str) -> None:
    """Stop all calls to the API until `resume`."""
    client.update_item(
        TableName=table_name,
        Key=_KEY,
        UpdateExpression=(
            "SET paused_until = :never, pause_reason = :operator, revision = :revision"
        ),
        ExpressionAttributeValues={":never": {"N": _NEVER}, **_operator(), **_revision()},
    )


def resume(client: "DynamoDBClient", table_name: str, now: float) -> bool:
    """End an operator's pause at `now`; returns False if there is none and changes nothing then.

    Appointments from before the pause are void, and the token bucket starts empty.
    """
    try:
        client.update_item(
            TableName=table_name,
            Key=_KEY,
            UpdateExpression=(
                "SET paused_until = :now, full_at = :now, failures = :zero, event_line_at = :zero, "
                "bulk_line_at = :zero, revision = :revision REMOVE pause_reason, probe_until"
            ),
            ConditionExpression="pause_reason = :operator",
            ExpressionAttributeValues={
                ":now": {"N": f"{now:.3f}"},
                ":zero": {"N": "0"},
                **_operator(),
                **_revision(),
            },
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True


def _operator() -> dict[str, Any]:
    return {":operator": {"S": "operator"}}


def _revision() -> dict[str, Any]:
    return {":revision": {"S": str(uuid.uuid4())}}
