"""Pauses: what the item that holds a stack's rate limiter says, and the operator's two updates.

All functions read this item before a call to the API. `revision` is its optimistic lock: a function
that read the item before one of these updates cannot overwrite it afterwards.
"""

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_KEY = {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}
# The year 3000.
_NEVER = "32503680000"
# The circuit breaker is open until a call gets an answer, also after `paused_until`.
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
        ExpressionAttributeValues=_values(never=_NEVER),
    )


def resume(client: "DynamoDBClient", table_name: str, now: float) -> bool:
    """End an operator's pause at `now`; returns False if there is none and changes nothing then.

    Appointments from before the pause are void; the token bucket stays as it was.
    """
    try:
        client.update_item(
            TableName=table_name,
            Key=_KEY,
            UpdateExpression=(
                "SET paused_until = :now, failures = :zero, revision = :revision "
                "REMOVE pause_reason, probe_until, line_at"
            ),
            ConditionExpression="pause_reason = :operator",
            ExpressionAttributeValues=_values(now=f"{now:.3f}", zero="0"),
        )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def _values(**numbers: str) -> Any:
    """Return these values, the pause's reason and a new revision."""
    texts = {":operator": {"S": "operator"}, ":revision": {"S": str(uuid.uuid4())}}
    return {f":{name}": {"N": number} for name, number in numbers.items()} | texts
