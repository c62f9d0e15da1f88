"""A backlog on a simulated clock: queues, the executions that take batches from them, and the API.

The strategies differ in when they call and where they wait; the rest is the same for all. SQS's
delays are whole seconds, and copies come back a little late. What is visible is split among five
executions at a time, as AWS's pollers split it, however full a batch could be. Where the template
has a batching window, each of the five pollers gathers for itself: how AWS shares messages out
among them is not documented, and this is the worst that it can do.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from invitations.limiter_state import WAIT_SECONDS, Token
from invitations.messages import Pace, delay_seconds
from invitations.outcomes import Answered, NotSent, Response, judge
from invitations.rate_limiter import RateLimiter
from invitations.table import ConflictError, Item, Key
from tests.simulation.clock import Clock, Process, Steps
from tests.simulation.limiters import RETRY_AFTER_SECONDS, Limiter, NoLimit
from tests.simulation.template import function_numbers

FUNCTION = function_numbers()
QUEUES = ("requests", "retries", "bulk")

# Seconds. The AWS ones are the medians that were measured on AWS for these calls.
API_SECONDS = 0.2
REFUSAL_SECONDS = 0.05
WAY_SECONDS = 0.15
LEDGER_SECONDS = 0.005
PUBLISH_SECONDS = 0.012
SEND_SECONDS = 0.01
_HAND_OVER_SECONDS = 0.03
_SCATTER_SECONDS = 0.5
# As invitations.exits backs off.
_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 5.0, 900.0


@dataclass(frozen=True)
class Message:
    asked_at: float
    pace: Pace = Pace.EVENT
    receives: int = 0
    wait_until: float = 0.0
    has_appointment: bool = False
    failures: int = 0


@dataclass
class Tally:
    """What happened, counted."""

    calls_left: list[tuple[float, Message]] = field(default_factory=list)
    """When each call left that was made for a message."""
    emails_at: list[float] = field(default_factory=list)
    """When each call arrived that sent an e-mail."""
    refused: int = 0
    failed: int = 0
    dead: int = 0
    deferred: int = 0
    executions: int = 0
    received: int = 0
    execution_seconds: float = 0.0
    limiter_writes: int = 0
    limiter_reads: int = 0
    batches_settled: int = 0
    """Executions after which at least one message was deleted."""
    batches_published: int = 0
    batches_deferred: int = 0

    @property
    def calls(self) -> int:
        return len(self.calls_left)


class Strategy(Protocol):
    executions_at_once: int
    receives: int
    """After which a message goes to the dead-letter queue."""

    def execution(self, world: "World", batch: Sequence[Message], container: int) -> Process:
        """Carry out a batch; what is not done is put back with `world.put`."""


class World:
    """The queues, the API behind its limiter, and the executions."""

    def __init__(
        self,
        strategy: Strategy,
        api_limiter: Limiter | None = None,
        *,
        late: float = 0.0,
        scatter: float = _SCATTER_SECONDS,
        way: float = WAY_SECONDS,
        seed: int = 1,
    ) -> None:
        self.clock = Clock()
        self.rng = random.Random(seed)  # a simulation's
        self.tally = Tally()
        self.api_down = (0.0, 0.0)
        """From when to when no connection to the API is established."""
        self._strategy = strategy
        self._api_limiter = api_limiter or NoLimit()
        self._late, self._scatter, self._way = late, scatter, way
        self._purged_at = 0.0
        # Each queue has executions of its own.
        at_once = strategy.executions_at_once
        self._visible = {queue: deque[Message]() for queue in QUEUES}
        self._gathering: dict[str, dict[int, list[Message]]] = {queue: {} for queue in QUEUES}
        self._idle = {
            queue: list(range(number * at_once, (number + 1) * at_once))
            for number, queue in enumerate(QUEUES)
        }

    def ask(self, requests: int, at: float = 0.0, pace: Pace = Pace.EVENT) -> None:
        """Requests that are all sent within half a second."""
        for _ in range(requests):
            asked_at = at + self.rng.uniform(0, 0.5)
            queue = "bulk" if pace == Pace.BULK else "requests"
            self.at(asked_at, partial(self._show, Message(asked_at, pace), queue))

    def at(self, moment: float, action: Any) -> None:
        """Do something at a moment."""
        self.clock.start(_later(moment - self.clock.now, action))

    def put(self, message: Message, seconds: int) -> None:
        """Put a copy of a message on its queue, to be seen after a delay."""
        late = self._late + self.rng.uniform(0, self._scatter)
        put_at = self.clock.now
        queue = "bulk" if message.pace == Pace.BULK else "retries"
        self.at(put_at + seconds + late, partial(self._show, message, queue, put_at))

    def purge(self) -> None:
        """Empty the queues."""
        self._purged_at = self.clock.now
        for visible in self._visible.values():
            visible.clear()
        for batches in self._gathering.values():
            for batch in batches.values():
                batch.clear()

    def call(self, message: Message, leaves_at: float) -> Steps[Response]:
        """One call to the API."""
        self.tally.calls_left.append((leaves_at, message))
        yield self.rng.uniform(0, self._way)
        now = self.clock.now
        if self.api_down[0] <= now < self.api_down[1]:
            self.tally.failed += 1
            yield REFUSAL_SECONDS
            return NotSent("connection refused")
        if not self._api_limiter.allows(now):
            self.tally.refused += 1
            yield REFUSAL_SECONDS
            return Answered(429, self.clock.now, f"{RETRY_AFTER_SECONDS:.0f}")
        self.tally.emails_at.append(now)
        yield API_SECONDS
        return Answered(200, self.clock.now)

    def _show(self, message: Message, queue: str, put_at: float | None = None) -> None:
        if put_at is not None and put_at < self._purged_at:
            return
        idle = self._idle[queue]
        gathering = [
            batch for batch in self._gathering[queue].values() if len(batch) < FUNCTION.batch_size
        ]
        poller = self.rng.randrange(len(idle) + len(gathering)) if idle or gathering else None
        if poller is not None and poller >= len(idle):
            gathering[poller - len(idle)].append(replace(message, receives=message.receives + 1))
            return
        self._visible[queue].append(message)
        if poller is not None:
            self.clock.start(self._poll(queue, idle.pop(poller)))

    def _poll(self, queue: str, container: int) -> Process:
        gather_seconds = FUNCTION.gather_seconds if queue == "retries" else 0
        while self._visible[queue]:
            yield self.rng.uniform(0, _HAND_OVER_SECONDS)
            batch = self._receive(self._visible[queue])
            if batch and gather_seconds:
                self._gathering[queue][container] = batch
                yield gather_seconds
                del self._gathering[queue][container]
            if not batch:
                continue
            began = self.clock.now
            yield from self._strategy.execution(self, batch, container)
            self.tally.executions += 1
            self.tally.received += len(batch)
            self.tally.execution_seconds += self.clock.now - began
        self._idle[queue].append(container)

    def _receive(self, visible: deque[Message]) -> list[Message]:
        batch: list[Message] = []
        share = self.rng.randint(1, FUNCTION.batch_size)
        while visible and len(batch) < share:
            message = visible.popleft()
            if message.receives >= self._strategy.receives:
                self.tally.dead += 1
            else:
                batch.append(replace(message, receives=message.receives + 1))
        return batch


def _later(seconds: float, action: Any) -> Process:
    yield seconds
    action()


class LimiterTable:
    """The item of the rate limiter, and how often it was asked for."""

    def __init__(self) -> None:
        self.item: Item = {}
        self.reads = self.writes = self.conflicts = 0

    def read(self, keys: Sequence[Key]) -> list[Item]:
        self.reads += 1
        return [self.item for _ in keys]

    def write(self, key: Key, item: Item, seen: Item) -> Item:  # there is one item
        if seen.get("revision") != self.item.get("revision"):
            self.conflicts += 1
            raise ConflictError(self.item)
        self.writes += 1
        self.item = {**item, "revision": self.writes}
        return self.item


class Ours:
    """The rate limiter that all executions share, and the deferrals of invitations.reinvite."""

    executions_at_once = FUNCTION.executions_at_once
    receives = 20

    def __init__(self, requests_per_minute: int) -> None:
        self.table = LimiterTable()
        self._requests_per_minute = requests_per_minute
        self._limiters: dict[int, RateLimiter] = {}

    def limiter(self, world: World, container: int = 0) -> RateLimiter:
        """The rate limiter of a container: what it saw last is its own."""
        if container not in self._limiters:
            self._limiters[container] = RateLimiter(
                self.table,
                self._requests_per_minute,
                clock=lambda: world.clock.now,
                sleep=lambda _: None,
                rng=world.rng,
            )
        return self._limiters[container]

    def execution(self, world: World, batch: Sequence[Message], container: int) -> Process:
        limiter, tally = self.limiter(world, container), world.tally
        yield 2 * LEDGER_SECONDS
        deferred, calls = tally.deferred, []
        with self._counting(tally):
            for message in batch:
                if message.wait_until > world.clock.now + WAIT_SECONDS:
                    self._defer(world, message, message.wait_until, message.has_appointment)
                    continue
                token = limiter.take_token(message.pace, has_appointment=message.has_appointment)
                if isinstance(token, Token):
                    calls.append(world.clock.start(self._call(world, limiter, message, token)))
                else:
                    self._defer(world, message, token.until, token.has_appointment)
        if tally.deferred > deferred:
            tally.batches_deferred += 1
            yield SEND_SECONDS
        yield calls
        tally.batches_settled += 1
        if calls:
            tally.batches_published += 1
            yield PUBLISH_SECONDS

    def _call(self, world: World, limiter: RateLimiter, message: Message, token: Token) -> Process:
        yield 2 * LEDGER_SECONDS
        wait_seconds = token.leaves_at - world.clock.now
        if wait_seconds > 0:
            yield wait_seconds
            with self._counting(world.tally):
                is_paused = limiter.is_paused()
            if is_paused:
                self._defer(world, message, world.clock.now)
                return
        outcome = judge((yield from world.call(message, token.leaves_at)))
        yield 2 * LEDGER_SECONDS
        with self._counting(world.tally):
            limiter.report(outcome)
        now = world.clock.now
        if outcome.retry_after_seconds is not None:
            self._defer(world, message, now + outcome.retry_after_seconds)
        elif outcome.cause is not None:
            ceiling = min(_BACKOFF_SECONDS * 2.0**message.failures, _MAX_BACKOFF_SECONDS)
            failed = replace(message, failures=message.failures + 1)
            self._defer(world, failed, now + ceiling * world.rng.uniform(0.5, 1))

    @contextmanager
    def _counting(self, tally: Tally) -> Iterator[None]:
        """Count what the table is asked for; the threads of a batch share one write."""
        reads, writes, conflicts = self.table.reads, self.table.writes, self.table.conflicts
        yield
        tally.limiter_reads += self.table.reads - reads
        tally.limiter_writes += min(self.table.writes - writes, 1)
        tally.limiter_writes += self.table.conflicts - conflicts

    def _defer(
        self, world: World, message: Message, until: float, has_appointment: bool = False
    ) -> None:
        """A fresh copy; its receives begin anew."""
        world.tally.deferred += 1
        waiting = replace(message, receives=0, wait_until=until, has_appointment=has_appointment)
        world.put(waiting, delay_seconds(until - world.clock.now, world.rng))
