"""A backlog on a simulated clock: queues, the executions that take batches from them, and the API.

The strategies differ in when they call and where they wait; the rest is the same for all. SQS's
delays are whole seconds, and copies come back a little late. What is visible is split among five
executions at a time, as AWS's pollers split it, however full a batch could be. Where the template
has a batching window, each of the five pollers gathers for itself: how AWS shares messages out
among them is not documented, and this is the worst that it can do.
"""

import heapq
import random
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import NamedTuple, Protocol

from greenlet import getcurrent, greenlet

from invitations.messages import Pace
from invitations.outcomes import Cause, Outcome, judge
from tests.infrastructure.template import function
from tests.simulation.limiters import RETRY_AFTER_SECONDS, Limiter, NoLimit

QUEUES = ("requests", "retries", "bulk")

# Seconds. The AWS ones are the medians that were measured on AWS for these calls.
API_SECONDS = 0.2
REFUSAL_SECONDS = 0.05
LEDGER_SECONDS = 0.005
PUBLISH_SECONDS = 0.012
SEND_SECONDS = 0.01
_HAND_OVER_SECONDS = 0.03
# While a poller gathers, it receives so often.
_LONG_POLL_SECONDS = 0.1


class FunctionNumbers(NamedTuple):
    """What the template gives the function."""

    memory_gb: float
    executions_at_once: int
    batch_size: int
    gather_seconds: float
    """How long what comes back from a wait is gathered into a batch."""


def _function_numbers() -> FunctionNumbers:
    properties = function("ReinviteUserFunction")
    queue, retries = (properties["Events"][name]["Properties"] for name in ("Requests", "Retries"))
    return FunctionNumbers(
        properties["MemorySize"] / 1024,
        queue["ScalingConfig"]["MaximumConcurrency"],
        queue["BatchSize"],
        retries.get("MaximumBatchingWindowInSeconds", 0),
    )


FUNCTION = _function_numbers()


class Clock:
    """Runs processes that sleep, in the order of their moments, without any waiting."""

    def __init__(self) -> None:
        self.now = 0.0
        self._runner = getcurrent()
        self._due: list[tuple[float, int, greenlet]] = []
        self._numbers = count()
        self._followers: dict[greenlet, list[greenlet]] = defaultdict(list)

    def __call__(self) -> float:
        return self.now

    def start(self, process: Callable[[], object], after_seconds: float = 0.0) -> greenlet:
        started = greenlet(process, parent=self._runner)
        self._wake(started, after_seconds)
        return started

    def sleep(self, seconds: float) -> None:
        self._wake(getcurrent(), seconds)
        self._runner.switch()

    def wait_for(self, processes: Sequence[greenlet]) -> None:
        """Wait until they have ended."""
        for process in processes:
            if not process.dead:
                self._followers[process].append(getcurrent())
                self._runner.switch()

    def run(self) -> None:
        """Run until no process sleeps any more."""
        while self._due:
            self.now, _, process = heapq.heappop(self._due)
            process.switch()
            for follower in self._followers.pop(process, []) if process.dead else []:
                self._wake(follower, 0)

    def _wake(self, process: greenlet, seconds: float) -> None:
        heapq.heappush(self._due, (self.now + max(seconds, 0), next(self._numbers), process))


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


class Strategy(Protocol):
    executions_at_once: int
    receives: int
    """After which a message goes to the dead-letter queue."""

    def execute(self, world: "World", batch: Sequence[Message], container: int) -> None:
        """Carry out a batch; what is not done is put back with `world.put`."""


class World:
    """The queues, the API behind its limiter, and the executions."""

    def __init__(
        self,
        strategy: Strategy,
        api_limiter: Limiter | None = None,
        *,
        late: float = 0.0,
        scatter: float = 0.5,
        way: float = 0.15,
    ) -> None:
        self.clock = Clock()
        self.rng = random.Random(1)
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

    def at(self, moment: float, action: Callable[[], object]) -> None:
        """Do something at a moment."""
        self.clock.start(action, moment - self.clock.now)

    def put(self, message: Message, seconds: int) -> None:
        """Put a copy of a message on its queue, to be seen after a delay."""
        late = self._late + self.rng.uniform(0, self._scatter)
        put_at = self.clock.now
        queue = "bulk" if message.pace == Pace.BULK else "retries"
        self.at(put_at + seconds + late, partial(self._show, message, queue, put_at))

    def purge(self) -> None:
        """Empty the queues."""
        self._purged_at = self.clock.now
        batches = [batch for each in self._gathering.values() for batch in each.values()]
        for messages in (*self._visible.values(), *batches):
            messages.clear()

    def call(self, message: Message, leaves_at: float) -> Outcome:
        """One call to the API."""
        self.tally.calls_left.append((leaves_at, message))
        self.clock.sleep(self.rng.uniform(0, self._way))
        now = self.clock.now
        if self.api_down[0] <= now < self.api_down[1]:
            self.tally.failed += 1
            self.clock.sleep(REFUSAL_SECONDS)
            return Outcome(cause=Cause.CONNECTION_FAILED)
        if not self._api_limiter.allows(now):
            self.tally.refused += 1
            self.clock.sleep(REFUSAL_SECONDS)
            return judge(429, self.clock.now, f"{RETRY_AFTER_SECONDS:.0f}")
        self.tally.emails_at.append(now)
        self.clock.sleep(API_SECONDS)
        return judge(200, self.clock.now)

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
            self.clock.start(partial(self._poll, queue, idle.pop(poller)))

    def _poll(self, queue: str, container: int) -> None:
        gather_seconds = FUNCTION.gather_seconds if queue == "retries" else 0
        while self._visible[queue]:
            self.clock.sleep(self.rng.uniform(0, _HAND_OVER_SECONDS))
            batch = self._receive(self._visible[queue])
            if batch and gather_seconds:
                self._gather(queue, container, batch, gather_seconds)
            if not batch:
                continue
            began = self.clock.now
            self._strategy.execute(self, batch, container)
            self.tally.executions += 1
            self.tally.received += len(batch)
            self.tally.execution_seconds += self.clock.now - began
        self._idle[queue].append(container)

    def _gather(
        self, queue: str, container: int, batch: list[Message], gather_seconds: float
    ) -> None:
        """Add to a batch what is visible until the batch is full or the time is over."""
        until = self.clock.now + gather_seconds
        self._gathering[queue][container] = batch
        while len(batch) < FUNCTION.batch_size and self.clock.now < until:
            self.clock.sleep(min(_LONG_POLL_SECONDS, until - self.clock.now))
            batch += self._receive(self._visible[queue], FUNCTION.batch_size - len(batch))
        del self._gathering[queue][container]

    def _receive(self, visible: deque[Message], most: int = FUNCTION.batch_size) -> list[Message]:
        batch: list[Message] = []
        share = self.rng.randint(min(1, most), most)
        while visible and len(batch) < share:
            message = visible.popleft()
            if message.receives >= self._strategy.receives:
                self.tally.dead += 1
            else:
                batch.append(replace(message, receives=message.receives + 1))
        return batch
