"""How the benchmark bills what it has counted."""

from typing import Any

import pytest

from bench.cost import Kind, Share, bill, is_of_the_gate, split, units_of_call
from bench.driver import item_bytes
from bench.prices import Item
from bench.quota import FUNCTION, Drained, Tally

GATE = {"TableName": "t", "Key": {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}}


def call(service: str, operation: str, *item_sizes: int, **parameters: object) -> dict[str, Any]:
    return {
        "service": service,
        "operation": operation,
        "parameters": parameters,
        "item_bytes": list(item_sizes),
    }


@pytest.mark.parametrize(
    ("counted", "item", "units"),
    [
        (call("dynamodb", "PutItem", 1024), Item.TABLE_WRITES, 1),
        (call("dynamodb", "UpdateItem", 1025), Item.TABLE_WRITES, 2),
        (call("dynamodb", "DeleteItem", 0), Item.TABLE_WRITES, 1),
        (call("dynamodb", "TransactWriteItems", 100, 1500), Item.TABLE_WRITES, 6),
        (call("dynamodb", "GetItem", ConsistentRead=True), Item.TABLE_READS, 1),
        (call("dynamodb", "GetItem"), Item.TABLE_READS, 0.5),
        (
            call("dynamodb", "BatchGetItem", RequestItems={"t": {"Keys": [{}] * 7}}),
            Item.TABLE_READS,
            3.5,
        ),
        (call("sns", "PublishBatch", Message="x" * 60_000), Item.TOPIC, 1),
        (call("sns", "PublishBatch", Message="x" * 70_000), Item.TOPIC, 2),
        (call("sqs", "SendMessageBatch"), Item.QUEUE, 1),
        (call("secretsmanager", "GetSecretValue"), Item.SECRET, 1),
    ],
)
def test_a_call_is_billed_by_its_kind_and_size(
    counted: dict[str, Any], item: Item, units: float
) -> None:
    assert units_of_call(counted) == (item, units)


def test_a_call_that_nobody_can_bill_is_not_free() -> None:
    with pytest.raises(KeyError, match="dynamodb Scan"):
        units_of_call(call("dynamodb", "Scan"))


def test_an_item_has_the_size_of_its_names_and_values() -> None:
    # Two digits to a byte, and one byte besides.
    assert item_bytes({"pk": {"S": "é"}, "n": {"N": "12345"}}) == (2 + 2) + (1 + 3 + 1)


def test_what_each_record_asks_is_told_from_what_the_batch_asks() -> None:
    calls = [
        *[call("dynamodb", "PutItem", 10)] * 20,
        call("sns", "PublishBatch"),
        call("dynamodb", "UpdateItem", 100, **GATE),
        call(
            "dynamodb",
            "BatchGetItem",
            RequestItems={"t": {"Keys": [{}] * 10, "ConsistentRead": True}},
        ),
    ]

    per_record, per_batch = split(calls, 10)

    assert per_record[Item.TABLE_WRITES] == 2
    assert per_record[Item.TABLE_READS] == 1
    assert per_batch[Item.TOPIC] == 1
    assert not per_record[Item.TOPIC]
    assert not per_batch[Item.TABLE_WRITES]


def test_the_gate_is_told_by_its_key() -> None:
    assert is_of_the_gate(call("dynamodb", "GetItem", **GATE))
    assert not is_of_the_gate(call("dynamodb", "GetItem", Key={"pk": {"S": "USER#u"}}))


def test_a_bill_multiplies_shares_by_what_happened() -> None:
    sent = Share({Item.TABLE_WRITES: 8}, {Item.TOPIC: 1}, 0.0, 100, 0, {})
    away = Share({}, {Item.QUEUE: 1}, 0.0, 10, 0, {})
    tally = Tally(
        emails_at=[float(number) for number in range(20)],
        calls=20,
        deferred=10,
        executions=3,
        received=30,
        execution_seconds=6,
        gate_writes=4,
        gate_reads=10,
        batches_settled=3,
        batches_published=2,
        batches_deferred=1,
    )

    counted = bill(
        "ours", {Kind.SENT: sent, Kind.DEFERRED: away}, Drained("ours", "x", 20, 300, tally)
    )

    for_one = {item: units / 1_000_000 for item, units in counted.units.items()}
    assert counted.attempts == 1.5
    assert for_one[Item.TABLE_WRITES] == pytest.approx(8 + 4 / 20)
    assert for_one[Item.TABLE_READS] == pytest.approx(10 / 20)
    assert for_one[Item.TOPIC] == pytest.approx(2 / 20)
    # Three batches received, three deleted, one put back.
    assert for_one[Item.QUEUE] == pytest.approx(7 / 20)
    assert for_one[Item.LOGS] == pytest.approx(100 + 10 * 10 / 20)
    assert for_one[Item.COMPUTE] == pytest.approx(6 * FUNCTION.memory_gb / 20)
    assert counted.total == pytest.approx(
        sum(units * item.value.each for item, units in counted.units.items())
    )
