"""Part 5: what a million e-mails cost by the price list.

What a handler asks of AWS is counted while it carries out real batches of each kind; how many
batches and records of each kind a million e-mails take comes from the simulated backlog, so that
both handlers stand before the same limiter. Left out, for both alike: what the sender pays to put
a request on the queue, polls that find nothing, the platform's own log lines, X-Ray and metrics.
"""

import json
import math
import operator
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bench.limiters import LIMITERS, NO_LIMIT
from bench.prices import Item
from bench.process import Handler, Invocation
from bench.quota import FUNCTION, STRATEGIES, Drained, drain
from bench.say import Say
from bench.stage import Event, Stage
from local.partoo.control import ANY_USER, Answer

MILLION = 1_000_000
_WRITE_UNIT_BYTES = 1024
_READ_UNIT_BYTES = 4096
_MESSAGE_UNIT_BYTES = 65_536
# With this much memory Lambda gives a whole CPU, and with less a share of one.
_GB_OF_A_CPU = 1769 / 1024
_SAMPLES = 3
# A batch is sent away when a burst left a moment ago and the next is further off than it may wait.
_SLOW_RATE = 60
_FAST_RATE = 300
_TRIES = 40
_TRY_AGAIN_SECONDS = 0.3
# The key is read again after so long; see invitations.adapters.secrets.
_OURS_KEY_SECONDS = 900.0

_GATE_KEY = {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}
# One call for a batch, billed by the records in it.
_BILLED_BY_RECORD = ("dynamodb", "BatchGetItem")

_TOO_MANY = Answer(status=429, headers={"Retry-After": "1"})

Units = Mapping[Item, float]


class Kind(Enum):
    """What became of a record of a batch."""

    SENT = "sent"
    REFUSED = "answered 429"
    DEFERRED = "sent away by the gate"


@dataclass(frozen=True)
class Share:
    """What one batch of a kind asks of AWS, split into what each record asks and the rest."""

    per_record: Units
    per_batch: Units
    cpu_seconds: float
    """Of a record."""
    log_bytes: float
    """Of a record."""
    largest_item_bytes: int
    calls: Mapping[str, int]
    """Of a batch of ten, by operation."""


def units_of_call(call: Mapping[str, Any]) -> tuple[Item, float]:
    """What one call of the SDK is billed as; raises KeyError for one that is not known here."""
    sizes: Sequence[int] = call["item_bytes"]
    match call["service"], call["operation"]:
        case "dynamodb", "TransactWriteItems":
            return Item.TABLE_WRITES, 2.0 * sum(_blocks(each, _WRITE_UNIT_BYTES) for each in sizes)
        case "dynamodb", "PutItem" | "UpdateItem" | "DeleteItem":
            return Item.TABLE_WRITES, float(sum(_blocks(each, _WRITE_UNIT_BYTES) for each in sizes))
        case "dynamodb", "GetItem":
            share = 1.0 if call["parameters"].get("ConsistentRead") else 0.5
            return Item.TABLE_READS, share
        case "dynamodb", "BatchGetItem":
            tables = call["parameters"]["RequestItems"].values()
            shares = [1.0 if each.get("ConsistentRead") else 0.5 for each in tables]
            keys = [len(each["Keys"]) for each in tables]
            return Item.TABLE_READS, sum(map(operator.mul, shares, keys))
        case "sns", "Publish" | "PublishBatch":
            return Item.TOPIC, float(_blocks(_text_bytes(call), _MESSAGE_UNIT_BYTES))
        case "sqs", _:
            return Item.QUEUE, float(_blocks(_text_bytes(call), _MESSAGE_UNIT_BYTES))
        case "secretsmanager", "GetSecretValue":
            return Item.SECRET, 1.0
    raise KeyError(f"{call['service']} {call['operation']}")


def is_of_the_gate(call: Mapping[str, Any]) -> bool:
    """The simulation counts these: how many there are depends on who else wants the gate."""
    return bool(call["parameters"].get("Key") == _GATE_KEY)


def split(calls: Iterable[Mapping[str, Any]], records: int) -> tuple[Units, Units]:
    """Split a full batch's calls: an operation made for each record, and what is left over."""
    by_operation: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for call in calls:
        if not is_of_the_gate(call) and call["operation"] != "GetSecretValue":
            by_operation.setdefault((call["service"], call["operation"]), []).append(call)
    per_record, per_batch = Counter[Item](), Counter[Item]()
    for operation, same in by_operation.items():
        billed = [units_of_call(call) for call in same]
        item, units = billed[0][0], sum(units for _, units in billed)
        each_record = len(same) // records * records
        if operation == _BILLED_BY_RECORD:
            each_record = len(same)
        per_record[item] += units * each_record / len(same) / records  # type: ignore[assignment]
        per_batch[item] += units * (len(same) - each_record) / len(same)  # type: ignore[assignment]
    return dict(per_record), dict(per_batch)


@dataclass(frozen=True)
class Bill:
    """Of a million e-mails; `units` and `dollars` by what is billed."""

    handler: str
    limiter: str
    units: Units
    attempts: float
    """Deliveries of a message to the function, for each e-mail."""

    @property
    def dollars(self) -> dict[Item, float]:
        return {item: units * item.value.each for item, units in self.units.items()}

    @property
    def total(self) -> float:
        return sum(self.dollars.values())


def bill(handler: str, shares: Mapping[Kind, Share], drained: Drained) -> Bill:
    """Multiply what a batch of each kind asks for by how often a simulated backlog had it."""
    tally = drained.tally
    units = Counter[Item]()

    def add(more: Units, times: float) -> None:
        for item, each in more.items():
            units[item] += each * times  # type: ignore[assignment]

    records = {
        Kind.SENT: drained.emails,
        Kind.REFUSED: tally.refused,
        Kind.DEFERRED: tally.deferred - tally.refused,
    }
    batches = {
        Kind.SENT: tally.batches_published,
        Kind.DEFERRED: tally.batches_deferred,
    }
    work_seconds = 0.0
    for kind, share in shares.items():
        add(share.per_record, records[kind])
        add(share.per_batch, batches.get(kind, 0))
        add({Item.LOGS: share.log_bytes}, records[kind])
        work_seconds += share.cpu_seconds * records[kind]
    waited = tally.execution_seconds * FUNCTION.memory_gb
    add({Item.TABLE_WRITES: 1.0}, tally.gate_writes)
    add({Item.TABLE_READS: 1.0}, tally.gate_reads)
    # A batch is received with one request; what was carried out of it is deleted with another.
    add({Item.QUEUE: 1.0}, tally.executions + tally.batches_settled)
    add({Item.INVOCATIONS: 1.0}, tally.executions)
    add({Item.COMPUTE: 1.0}, waited + work_seconds * _GB_OF_A_CPU)
    if handler == "ours":
        add({Item.SECRET: FUNCTION.executions_at_once / _OURS_KEY_SECONDS}, drained.seconds)
    scale = MILLION / drained.emails
    return Bill(
        handler,
        drained.limiter,
        {item: amount * scale for item, amount in units.items()},
        tally.received / drained.emails,
    )


Shares = Mapping[str, Mapping[Kind, Share]]
"""By handler."""


@dataclass(frozen=True)
class Costs:
    bills: Sequence[Bill]
    shares: Shares

    def ratio(self, limiter: str) -> float:
        """Ours by the naive one, under one limiter."""
        totals = {each.handler: each.total for each in self.bills if each.limiter == limiter}
        return totals["ours"] / totals["naive"]


def count_shares(stage: Stage, say: Say) -> Shares:
    """Count what real batches of each kind ask of AWS."""
    say("cost: counting what the naive handler asks of AWS")
    naive = _count_naive(stage)
    say("cost: counting what ours asks of AWS")
    return {"naive": naive, "ours": _count_ours(stage)}


def measure(shares: Shares, say: Say) -> Costs:
    """Simulate a backlog under each limiter, and multiply."""
    bills = []
    for limiter in (NO_LIMIT, *LIMITERS):
        say(f"cost: a backlog, {limiter}")
        bills += [
            bill(
                strategy,
                shares["ours" if strategy == "ours" else "naive"],
                drain(strategy, limiter),
            )
            for strategy in STRATEGIES
        ]
    return Costs(bills, shares)


def _count_naive(stage: Stage) -> dict[Kind, Share]:
    with stage.process("naive") as handler:
        _one(stage, "naive", handler, Kind.SENT)
        kinds = (Kind.SENT, Kind.REFUSED)
        # Once it counts, a handler is slow for ever.
        plain = {kind: _several(stage, "naive", handler, kind) for kind in kinds}
        return {
            kind: _share(plain[kind], _one(stage, "naive", handler, kind, count=True))
            for kind in kinds
        }


def _count_ours(stage: Stage) -> dict[Kind, Share]:
    shares = {}
    for kind, rate in (
        (Kind.SENT, _FAST_RATE),
        (Kind.DEFERRED, _SLOW_RATE),
        (Kind.REFUSED, _FAST_RATE),
    ):
        with stage.process("ours", rate) as handler:
            if kind is Kind.SENT:
                _one(stage, "ours", handler, kind)
            plain = _several(stage, "ours", handler, kind)
            shares[kind] = _share(plain, _one(stage, "ours", handler, kind, count=True))
    return shares


def _several(stage: Stage, name: str, handler: Handler, kind: Kind) -> list[Invocation]:
    return [_one(stage, name, handler, kind) for _ in range(_SAMPLES)]


def _one(
    stage: Stage, name: str, handler: Handler, kind: Kind, *, count: bool = False
) -> Invocation:
    """Invoke until a full batch is of the wanted kind; raises RuntimeError when none is."""
    for _ in range(_TRIES):
        users = stage.fresh_users(FUNCTION.batch_size)
        refusals = len(users) if kind is Kind.REFUSED else 0
        stage.partoo.script(ANY_USER, *[_TOO_MANY] * refusals)
        done = handler.invoke(_received(stage, name, users), count=count)
        if _kind(stage, users) is kind:
            stage.partoo.script(ANY_USER)
            return done
        time.sleep(_TRY_AGAIN_SECONDS)
    raise RuntimeError(f"no batch of the {name} handler was {kind.value}")


def _kind(stage: Stage, users: Sequence[str]) -> Kind | None:
    statuses = [call.status for call in stage.partoo.calls() if call.user_id in set(users)]
    for kind, status in ((Kind.SENT, 200), (Kind.REFUSED, 429)):
        if statuses == [status] * len(users):
            return kind
    return None if statuses else Kind.DEFERRED


def _received(stage: Stage, name: str, users: Sequence[str]) -> Event:
    """An event whose messages really were received, so that their visibility can be changed."""
    event = stage.event(name, users)
    sqs, queue_url = stage.aws.client("sqs"), stage.resources[name].queue_url
    for record in event["Records"]:
        sqs.send_message(QueueUrl=queue_url, MessageBody=record["body"])
    answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=len(event["Records"]))
    for record, message in zip(event["Records"], answer["Messages"], strict=True):
        record["receiptHandle"] = message["ReceiptHandle"]
    return event


def _share(plain: Sequence[Invocation], counted: Invocation) -> Share:
    records = FUNCTION.batch_size
    per_record, per_batch = split(counted.calls, records)
    operations = Counter(f"{call['service']} {call['operation']}" for call in counted.calls)
    return Share(
        per_record,
        per_batch,
        cpu_seconds=statistics.median(each.cpu for each in plain) / records,
        log_bytes=statistics.median(each.log_bytes for each in plain) / records,
        largest_item_bytes=max(
            (size for call in counted.calls for size in call["item_bytes"]), default=0
        ),
        calls=dict(sorted(operations.items())),
    )


def _blocks(size: int, block: int) -> int:
    return max(1, math.ceil(size / block))


def _text_bytes(call: Mapping[str, Any]) -> int:
    return len(json.dumps(call["parameters"]))
