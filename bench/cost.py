"""What a million e-mails cost by the price list.

Real batches of one record and of ten say what a delivery of each kind asks of AWS, and what its
batch asks besides; a simulated backlog says how many of each a million e-mails take. Left out for
all handlers: sending the request, polls that find nothing, the platform's own log lines, X-Ray,
metrics, storage.
"""

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from bench.page import Say, Section
from bench.prices import Item
from bench.quota import Drained, drain
from bench.stage import NO_QUOTA, Invocation, Stage
from local.partoo.control import ANY_USER, Answer
from tests.simulation.backlog import FUNCTION
from tests.simulation.limiters import LIMITERS, NO_LIMIT
from tests.simulation.strategies import SPACED, STRATEGIES

MILLION = 1_000_000

# With so much memory Lambda gives a whole CPU, and with less a share of it.
_GB_OF_A_CPU = 1769 / 1024
# invitations.api_key reads the key again after this.
_KEY_SECONDS = 900.0
_BATCH = 10
_SAMPLES = 5

Units = Mapping[Item, float]


class Kind(Enum):
    """What one delivery of a message comes to."""

    CALLED = "calls"
    REFUSED = "is answered 429"
    DEFERRED = "gets an appointment"
    HOP = "waits on"


_COUNTED = {
    "naive": (Kind.CALLED, Kind.REFUSED),
    "ours": (Kind.CALLED, Kind.DEFERRED, Kind.HOP),
}


class Share(NamedTuple):
    """What deliveries of one kind ask of AWS, without the rate limiter and the key."""

    per_record: Units
    per_batch: Units

    @classmethod
    def between(cls, one: Units, ten: Units) -> "Share":
        """Split what batches of one record and of ten ask."""
        per_record = {item: (ten[item] - one[item]) / (_BATCH - 1) for item in ten}
        return cls(per_record, {item: one[item] - per_record[item] for item in ten})


Shares = Mapping[str, Mapping[Kind, Share]]
"""By handler: `naive`, `ours`."""


@dataclass(frozen=True)
class Bill:
    """What a million e-mails take; `deliveries` of a message for each."""

    strategy: str
    limiter: str
    deliveries: float
    units: Units

    @property
    def total(self) -> float:
        """Dollars."""
        return sum(units * item.value.each for item, units in self.units.items())

    @property
    def row(self) -> list[str]:
        prices = [(item.value, self.units[item]) for item in Item]
        dollars = [price.each * units for price, units in prices]
        in_europe = sum(price.in_europe * units for price, units in prices)
        figures = (self.deliveries, *dollars, self.total, in_europe)
        return [self.strategy, self.limiter, *(f"{each:.2f}" for each in figures)]


def measure(stage: Stage, say: Say) -> Section:
    """Count, simulate a backlog under each limiter, and multiply."""
    shares: dict[str, dict[Kind, Share]] = {"naive": {}, "ours": {}}
    for name, kinds in _COUNTED.items():
        for kind in kinds:
            say(f"cost: counting what a delivery asks of AWS that {kind.value}, {name}")
            one, ten = (_count(stage, name, kind, size) for size in (1, _BATCH))
            shares[name][kind] = Share.between(one, ten)
    bills = []
    for limiter in (NO_LIMIT, *LIMITERS):
        say(f"cost: a backlog, {limiter}")
        bills += [bill(shares, drain(strategy, limiter)) for strategy in STRATEGIES]
    spaced = {each.limiter: each.total for each in bills if each.strategy == SPACED}
    rows = [[*each.row, f"{each.total / spaced[each.limiter]:.2f}"] for each in bills]
    labels = [item.value.label for item in Item]
    head = ["", "limiter", "deliveries", *labels, "total", "in eu-west-1", "of the spaced"]
    rows.append([*hop(shares).row, ""])
    return Section("A million e-mails, dollars, bench/prices.py", head, rows)


def bill(shares: Shares, drained: Drained) -> Bill:
    """Multiply what each kind of delivery asks by how often a simulated backlog had it."""
    tally, is_ours = drained.tally, drained.strategy == "ours"
    # A call of ours that is refused costs what another costs.
    called = drained.emails + (tally.refused if is_ours else 0)
    often = {
        Kind.CALLED: (called, tally.batches_published or tally.executions),
        Kind.REFUSED: (tally.refused, 0),
        Kind.DEFERRED: (tally.deferred - tally.refused, tally.batches_deferred),
        Kind.HOP: (0, 0),
    }
    key_reads = drained.seconds * FUNCTION.executions_at_once / _KEY_SECONDS if is_ours else 0
    shared = {
        Item.TABLE_WRITES: tally.limiter_writes,
        Item.TABLE_READS: tally.limiter_reads,
        # One request receives a batch, another deletes what was carried out of it.
        Item.QUEUE: tally.executions + tally.batches_settled,
        Item.INVOCATIONS: tally.executions,
        Item.COMPUTE: tally.execution_seconds * FUNCTION.memory_gb,
        Item.SECRET: key_reads,
    }
    parts: list[tuple[Units, float]] = [(shared, 1.0)]
    for kind, share in shares["ours" if is_ours else "naive"].items():
        parts += zip(share, often[kind], strict=True)
    million = _sum((units, times * MILLION / drained.emails) for units, times in parts)
    return Bill(drained.strategy, drained.limiter, tally.received / drained.emails, million)


def hop(shares: Shares) -> Bill:
    """Bill one hop more of each of a million requests, each alone in its batch."""
    alone = (*shares["ours"][Kind.HOP], {Item.QUEUE: 2.0, Item.INVOCATIONS: 1.0})
    units = _sum((each, MILLION) for each in alone)
    return Bill("ours", "each 15 minutes of waiting more", 1.0, units)


def units_of_call(call: Mapping[str, Any]) -> tuple[Item, float]:
    """Return what AWS bills for a call of the SDK; raises KeyError for an unknown one.

    DynamoDB bills a write by the larger of the item before and after. What is deleted or replaced
    here has less than 1 KB. A read that is not consistent costs half. Ten messages have less than
    64 KB.
    """
    parameters = call["parameters"]
    match call["operation"]:
        case "PutItem":
            # As JSON an item is longer than DynamoDB counts it.
            size = len(json.dumps(parameters["Item"]))
            return Item.TABLE_WRITES, float(math.ceil(size / 1024))
        case "DeleteItem":
            return Item.TABLE_WRITES, 1.0
        case "BatchGetItem":
            (table,) = parameters["RequestItems"].values()
            return Item.TABLE_READS, len(table["Keys"]) * (1.0 if table["ConsistentRead"] else 0.5)
        case "Publish" | "PublishBatch":
            return Item.TOPIC, 1.0
        case "SendMessageBatch" | "ChangeMessageVisibility":
            return Item.QUEUE, 1.0
    raise KeyError(call["operation"])


def units_of_batch(samples: Sequence[Invocation]) -> Units:
    """Return what a batch asks of AWS: the mean of several that were alike.

    Calls that executions share are left out: those for the limiter's item and for the key.
    """
    calls = [call for each in samples for call in each.calls]
    own = [
        dict([units_of_call(call)])
        for call in calls
        if call["operation"] != "GetSecretValue"
        and '"LIMITER"' not in json.dumps(call["parameters"])
    ]
    own += [{Item.LOGS: each.log_bytes} for each in samples]
    cpu_seconds = statistics.median(each.cpu for each in samples)
    means = [(each, 1 / len(samples)) for each in own]
    return _sum([*means, ({Item.COMPUTE: _GB_OF_A_CPU}, cpu_seconds)])


def _sum(parts: Iterable[tuple[Units, float]]) -> Units:
    """Add units, each so many times."""
    total = dict.fromkeys(Item, 0.0)
    for units, times in parts:
        for item, each in units.items():
            total[item] += each * times
    return total


def _count(stage: Stage, name: str, kind: Kind, size: int) -> Units:
    """Count what warm batches ask; raises RuntimeError if their deliveries were of another kind."""
    state = None
    if kind is Kind.HOP:
        waiting = {"asked_at": 0, "wait_until": 2**32, "cause": "quota", "has_appointment": True}
        state = json.dumps(waiting)
    users = [stage.fresh_users(each) for each in (_BATCH, *[size] * _SAMPLES)]
    events = [stage.event(name, each, retry_state=state) for each in users]
    # The first batch opens connections, reads the key, and takes the one token of a quota of 1.
    quota, first = (1, 1) if kind is Kind.DEFERRED else (NO_QUOTA, _BATCH)
    refusal = Answer(status=429, headers={"Retry-After": "1"})
    answer = refusal if kind is Kind.REFUSED else Answer()
    stage.partoo.script(ANY_USER, *[Answer()] * first, *[answer] * size * _SAMPLES)
    samples = stage.run(name, events, count=True, requests_per_minute=quota)[1:]
    later = {user for each in users[1:] for user in each}
    statuses = [call.status for call in stage.partoo.calls() if call.user_id in later]
    expected = {Kind.CALLED: 200, Kind.REFUSED: 429}.get(kind)
    if statuses != ([expected] * len(later) if expected else []):
        raise RuntimeError(f"not each delivery {kind.value}, {name}: {statuses}")
    return units_of_batch(samples)
