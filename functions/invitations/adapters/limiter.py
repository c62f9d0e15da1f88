"""The limiter item: the gate that all executions share, in the ledger's table.

| pk | sk | attributes |
|---|---|---|
| `LIMITER` | `LIMITER` | `gate`: the state as JSON, `version`: how often it was changed |
"""

import json
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from invitations.errors import LedgerUnavailableError
from invitations.gate import Gate
from invitations.ports import T

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_KEY: dict[str, Any] = {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}

# Who loses a race knows the new state at once, and tries again a little later than the others.
_TRIES = 30
_PAUSE_SECONDS = 0.01


class DynamoDbGateKeeper:
    """Changes the item by compare-and-set, beginning with the state that it saw last."""

    def __init__(
        self,
        client: "DynamoDBClient",
        table_name: str,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._table_name = table_name
        self._pause = pause
        self._lock = threading.Lock()
        self._gate = Gate()
        self._version = 0

    @property
    def last_known(self) -> Gate:
        return self._gate

    def read(self) -> Gate:
        try:
            answer = self._client.get_item(
                TableName=self._table_name, Key=_KEY, ConsistentRead=True
            )
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(error) from error
        with self._lock:
            self._learn(answer.get("Item", {}))
            return self._gate

    def change(self, event: Callable[[Gate], tuple[Gate, T]]) -> T:
        # One at a time in each container: its own threads need not race each other.
        with self._lock:
            for tries in range(_TRIES):
                gate, answer = event(self._gate)
                if gate == self._gate or self._write(gate):
                    return answer
                self._pause(_PAUSE_SECONDS * tries * random.random())  # noqa: S311  # no secret
        raise LedgerUnavailableError("the limiter item was changed by others all the time")

    def _write(self, gate: Gate) -> bool:
        try:
            self._client.update_item(
                TableName=self._table_name,
                Key=_KEY,
                UpdateExpression="SET gate = :gate, version = :next",
                ConditionExpression="version = :version"
                if self._version
                else "attribute_not_exists(pk)",
                ExpressionAttributeValues={
                    ":gate": {"S": json.dumps(gate._asdict())},
                    ":next": {"N": str(self._version + 1)},
                    **({":version": {"N": str(self._version)}} if self._version else {}),
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise _unavailable(error) from error
            self._learn(error.response.get("Item", {}))
            return False
        except BotoCoreError as error:
            raise _unavailable(error) from error
        self._gate, self._version = gate, self._version + 1
        return True

    def _learn(self, item: Any) -> None:
        """Take over what the table says; without an item nobody has called yet."""
        self._gate = Gate(**json.loads(item["gate"]["S"])) if item else Gate()
        self._version = int(item["version"]["N"]) if item else 0


def _unavailable(error: Exception) -> LedgerUnavailableError:
    return LedgerUnavailableError(f"the limiter item did not take a call: {error}")
