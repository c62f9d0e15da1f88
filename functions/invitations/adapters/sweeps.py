"""The sweep item: the latest sweep, in the ledger's table.

| pk | sk | attributes |
|---|---|---|
| `SWEEP` | `SWEEP` | `sweep`: the sweep as JSON, `version`: how often it was changed |
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from invitations.errors import LedgerUnavailableError
from invitations.sweeps import StoredSweep, Sweep

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_KEY: dict[str, Any] = {"pk": {"S": "SWEEP"}, "sk": {"S": "SWEEP"}}


@dataclass(frozen=True, slots=True)
class DynamoDbSweepStore:
    client: "DynamoDBClient"
    table_name: str

    def read(self) -> tuple[int, Sweep | None]:
        try:
            answer = self.client.get_item(TableName=self.table_name, Key=_KEY, ConsistentRead=True)
        except (BotoCoreError, ClientError) as error:
            raise _unavailable(error) from error
        item = answer.get("Item")
        if item is None:
            return 0, None
        return int(item["version"]["N"]), Sweep.from_json(item["sweep"]["S"])

    def write(self, version: int, sweep: Sweep) -> StoredSweep | None:
        text = sweep.to_json()
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if version:
            condition = {
                "ConditionExpression": "version = :version",
                "ExpressionAttributeValues": {":version": {"N": str(version)}},
            }
        try:
            self.client.put_item(
                TableName=self.table_name,
                Item={**_KEY, "sweep": {"S": text}, "version": {"N": str(version + 1)}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **condition,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise _unavailable(error) from error
            # The reply to this very write may have been lost, and the write was repeated.
            response: Any = error.response
            if response.get("Item", {}).get("sweep") != {"S": text}:
                return None
        except BotoCoreError as error:
            raise _unavailable(error) from error
        return StoredSweep(version + 1, sweep)


def _unavailable(error: Exception) -> LedgerUnavailableError:
    return LedgerUnavailableError(f"the sweep item did not take a call: {error}")
