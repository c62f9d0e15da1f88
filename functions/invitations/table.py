"""The DynamoDB table: a write fails if the item has changed since it was read (optimistic lock).

| pk | sk | what | rules |
|---|---|---|---|
| `USER#<user_id>` | `USER` | window, claim, counts | ledger.py |
| `USER#<user_id>` | `REQUEST#<request_id>` | a result, and the end of its claim | ledger.py |
| `LIMITER` | `LIMITER` | quota, pauses, circuit breaker | limiter_state.py |
| `SWEEP` | `SWEEP` | the latest sweep | sweeps/sweeper.py |

Each item has a `revision`, a new one with each write. Users' items have `expires_at` (epoch
seconds), so that DynamoDB deletes them long after anything can ask for them; no rule trusts it,
because DynamoDB deletes late.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError

from invitations.errors import TableUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Key = tuple[str, str]
Item = Mapping[str, Any]
"""Texts, numbers, and lists and maps of them; empty for an item that does not exist."""

_MOST_KEYS_AT_ONCE = 100


class ConflictError(Exception):
    """Another writer has changed the item; `item` is what it wrote."""

    def __init__(self, item: Item) -> None:
        super().__init__("the item was changed by another writer")
        self.item = item


class Table:
    """Both methods raise TableUnavailableError when their effect is unknown or absent."""

    def __init__(self, client: "DynamoDBClient", table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def read(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item]:
        """Read items in the order of the keys.

        An item that is not read consistently may lack the latest writes.
        """
        found: dict[Key, Item] = {}
        names = [_to_dynamodb({"pk": pk, "sk": sk}) for pk, sk in dict.fromkeys(keys)]
        for start in range(0, len(names), _MOST_KEYS_AT_ONCE):
            some = names[start : start + _MOST_KEYS_AT_ONCE]
            asked: Any = {self._table_name: {"Keys": some, "ConsistentRead": consistent}}
            try:
                answer = self._client.batch_get_item(RequestItems=asked)
            except (BotoCoreError, ClientError) as error:
                raise TableUnavailableError(f"the table was not read: {error}") from error
            if answer.get("UnprocessedKeys"):
                # DynamoDB throttles some of the keys; the SDK repeats a call only if it does all.
                raise TableUnavailableError("the table left keys unread")
            for item in map(from_dynamodb, answer["Responses"].get(self._table_name, [])):
                found[item["pk"], item["sk"]] = item
        return [found.get(key, {}) for key in keys]

    def write(self, key: Key, item: Item, read: Item) -> Item:
        """Replace `read`, the item as it was read, by another; return the item as written.

        Raises ConflictError when the stored item is no longer `read`.
        """
        written = {**item, "pk": key[0], "sk": key[1], "revision": str(uuid.uuid4())}
        guard: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if read:
            guard = {
                "ConditionExpression": "revision = :read",
                "ExpressionAttributeValues": {":read": {"S": read["revision"]}},
            }
        try:
            self._client.put_item(
                TableName=self._table_name,
                Item=_to_dynamodb(written),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **guard,
            )
        except self._client.exceptions.ConditionalCheckFailedException as error:
            response: Any = error.response
            stored = from_dynamodb(response.get("Item", {}))
            # This write succeeded before: the SDK repeated it after a lost response.
            if stored.get("revision") != written["revision"]:
                raise ConflictError(stored) from None
        except (BotoCoreError, ClientError) as error:
            raise TableUnavailableError(f"the table was not written: {error}") from error
        return written


def _to_dynamodb(item: Item) -> dict[str, Any]:
    serialize = TypeSerializer().serialize
    # DynamoDB's numbers are decimal; boto3 takes no floats.
    plain = json.loads(json.dumps(item), parse_float=Decimal)
    return {name: serialize(value) for name, value in plain.items() if value is not None}


def from_dynamodb(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item of DynamoDB with plain numbers."""
    deserialize = TypeDeserializer().deserialize
    values = {name: deserialize(value) for name, value in item.items()}
    plain: dict[str, Any] = json.loads(json.dumps(values, default=_number))
    return plain


def _number(value: Decimal) -> int | float:
    return int(value) if value == int(value) else float(value)
