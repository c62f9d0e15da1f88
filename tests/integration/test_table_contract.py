"""One contract for the table, kept by the fake of the unit tests and by DynamoDB."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from invitations.errors import TableUnavailableError
from invitations.table import ConflictError, Item, Key, Table
from local.aws import LocalAws
from local.processes import free_port

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

KEY = ("USER#u1", "USER")
ITEM = {
    "text": "zażółć 📨",
    "number": 1_800_000_000.125,
    "count": 3,
    "times": [1.5, 2.5],
    "lines": {"event": 1.5},
    "nothing": None,
}
DYNAMODB_KEY = {"pk": {"S": KEY[0]}, "sk": {"S": KEY[1]}}


def read(table: Table, key: Key = KEY) -> Item:
    return table.read([key])[0]


def write(table: Table) -> Item:
    return table.write(KEY, {"count": 1}, {})


def test_written_item_is_read_without_what_is_none(table: Table) -> None:
    table.write(KEY, ITEM, {})

    item = dict(read(table))
    assert (item.pop("pk"), item.pop("sk")) == KEY
    assert item.pop("revision")
    assert item == {name: value for name, value in ITEM.items() if value is not None}


def test_items_are_read_in_order_of_keys_and_empty_where_there_is_none(table: Table) -> None:
    keys = [(f"USER#u{number}", "USER") for number in range(250)]
    for number in (3, 120, 249):
        table.write(keys[number], {"count": number}, {})

    counts = {number: item["count"] for number, item in enumerate(table.read(keys)) if item}
    assert counts == {3: 3, 120: 120, 249: 249}
    assert table.read([]) == []


def test_write_replaces_the_whole_item_as_written_or_as_read(table: Table) -> None:
    written = table.write(KEY, {"count": 1, "text": "gone"}, {})
    table.write(KEY, {"count": 2}, written)
    table.write(KEY, {"count": 3}, read(table))

    assert read(table)["count"] == 3
    assert "text" not in read(table)


def test_write_over_an_item_unlike_the_one_that_was_read_is_refused_with_that_item(
    table: Table,
) -> None:
    deleted = {"revision": "deleted"}
    with pytest.raises(ConflictError) as conflict:
        table.write(KEY, {"count": 2}, deleted)
    assert conflict.value.item == {}

    first = write(table)
    # An equal item is another one, too.
    table.write(KEY, {"count": 1}, first)
    for seen in ({}, first, deleted):
        with pytest.raises(ConflictError) as conflict:
            table.write(KEY, {"count": 2}, seen)
        assert conflict.value.item == read(table)
    assert read(table)["count"] == 1


def test_one_of_twenty_writers_at_once_wins(table: Table) -> None:
    seen = table.write(KEY, {"count": 0}, {})

    def race(number: int) -> int:
        try:
            table.write(KEY, {"count": number}, seen)
        except ConflictError:
            return 0
        return number

    with ThreadPoolExecutor(20) as threads:
        winners = [each for each in threads.map(race, range(1, 21)) if each]
    assert winners == [read(table)["count"]]


class RepeatingClient:
    """A client of DynamoDB that repeats each write, as the SDK does after a lost reply."""

    def __init__(self, client: Any) -> None:
        self._client, self.exceptions = client, client.exceptions

    def put_item(self, **call: Any) -> Any:
        self._client.put_item(**call)
        return self._client.put_item(**call)


def test_write_that_the_sdk_repeats_after_a_lost_reply_is_no_conflict(
    aws: LocalAws, dynamodb: Table, name: str
) -> None:
    client: Any = RepeatingClient(aws.client("dynamodb"))
    repeating = Table(client, name)

    repeating.write(KEY, {"count": 2}, write(repeating))
    assert read(dynamodb)["count"] == 2


# Outages


@pytest.fixture
def client() -> "DynamoDBClient":
    """A client that reaches nobody."""
    nobody = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
    client: DynamoDBClient = nobody.client("dynamodb")
    return client


@pytest.fixture
def stubbed(client: "DynamoDBClient") -> Table:
    return Table(client, "table")


@pytest.mark.parametrize(("operation", "call"), [("put_item", write), ("batch_get_item", read)])
def test_error_of_dynamodb_and_a_missing_connection_are_outages(
    client: "DynamoDBClient",
    stubbed: Table,
    operation: str,
    call: Callable[[Table], object],
) -> None:
    replies = Stubber(client)
    replies.add_client_error(operation, "ThrottlingException")

    with replies, pytest.raises(TableUnavailableError, match="ThrottlingException"):
        call(stubbed)
    with pytest.raises(TableUnavailableError, match="Could not connect"):
        call(stubbed)


def test_keys_left_unread_are_an_outage(client: "DynamoDBClient", stubbed: Table) -> None:
    unread = {"Responses": {}, "UnprocessedKeys": {"table": {"Keys": [DYNAMODB_KEY]}}}
    replies = Stubber(client)
    replies.add_response("batch_get_item", unread)

    with replies, pytest.raises(TableUnavailableError, match="unread"):
        read(stubbed)
