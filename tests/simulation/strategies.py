"""What most people would do before a quota, beside the rate limiter of the code."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from operator import sub

from greenlet import getcurrent, greenlet

from invitations.limiter_state import MAX_TOKEN_WAIT_SECONDS, Token
from invitations.messages import backoff_seconds, delay_seconds
from invitations.outcomes import Answered, judge
from invitations.rate_limiter import RateLimiter
from invitations.table import ConflictError, Item, Key
from tests.simulation.backlog import (
    FUNCTION,
    LEDGER_SECONDS,
    PUBLISH_SECONDS,
    SEND_SECONDS,
    Message,
    Strategy,
    Tally,
    World,
)
from tests.simulation.limiters import MINUTE_SECONDS, RETRY_AFTER_SECONDS

SPACED = "two at a time, evenly spaced"

_RECEIVES = 20
_SPACED_EXECUTIONS = 2
# A safe rate is limit x window / (window + jitter between leaving and arriving).
_SPACED_JITTER = 1.0


class Naive:
    """One call after another; a refused one is repeated after Retry-After, four times at most."""

    # Lambda also begins with five at once for any queue.
    executions_at_once = FUNCTION.executions_at_once
    receives = 5

    def execute(self, world: World, batch: Sequence[Message], container: int) -> None:
        statuses = []
        for message in batch:
            world.clock.sleep(LEDGER_SECONDS)
            self.wait(world, container)
            response = world.call(message, world.clock.now)
            assert isinstance(response, Answered)
            statuses.append(response.http_status)
            if response.http_status == 200:
                world.clock.sleep(LEDGER_SECONDS + PUBLISH_SECONDS)
            else:
                world.put(message, round(RETRY_AFTER_SECONDS))
                world.clock.sleep(LEDGER_SECONDS + SEND_SECONDS)
        world.tally.batches_settled += 200 in statuses

    def wait(self, world: World, container: int) -> None:
        """Wait before a call."""


class Spaced(Naive):
    """The simpler alternative: two executions at a time, each calling at half the rate, evenly."""

    executions_at_once = _SPACED_EXECUTIONS
    receives = _RECEIVES

    def __init__(self, requests_per_minute: int) -> None:
        rate = requests_per_minute / (MINUTE_SECONDS + _SPACED_JITTER)
        self._spacing = _SPACED_EXECUTIONS / rate
        self._next_at = [0.0] * _SPACED_EXECUTIONS

    def wait(self, world: World, container: int) -> None:
        world.clock.sleep(self._next_at[container] - world.clock.now)
        self._next_at[container] = world.clock.now + self._spacing


class LimiterTable:
    """The item of the rate limiter, and how often each process asked for it."""

    def __init__(self) -> None:
        self.item: Item = {}
        self._asked = Counter[tuple[greenlet, str]]()
        self._revisions = count(1)

    def asked(self) -> list[int]:
        """The reads, writes and conflicts of the running process."""
        return [self._asked[getcurrent(), what] for what in ("read", "write", "conflict")]

    def read(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item]:
        self._asked[getcurrent(), "read"] += 1
        return [self.item for _ in keys]

    def write(self, key: Key, item: Item, seen: Item) -> Item:  # there is one item
        if seen.get("revision") != self.item.get("revision"):
            self._asked[getcurrent(), "conflict"] += 1
            raise ConflictError(self.item)
        self._asked[getcurrent(), "write"] += 1
        self.item = {**item, "revision": next(self._revisions)}
        return self.item


class Ours:
    """The rate limiter that all executions share, and the deferrals of invitations.reinvite."""

    executions_at_once = FUNCTION.executions_at_once
    receives = _RECEIVES

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
                clock=world.clock,
                sleep=world.clock.sleep,
                rng=world.rng,
            )
        return self._limiters[container]

    def execute(self, world: World, batch: Sequence[Message], container: int) -> None:
        limiter, tally = self.limiter(world, container), world.tally
        world.clock.sleep(2 * LEDGER_SECONDS)
        deferred, calls = tally.deferred, []
        with self._counting(tally):
            for message in batch:
                if message.wait_until > world.clock.now + MAX_TOKEN_WAIT_SECONDS:
                    self._defer(world, message, message.wait_until, message.has_appointment)
                    continue
                token = limiter.take_token(message.pace, has_appointment=message.has_appointment)
                if isinstance(token, Token):
                    call = partial(self._call, world, limiter, message, token)
                    calls.append(world.clock.start(call))
                else:
                    self._defer(world, message, token.until, token.has_appointment)
        if tally.deferred > deferred:
            tally.batches_deferred += 1
            world.clock.sleep(SEND_SECONDS)
        world.clock.wait_for(calls)
        tally.batches_settled += 1
        if calls:
            tally.batches_published += 1
            world.clock.sleep(PUBLISH_SECONDS)

    def _call(self, world: World, limiter: RateLimiter, message: Message, token: Token) -> None:
        world.clock.sleep(2 * LEDGER_SECONDS)
        with self._counting(world.tally):
            may_call = limiter.wait_for(token)
        if not may_call:
            self._defer(world, message, world.clock.now)
            return
        outcome = judge(world.call(message, token.leaves_at))
        world.clock.sleep(2 * LEDGER_SECONDS)
        with self._counting(world.tally):
            limiter.report(outcome)
        now = world.clock.now
        if outcome.retry_after_seconds is not None:
            self._defer(world, message, now + outcome.retry_after_seconds)
        elif outcome.cause is not None:
            failed = replace(message, failures=message.failures + 1)
            self._defer(world, failed, now + backoff_seconds(message.failures, 900, world.rng))

    @contextmanager
    def _counting(self, tally: Tally) -> Iterator[None]:
        """Count what the table is asked for.

        The first thread of a batch asks alone, the others together.
        """
        before = self.table.asked()
        yield
        reads, writes, conflicts = map(sub, self.table.asked(), before)
        tally.limiter_reads += min(reads, 2)
        tally.limiter_writes += min(writes, 2) + conflicts

    def _defer(
        self, world: World, message: Message, until: float, has_appointment: bool = False
    ) -> None:
        """A fresh copy; its receives begin anew."""
        world.tally.deferred += 1
        waiting = replace(message, receives=0, wait_until=until, has_appointment=has_appointment)
        world.put(waiting, delay_seconds(until - world.clock.now, world.rng))


STRATEGIES: Mapping[str, Callable[[int], Strategy]] = {
    "naive": lambda _: Naive(),
    SPACED: Spaced,
    "ours": Ours,
}
