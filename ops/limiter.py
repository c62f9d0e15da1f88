"""The operator's pause: two updates of the item that holds a stack's rate limiter.

All functions read this item before a call to the API. `revision` is its optimistic lock: a function
that read the item before one of these updates cannot overwrite it afterwards.
"""

import uuid
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_KEY = {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}
# The year 3000.
_NEVER = "32503680000"


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
