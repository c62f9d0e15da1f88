"""The benchmark's bill: what is counted, and how it is multiplied."""

from typing import Any

import pytest

from bench.cost import Kind, Share, bill, hop, units_of_batch, units_of_call
from bench.prices import Item
from bench.quota import Drained
from bench.stage import Invocation
from tests.simulation.backlog import FUNCTION, Tally

LIMITER = {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}


def call(operation: str, **parameters: object) -> dict[str, Any]:
    return {"operation": operation, "parameters": parameters}


def put(size: int) -> dict[str, Any]:
    return call("PutItem", Item={"pk": {"S": "x" * (size - len('{"pk": {"S": ""}}'))}})


def reads(*keys: object) -> dict[str, Any]:
    return call("BatchGetItem", RequestItems={"t": {"Keys": list(keys)}})


def invocation(*calls: dict[str, Any], log_bytes: int = 0) -> Invocation:
    return Invocation(
        answer={},
        seconds_since_start=0,
        cpu_since_start=0,
        wall=0,
        cpu=0,
        log_bytes=log_bytes,
        peak_kilobytes=0,
        calls=list(calls),
    )


@pytest.mark.parametrize(
    ("counted", "item", "units"),
    [
        (put(1024), Item.TABLE_WRITES, 1),
        (put(1025), Item.TABLE_WRITES, 2),
        (call("DeleteItem"), Item.TABLE_WRITES, 1),
        (reads({}, {}), Item.TABLE_READS, 2),
        (call("PublishBatch"), Item.TOPIC, 1),
        (call("SendMessageBatch"), Item.QUEUE, 1),
    ],
)
def test_call_is_billed_by_operation_and_size(
    counted: dict[str, Any], item: Item, units: float
) -> None:
    assert units_of_call(counted) == (item, units)


def test_unknown_operation_raises() -> None:
    with pytest.raises(KeyError, match="Scan"):
        units_of_call(call("Scan"))


def test_calls_that_executions_share_are_left_out() -> None:
    samples = [
        invocation(
            put(10), reads({}), reads(LIMITER), call("PutItem", Item=LIMITER), log_bytes=100
        ),
        invocation(put(10), reads({}), call("GetSecretValue"), log_bytes=300),
    ]

    units = units_of_batch(samples)

    assert (units[Item.TABLE_WRITES], units[Item.TABLE_READS], units[Item.LOGS]) == (1, 1, 200)
    assert Item.SECRET not in units


def test_share_of_a_batch_is_told_from_that_of_its_records() -> None:
    share = Share.between({Item.TOPIC: 1.0}, {Item.TOPIC: 2.8})

    assert share.per_record[Item.TOPIC] == pytest.approx(0.2)
    assert share.per_batch[Item.TOPIC] == pytest.approx(0.8)


def test_bill_multiplies_shares_by_what_the_backlog_had() -> None:
    shares = {
        "ours": {
            Kind.CALLED: Share({Item.TABLE_WRITES: 3, Item.LOGS: 100}, {Item.TOPIC: 1}),
            Kind.DEFERRED: Share({Item.LOGS: 10}, {Item.QUEUE: 1}),
        }
    }
    tally = Tally(
        emails_at=[float(number) for number in range(20)],
        deferred=10,
        executions=3,
        received=30,
        execution_seconds=6,
        limiter_writes=4,
        limiter_reads=10,
        batches_settled=3,
        batches_published=2,
        batches_deferred=1,
    )

    million = bill(shares, Drained("ours", "x", 20, 300, tally))

    units = {item: amount / 1_000_000 for item, amount in million.units.items()}
    assert million.deliveries == 1.5
    assert units[Item.TABLE_WRITES] == pytest.approx(3 + 4 / 20)
    assert units[Item.TABLE_READS] == pytest.approx(10 / 20)
    assert units[Item.TOPIC] == pytest.approx(2 / 20)
    # Three batches received, three deleted, one deferred.
    assert units[Item.QUEUE] == pytest.approx(7 / 20)
    assert units[Item.LOGS] == pytest.approx(100 + 10 * 10 / 20)
    assert units[Item.COMPUTE] == pytest.approx(6 * FUNCTION.memory_gb / 20)
    assert units[Item.INVOCATIONS] == pytest.approx(3 / 20)


def test_hop_is_received_sent_and_deleted_alone() -> None:
    shares = {"ours": {Kind.HOP: Share({Item.QUEUE: 0.1}, {Item.QUEUE: 0.9})}}

    million = hop(shares)

    assert million.units[Item.QUEUE] == pytest.approx(3_000_000)
    assert million.total == pytest.approx(3 * 0.40 + 0.20)
