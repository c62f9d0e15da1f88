"""Part 3: a backlog against the vendor's quota, on a simulated clock.

The strategies differ in when they call and where they wait; the rest is one world for all: a queue,
executions that take batches of ten from it, and a limiter before the API.
"""

import heapq
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from bench.clock import Clock, Process, Steps
from bench.limiters import (
    LIMITERS,
    MINUTE_SECONDS,
    NO_LIMIT,
    RETRY_AFTER_SECONDS,
    Limiter,
    NoLimit,
)
from bench.say import Say
from bench.template import function_numbers
from invitations.gate import LATENESS_SECONDS, Admission, Gate, Pace

REQUESTS = 2_000
REQUESTS_PER_MINUTE = 300

FUNCTION = function_numbers()
# The template's; Lambda also begins with five at once for any queue, so the naive one gets as many.
_AT_ONCE = FUNCTION.executions_at_once

# Seconds. The AWS ones are the medians that were measured on AWS for these calls.
_API = 0.2
_REFUSAL = 0.05
_WAY = 0.15
_LEDGER = 0.005
_PUBLISH = 0.012
_SEND = 0.01
_HAND_OVER = 0.02
_LOST_RACE = 0.01
# A queue returns what was delayed when it is due, or a little later; those that were sent together
# for one moment come back nearly together.
_QUEUE_LATENESS = 0.5
_SCATTER = 0.05
# How nearly is not documented, and fuller batches are cheaper: so other answers are tried as well.
_OTHER_SCATTERS = (0.0, 0.2, 0.5)
_SEED = 1

_MOST_REQUESTS_PER_MINUTE = 10_000
_NAIVE_RECEIVES = 5
_OURS_RECEIVES = 20
_SPACED_EXECUTIONS = 2
# A safe rate is limit x window / (window + jitter between leaving and arriving).
_SPACED_JITTER = 1.0


@dataclass(frozen=True)
class Message:
    receives: int = 0


@dataclass
class Tally:
    """What happened, counted."""

    emails_at: list[float] = field(default_factory=list)
    """When each call arrived that sent an e-mail."""
    calls: int = 0
    refused: int = 0
    dead: int = 0
    deferred: int = 0
    executions: int = 0
    received: int = 0
    execution_seconds: float = 0.0
    gate_writes: int = 0
    gate_reads: int = 0
    batches_settled: int = 0
    """Executions after which at least one message was deleted."""
    batches_published: int = 0
    batches_deferred: int = 0


class Strategy(Protocol):
    executions_at_once: int
    receives: int
    """After which a message goes to the dead-letter queue."""

    def execution(self, world: "World", batch: Sequence[Message], container: int) -> Process:
        """Carry out a batch; what is not done is put back with `world.put`."""


class World:
    """The queue, the API behind its limiter, and the executions."""

    def __init__(
        self, limiter: Limiter, strategy: Strategy, requests: int, scatter: float, seed: int
    ) -> None:
        self.clock = Clock()
        self.chance = random.Random(seed)  # noqa: S311  # a simulation's
        self.tally = Tally()
        self._limiter = limiter
        self._strategy = strategy
        self._scatter = scatter
        self._open = requests
        self._visible: list[tuple[float, int, Message]] = [
            (0.0, number, Message()) for number in range(requests)
        ]
        self._last = requests
        for container in range(strategy.executions_at_once):
            self.clock.start(self._poll(container))

    def call(self) -> Steps[bool]:
        """One call; returns whether an e-mail went out."""
        yield self.chance.uniform(0, _WAY)
        sent = self._limiter.allows(self.clock.now)
        self.tally.calls += 1
        if sent:
            self.tally.emails_at.append(self.clock.now)
            self._open -= 1
        else:
            self.tally.refused += 1
        yield _API if sent else _REFUSAL
        return sent

    def put(self, message: Message, *seconds: float) -> None:
        """Put copies of a message on the queue together, to be seen after so many seconds each."""
        late = {wait: self.chance.uniform(0, _QUEUE_LATENESS) for wait in seconds}
        for wait in seconds:
            at = self.clock.now + wait + late[wait] + self.chance.uniform(0, self._scatter)
            self._last += 1
            heapq.heappush(self._visible, (at, self._last, message))

    def _poll(self, container: int) -> Process:
        while self._open:
            yield self.chance.uniform(_HAND_OVER, 2 * _HAND_OVER)
            if 0 < self._ready() < FUNCTION.batch_size:
                yield FUNCTION.batching_window_seconds
            batch = self._receive()
            if not batch:
                due_at = self._visible[0][0] if self._visible else self.clock.now
                yield max(due_at - self.clock.now, _HAND_OVER)
                continue
            began = self.clock.now
            work = self._strategy.execution(self, batch, container)
            yield [self.clock.start(work)]
            self.tally.executions += 1
            self.tally.received += len(batch)
            self.tally.execution_seconds += self.clock.now - began

    def _ready(self) -> int:
        first = heapq.nsmallest(FUNCTION.batch_size, self._visible)
        return sum(1 for at, *_ in first if at <= self.clock.now)

    def _receive(self) -> list[Message]:
        batch: list[Message] = []
        while (
            len(batch) < FUNCTION.batch_size
            and self._visible
            and self._visible[0][0] <= self.clock.now
        ):
            message = heapq.heappop(self._visible)[2]
            if message.receives >= self._strategy.receives:
                self.tally.dead += 1
                self._open -= 1
            else:
                batch.append(replace(message, receives=message.receives + 1))
        return batch


class Naive:
    """One after another; who is refused comes back after Retry-After, five times at most."""

    executions_at_once = _AT_ONCE
    receives = _NAIVE_RECEIVES

    def execution(self, world: World, batch: Sequence[Message], _container: int) -> Process:
        settled = False
        for message in batch:
            yield _LEDGER
            settled = (yield from _call_or_return(world, message)) or settled
        world.tally.batches_settled += settled


class Spaced:
    """The simpler alternative: two executions at a time, each calling at half the rate, evenly."""

    executions_at_once = _SPACED_EXECUTIONS
    receives = _OURS_RECEIVES

    def __init__(self, requests_per_minute: int) -> None:
        rate = requests_per_minute / (MINUTE_SECONDS + _SPACED_JITTER)
        self._spacing = _SPACED_EXECUTIONS / rate
        self._next_at = [0.0] * _SPACED_EXECUTIONS

    def execution(self, world: World, batch: Sequence[Message], container: int) -> Process:
        settled = False
        for message in batch:
            yield _LEDGER
            yield self._next_at[container] - world.clock.now
            self._next_at[container] = world.clock.now + self._spacing
            settled = (yield from _call_or_return(world, message)) or settled
        world.tally.batches_settled += settled


class Ours:
    """The gate that all executions share, by its own code, kept in an item of the ledger."""

    executions_at_once = _AT_ONCE
    receives = _OURS_RECEIVES

    def __init__(self, requests_per_minute: int) -> None:
        self._pace = Pace.within(requests_per_minute)
        self._item = _Item(Gate(), 0)
        # What each container saw last.
        self._known = [self._item] * _AT_ONCE

    def execution(self, world: World, batch: Sequence[Message], container: int) -> Process:
        asked_at = world.clock.now
        found: list[Admission] = []

        def admit(gate: Gate) -> Gate:
            gate, admission = gate.admit(self._pace, len(batch), asked_at)
            found.append(admission)
            return gate

        yield from self._change(world, container, admit)
        admission = found[-1]
        if admission.return_at:
            world.tally.batches_deferred += 1
            yield _SEND
        self._defer(world, *(at - world.clock.now for at in admission.return_at))
        sent: list[bool] = []
        calls = [
            world.clock.start(self._errand(world, leaves_at, container, sent))
            for leaves_at in admission.leave_at
        ]
        yield calls
        # What was put back was a copy: all of the messages are deleted.
        world.tally.batches_settled += 1
        if sent:
            world.tally.batches_published += 1
            yield _PUBLISH

    def _errand(self, world: World, leaves_at: float, container: int, sent: list[bool]) -> Process:
        if leaves_at > world.clock.now:
            yield leaves_at - world.clock.now
            world.tally.gate_reads += 1
            yield _LEDGER
            self._known[container] = self._item
            if self._item.gate.is_closed_to_others(world.clock.now):
                yield _SEND
                self._defer(world, 0)
                return
        yield _LEDGER
        if world.clock.now > leaves_at + LATENESS_SECONDS:
            yield _LEDGER + _SEND
            self._defer(world, 0)
            return
        if (yield from world.call()):
            sent.append(True)
            yield _LEDGER
            return
        until = world.clock.now + RETRY_AFTER_SECONDS
        yield from self._change(world, container, lambda gate: gate.pause(until))
        yield _LEDGER + _SEND
        self._defer(world, RETRY_AFTER_SECONDS)

    def _change(self, world: World, container: int, event: Callable[[Gate], Gate]) -> Process:
        """Compare and set, as the adapter does it, beginning with what the container knows."""
        for tries in count():
            known = self._known[container]
            changed = event(known.gate)
            if changed == known.gate:
                return
            yield _LEDGER
            world.tally.gate_writes += 1
            if self._item == known:
                self._item = _Item(changed, known.version + 1)
                self._known[container] = self._item
                return
            self._known[container] = self._item
            yield _LOST_RACE * tries * world.chance.random()

    def _defer(self, world: World, *seconds: float) -> None:
        """Fresh copies, in whole seconds; their receives begin anew."""
        world.tally.deferred += len(seconds)
        world.put(Message(), *(max(0, math.ceil(wait)) for wait in seconds))


@dataclass(frozen=True)
class _Item:
    gate: Gate
    version: int


def _call_or_return(world: World, message: Message) -> Steps[bool]:
    """Call; returns whether an e-mail went out, or else the message is back on the queue."""
    sent = yield from world.call()
    if sent:
        yield _LEDGER + _PUBLISH
    else:
        world.put(message, RETRY_AFTER_SECONDS)
        yield _LEDGER + _SEND
    return sent


STRATEGIES: Mapping[str, Callable[[int], Strategy]] = {
    "naive": lambda _: Naive(),
    "two at a time, evenly spaced": Spaced,
    "ours": Ours,
}


@dataclass(frozen=True)
class Drained:
    """How a backlog fared under one limiter by one strategy."""

    strategy: str
    limiter: str
    requests: int
    requests_per_minute: int
    tally: Tally

    @property
    def emails(self) -> int:
        return len(self.tally.emails_at)

    @property
    def seconds(self) -> float:
        """From the first e-mail to the last."""
        return self.tally.emails_at[-1] - self.tally.emails_at[0]

    @property
    def achieved(self) -> float:
        """The rate of e-mails, as a share of the limit."""
        return self.emails * MINUTE_SECONDS / self.seconds / self.requests_per_minute

    @property
    def gb_seconds_for_1000(self) -> float:
        """Of waiting and calling, for a thousand e-mails; without the handler's own work."""
        return self.tally.execution_seconds * FUNCTION.memory_gb * 1000 / self.emails


def drain(
    strategy: str,
    limiter: str,
    *,
    requests: int = REQUESTS,
    requests_per_minute: int = REQUESTS_PER_MINUTE,
    scatter: float = _SCATTER,
    seed: int = _SEED,
) -> Drained:
    """Simulate a backlog that is there at once, until each request is sent or given up.

    Without a limit, our gate is as wide open as the configuration allows.
    """
    if limiter == NO_LIMIT:
        requests_per_minute = _MOST_REQUESTS_PER_MINUTE
    world = World(
        NoLimit() if limiter == NO_LIMIT else LIMITERS[limiter](requests_per_minute),
        STRATEGIES[strategy](requests_per_minute),
        requests,
        scatter,
        seed,
    )
    world.clock.run()
    return Drained(strategy, limiter, requests, requests_per_minute, world.tally)


def measure(say: Say) -> list[Drained]:
    """Every strategy under every limiter, and ours before queues that scatter more or less."""
    drained = []
    for limiter in LIMITERS:
        for strategy in STRATEGIES:
            say(f"quota: {strategy}, {limiter}")
            drained.append(drain(strategy, limiter))
    for scatter in _OTHER_SCATTERS:
        say(f"quota: ours, deferred copies scattered over {scatter:g} s")
        other = drain("ours", "sliding window", scatter=scatter)
        drained.append(replace(other, strategy=f"ours, copies scattered over {scatter:g} s"))
    return drained
