"""The benchmark's bill: what is counted, how it is multiplied, and the page that quotes it."""

from itertools import takewhile
from typing import Any

import pytest

from bench.cost import Kind, Share, bill, hop, units_of_batch
from bench.prices import Item
from bench.quota import Drained
from bench.stage import Invocation
from tests.documents import text_of
from tests.simulation.backlog import FUNCTION, Tally

LIMITER = {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}


def call(operation: str, **parameters: object) -> dict[str, Any]:
    return {"operation": operation, "parameters": parameters}


def put(size: int) -> dict[str, Any]:
    return call("PutItem", Item={"pk": {"S": "x" * (size - len('{"pk": {"S": ""}}'))}})


def reads(*keys: object, consistent: bool = True) -> dict[str, Any]:
    table = {"Keys": list(keys), "ConsistentRead": consistent}
    return call("BatchGetItem", RequestItems={"t": table})


def test_batch_is_billed_by_operation_and_size_without_what_executions_share() -> None:
    shared = [reads(LIMITER), call("PutItem", Item=LIMITER), call("GetSecretValue")]
    one = [put(1024), reads({}, {}), call("PublishBatch"), *shared]
    other = [put(1025), reads({}, {}, consistent=False), call("SendMessageBatch")]

    units = units_of_batch([Invocation({}, 0, 0, 0, 0, 200, 0, calls) for calls in (one, other)])

    assert {item: amount for item, amount in units.items() if amount} == {
        Item.TABLE_WRITES: 1.5,
        Item.TABLE_READS: 1.5,
        Item.TOPIC: 0.5,
        Item.QUEUE: 0.5,
        Item.LOGS: 200,
    }


def test_bill_multiplies_shares_by_what_the_backlog_had() -> None:
    called = Share.between({Item.TOPIC: 1.0, Item.LOGS: 100}, {Item.TOPIC: 1.0, Item.LOGS: 1_000})
    shares = {
        "ours": {
            Kind.CALLED: called,
            Kind.DEFERRED: Share({Item.LOGS: 10}, {Item.QUEUE: 1}),
            Kind.HOP: Share({Item.QUEUE: 0.1}, {Item.QUEUE: 0.9}),
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

    million = bill(shares, Drained("ours", "x", 300, tally))

    assert million.deliveries == 1.5
    assert {item: amount / 1_000_000 for item, amount in million.units.items()} == {
        Item.TABLE_WRITES: pytest.approx(4 / 20),
        Item.TABLE_READS: pytest.approx(10 / 20),
        Item.TOPIC: pytest.approx(2 / 20),
        # Three batches received, three deleted, one deferred.
        Item.QUEUE: pytest.approx(7 / 20),
        Item.LOGS: pytest.approx(100 + 10 * 10 / 20),
        Item.COMPUTE: pytest.approx(6 * FUNCTION.memory_gb / 20),
        Item.INVOCATIONS: pytest.approx(3 / 20),
        Item.SECRET: pytest.approx(19 * FUNCTION.executions_at_once / 900 / 20),
    }
    # A hop is received, sent and deleted alone.
    assert hop(shares).total == pytest.approx(3 * 0.40 + 0.20)


def test_totals_of_eu_west_1_follow_from_the_other_columns_of_the_page() -> None:
    text = text_of("docs/cost.md")
    lines = text[text.index("| | limiter |") :].splitlines()
    table = takewhile(lambda line: line.startswith("|"), lines)
    header, _, *rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in table]
    more = {
        header.index(item.value.label): item.value.in_europe / item.value.each - 1 for item in Item
    }
    totals = [
        float(row[-3]) + sum(float(row[place]) * share for place, share in more.items())
        for row in rows
    ]

    assert header[-3:-1] == ["total", "in eu-west-1"]
    # Each figure is rounded to a cent.
    assert [float(row[-2]) for row in rows] == pytest.approx(totals, abs=0.013)
