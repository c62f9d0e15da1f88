"""One contract for the table, kept by the fake of the unit tests and by DynamoDB."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.stub import Stubber

from invitations.errors import TableUnavailableError
from invitations.table import ConflictError, DynamoDbTable, Item, Key, Table
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
    "nothing": None,
}
DYNAMODB_KEY = {"pk": {"S": KEY[0]}, "sk": {"S": KEY[1]}}
UNREAD = {"Responses": {}, "UnprocessedKeys": {"table": {"Keys": [DYNAMODB_KEY]}}}


def read(table: Table, key: Key = KEY) -> Item:
    return table.read([key])[0]


def write(table: Table) -> object:
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

    expected = [{"count": number} if number in (3, 120, 249) else {} for number in range(250)]
    counts = [{name: item[name] for name in item if name == "count"} for item in table.read(keys)]
    assert counts == expected
    assert table.read([]) == []


def test_keys_with_odd_names_are_told_apart(table: Table) -> None:
    table.write(("USER#a", "REQUEST#b#c"), {"count": 1}, {})
    table.write(("USER#a#b", "REQUEST#c"), {"count": 2}, {})

    assert read(table, ("USER#a", "REQUEST#b#c"))["count"] == 1
    assert read(table, ("USER#a#b", "REQUEST#c"))["count"] == 2
    assert read(table, ("USER#a", "REQUEST#c")) == {}


def test_write_replaces_the_whole_item_as_written_or_as_read(table: Table) -> None:
    written = table.write(KEY, {"count": 1, "text": "gone"}, {})
    table.write(KEY, {"count": 2}, written)
    table.write(KEY, {"count": 3}, read(table))

    assert read(table)["count"] == 3
    assert "text" not in read(table)


def test_write_over_unread_item_is_refused_with_the_item(table: Table) -> None:
    table.write(KEY, {"count": 1}, {})

    with pytest.raises(ConflictError) as conflict:
        table.write(KEY, {"count": 2}, {})
    assert conflict.value.item == read(table)
    assert read(table)["count"] == 1


def test_write_over_item_that_another_writer_replaced_by_an_equal_one_is_refused(
    table: Table,
) -> None:
    first = table.write(KEY, {"count": 1}, {})
    table.write(KEY, {"count": 1}, first)

    with pytest.raises(ConflictError) as conflict:
        table.write(KEY, {"count": 3}, first)
    table.write(KEY, {"count": 3}, conflict.value.item)
    assert read(table)["count"] == 3


def test_write_over_item_that_was_deleted_since_is_refused(table: Table) -> None:
    with pytest.raises(ConflictError) as conflict:
        table.write(KEY, {"count": 2}, {"revision": "deleted"})
    assert conflict.value.item == {}


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


class LosingClient:
    """A client of DynamoDB that loses replies to writes, and may repeat each as the SDK does."""

    def __init__(self, client: Any, *, repeats: bool) -> None:
        self._client = client
        self._repeats = repeats

    def put_item(self, **call: Any) -> Any:
        self._client.put_item(**call)
        if not self._repeats:
            raise ReadTimeoutError(endpoint_url="table")
        return self._client.put_item(**call)


def test_write_that_the_sdk_repeats_after_a_lost_reply_is_no_conflict(
    aws: LocalAws, dynamodb: DynamoDbTable, name: str
) -> None:
    client: Any = LosingClient(aws.client("dynamodb"), repeats=True)
    losing = DynamoDbTable(client, name)

    first = losing.write(KEY, {"count": 1}, {})
    assert first["revision"] == read(dynamodb)["revision"]
    losing.write(KEY, {"count": 2}, first)
    assert read(dynamodb)["count"] == 2


def test_lost_reply_raises_although_the_write_had_its_effect(
    aws: LocalAws, dynamodb: DynamoDbTable, name: str
) -> None:
    client: Any = LosingClient(aws.client("dynamodb"), repeats=False)

    with pytest.raises(TableUnavailableError):
        write(DynamoDbTable(client, name))
    assert read(dynamodb)["count"] == 1


@pytest.fixture
def client(aws: LocalAws) -> "DynamoDBClient":
    client: DynamoDBClient = aws.client("dynamodb")
    return client


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def stubbed(client: "DynamoDBClient", pauses: list[float]) -> DynamoDbTable:
    return DynamoDbTable(client, "table", pauses.append)


@pytest.mark.parametrize(("operation", "call"), [("put_item", write), ("batch_get_item", read)])
@pytest.mark.parametrize("code", ["ThrottlingException", "ResourceNotFoundException"])
def test_error_of_dynamodb_is_an_outage(
    client: "DynamoDBClient",
    stubbed: DynamoDbTable,
    operation: str,
    call: Callable[[Table], object],
    code: str,
) -> None:
    replies = Stubber(client)
    replies.add_client_error(operation, code)

    with replies, pytest.raises(TableUnavailableError, match=code):
        call(stubbed)


@pytest.mark.parametrize("call", [write, read])
def test_missing_connection_is_an_outage(call: Callable[[Table], object]) -> None:
    nobody = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())

    with pytest.raises(TableUnavailableError, match="Could not connect"):
        call(DynamoDbTable(nobody.client("dynamodb"), "table"))


def test_keys_left_unread_are_read_again_consistently(
    client: "DynamoDBClient", stubbed: DynamoDbTable, pauses: list[float]
) -> None:
    keys = {"Keys": [DYNAMODB_KEY], "ConsistentRead": True}
    found = {"Responses": {"table": [{**DYNAMODB_KEY, "count": {"N": "7"}}]}}
    replies = Stubber(client)
    replies.add_response("batch_get_item", UNREAD, {"RequestItems": {"table": keys}})
    replies.add_response("batch_get_item", found)

    with replies:
        assert read(stubbed)["count"] == 7
    assert len(pauses) == 1


def test_keys_never_read_are_an_outage_after_longer_and_longer_pauses(
    client: "DynamoDBClient", stubbed: DynamoDbTable, pauses: list[float]
) -> None:
    replies = Stubber(client)
    for _ in range(4):
        replies.add_response("batch_get_item", UNREAD)

    with replies, pytest.raises(TableUnavailableError, match="unread"):
        read(stubbed)
    assert pauses == [0.1, 0.2, 0.4, 0.8]
