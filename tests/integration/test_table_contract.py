"""One contract for the table, kept by the fake of the unit tests and by DynamoDB."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from invitations.errors import TableUnavailableError
from invitations.table import ConflictError, DynamoDbTable, Item, Key, Table
from local.aws import LocalAws
from local.processes import free_port
from tests.memory_table import InMemoryTable

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
OUTAGES = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "InternalServerError",
    "ResourceNotFoundException",
    "AccessDeniedException",
]


@pytest.fixture
def in_memory() -> Table:
    return InMemoryTable()


@pytest.fixture
def dynamodb(aws: LocalAws, name: str) -> Table:
    aws.create_table(name, "pk", "sk")
    return DynamoDbTable(aws.client("dynamodb"), name)


@pytest.fixture(params=["in_memory", "dynamodb"])
def table(request: pytest.FixtureRequest) -> Table:
    table: Table = request.getfixturevalue(request.param)
    return table


def read(table: Table, key: Key = KEY) -> Item:
    return table.read([key])[0]


class TestRead:
    def test_item_that_does_not_exist_is_empty(self, table: Table) -> None:
        assert table.read([KEY]) == [{}]

    def test_written_item_is_read_without_what_is_none(self, table: Table) -> None:
        table.write(KEY, ITEM, {})

        item = dict(read(table))
        assert (item.pop("pk"), item.pop("sk")) == KEY
        assert item.pop("revision")
        assert item == {name: value for name, value in ITEM.items() if value is not None}

    def test_many_items_are_read_in_order_of_keys(self, table: Table) -> None:
        keys = [(f"USER#u{number}", "USER") for number in range(250)]
        for number in (3, 120, 249):
            table.write(keys[number], {"count": number}, {})

        items = table.read(keys)
        assert {at: item["count"] for at, item in enumerate(items) if item} == {
            3: 3,
            120: 120,
            249: 249,
        }
        assert len(items) == 250

    def test_no_keys_are_no_items(self, table: Table) -> None:
        assert table.read([]) == []

    def test_keys_with_odd_names_are_told_apart(self, table: Table) -> None:
        table.write(("USER#a", "REQUEST#b#c"), {"count": 1}, {})
        table.write(("USER#a#b", "REQUEST#c"), {"count": 2}, {})

        assert read(table, ("USER#a", "REQUEST#b#c"))["count"] == 1
        assert read(table, ("USER#a#b", "REQUEST#c"))["count"] == 2
        assert read(table, ("USER#a", "REQUEST#c")) == {}


class TestWrite:
    def test_written_item_is_seen_by_next_write(self, table: Table) -> None:
        first = table.write(KEY, {"count": 1}, {})
        table.write(KEY, {"count": 2}, first)

        assert read(table)["count"] == 2

    def test_read_item_is_seen_by_next_write(self, table: Table) -> None:
        table.write(KEY, {"count": 1}, {})
        table.write(KEY, {"count": 2}, read(table))

        assert read(table)["count"] == 2

    def test_write_replaces_whole_item(self, table: Table) -> None:
        first = table.write(KEY, {"count": 1, "text": "gone"}, {})
        table.write(KEY, {"count": 2}, first)

        assert "text" not in read(table)

    def test_write_over_item_that_was_not_seen_is_refused_with_item(self, table: Table) -> None:
        table.write(KEY, {"count": 1}, {})

        with pytest.raises(ConflictError) as conflict:
            table.write(KEY, {"count": 2}, {})
        assert conflict.value.item == read(table)
        assert read(table)["count"] == 1

    def test_write_over_item_that_was_changed_is_refused_with_item(self, table: Table) -> None:
        first = table.write(KEY, {"count": 1}, {})
        table.write(KEY, {"count": 2}, first)

        with pytest.raises(ConflictError) as conflict:
            table.write(KEY, {"count": 3}, first)
        assert conflict.value.item["count"] == 2
        table.write(KEY, {"count": 3}, conflict.value.item)
        assert read(table)["count"] == 3

    def test_write_over_equal_item_of_other_writer_is_refused(self, table: Table) -> None:
        first = table.write(KEY, {"count": 1}, {})
        table.write(KEY, {"count": 1}, first)

        with pytest.raises(ConflictError):
            table.write(KEY, {"count": 1}, first)

    def test_write_that_saw_item_deleted_since_is_refused(self, table: Table) -> None:
        with pytest.raises(ConflictError) as conflict:
            table.write(KEY, {"count": 2}, {"revision": "deleted"})
        assert conflict.value.item == {}

    def test_one_of_twenty_writers_at_once_wins(self, table: Table) -> None:
        seen = table.write(KEY, {"count": 0}, {})

        def write(number: int) -> int:
            try:
                table.write(KEY, {"count": number}, seen)
            except ConflictError:
                return 0
            return number

        with ThreadPoolExecutor(20) as threads:
            winners = [each for each in threads.map(write, range(1, 21)) if each]
        assert winners == [read(table)["count"]]


class TestDynamoDbInTrouble:
    @pytest.fixture
    def client(self, aws: LocalAws) -> "DynamoDBClient":
        client: DynamoDBClient = aws.client("dynamodb")
        return client

    @pytest.fixture
    def replies(self, client: "DynamoDBClient") -> Stubber:
        return Stubber(client)

    @pytest.fixture
    def pauses(self) -> list[float]:
        return []

    @pytest.fixture
    def stubbed(self, client: "DynamoDBClient", pauses: list[float]) -> DynamoDbTable:
        return DynamoDbTable(client, "table", pauses.append)

    def test_write_that_sdk_repeats_after_lost_reply_is_no_conflict(
        self, aws: LocalAws, client: "DynamoDBClient", name: str
    ) -> None:
        class LosesReplies:
            """Sends each write twice, as the SDK does when the first reply is lost."""

            def put_item(self, **arguments: Any) -> None:
                client.put_item(**arguments)
                client.put_item(**arguments)

        aws.create_table(name, "pk", "sk")
        lossy: Any = LosesReplies()
        table = DynamoDbTable(client, name)

        first = DynamoDbTable(lossy, name).write(KEY, {"count": 1}, {})
        assert first["revision"] == read(table)["revision"]
        DynamoDbTable(lossy, name).write(KEY, {"count": 2}, first)
        assert read(table)["count"] == 2

    def test_reads_are_consistent(self, stubbed: DynamoDbTable, replies: Stubber) -> None:
        keys = {"Keys": [{"pk": {"S": KEY[0]}, "sk": {"S": KEY[1]}}], "ConsistentRead": True}
        replies.add_response("batch_get_item", {"Responses": {}}, {"RequestItems": {"table": keys}})

        with replies:
            assert stubbed.read([KEY]) == [{}]

    @pytest.mark.parametrize("code", OUTAGES)
    def test_error_of_write_is_an_outage(
        self, stubbed: DynamoDbTable, replies: Stubber, code: str
    ) -> None:
        replies.add_client_error("put_item", code)

        with replies, pytest.raises(TableUnavailableError, match=code) as error:
            stubbed.write(KEY, {"count": 1}, {})
        assert isinstance(error.value.__cause__, ClientError)

    @pytest.mark.parametrize("code", OUTAGES)
    def test_error_of_read_is_an_outage(
        self, stubbed: DynamoDbTable, replies: Stubber, code: str
    ) -> None:
        replies.add_client_error("batch_get_item", code)

        with replies, pytest.raises(TableUnavailableError, match=code):
            stubbed.read([KEY])

    def test_keys_left_unread_are_read_again(
        self, stubbed: DynamoDbTable, replies: Stubber, pauses: list[float]
    ) -> None:
        key = {"pk": {"S": KEY[0]}, "sk": {"S": KEY[1]}}
        left = {"Responses": {}, "UnprocessedKeys": {"table": {"Keys": [key]}}}
        replies.add_response("batch_get_item", left)
        found = {"Responses": {"table": [{**key, "count": {"N": "7"}}]}}
        replies.add_response("batch_get_item", found)

        with replies:
            assert stubbed.read([KEY])[0]["count"] == 7
        assert len(pauses) == 1

    def test_keys_never_read_are_an_outage(
        self, stubbed: DynamoDbTable, replies: Stubber, pauses: list[float]
    ) -> None:
        key = {"pk": {"S": KEY[0]}, "sk": {"S": KEY[1]}}
        left = {"Responses": {}, "UnprocessedKeys": {"table": {"Keys": [key]}}}
        for _ in range(4):
            replies.add_response("batch_get_item", left)

        with replies, pytest.raises(TableUnavailableError, match="unread"):
            stubbed.read([KEY])
        assert pauses == sorted(pauses)

    def test_no_connection_is_an_outage(self) -> None:
        nobody = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
        unreachable = DynamoDbTable(nobody.client("dynamodb"), "table")

        with pytest.raises(TableUnavailableError, match="Could not connect"):
            unreachable.write(KEY, {"count": 1}, {})
        with pytest.raises(TableUnavailableError, match="Could not connect"):
            unreachable.read([KEY])
