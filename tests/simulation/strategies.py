"""What most people would do before a quota, beside the rate limiter of the code."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count

from invitations.batcher import GATHER_SECONDS
from invitations.limiter_state import MAX_TOKEN_WAIT_SECONDS, Token
from invitations.messages import backoff_seconds, delay_seconds
from invitations.rate_limiter import RateLimiter
from invitations.table import ConflictError, Item, Key, Table
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
            status = world.call(message, world.clock.now).http_status
            statuses.append(status)
            if status == 200:
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


class LimiterTable(Table):
    """The item of the rate limiter, and how often it was asked for."""

    def __init__(self, tally: Tally) -> None:
        self.item: Item = {}
        self._tally = tally
        self._revisions = count(1)

    def read(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item]:
        self._tally.limiter_reads += 1
        return [self.item for _ in keys]

    def write(self, key: Key, item: Item, seen: Item) -> Item:  # there is one item
        self._tally.limiter_writes += 1
        if seen.get("revision") != self.item.get("revision"):
            raise ConflictError(self.item)
        self.item = {**item, "revision": next(self._revisions)}
        return self.item


class Ours:
    """The rate limiter that all executions share, and the deferrals of invitations.reinvite."""

    executions_at_once = FUNCTION.executions_at_once
    receives = _RECEIVES

    def __init__(self, requests_per_minute: int) -> None:
        self._requests_per_minute = requests_per_minute
        self._table: LimiterTable | None = None
        self._limiters: dict[int, RateLimiter] = {}

    def limiter(self, world: World, container: int = 0) -> RateLimiter:
        """The rate limiter of a container: what it saw last is its own."""
        self._table = self._table or LimiterTable(world.tally)
        if container not in self._limiters:
            self._limiters[container] = RateLimiter(
                self._table,
                self._requests_per_minute,
                clock=world.clock,
                sleep=world.clock.sleep,
                rng=world.rng,
            )
        return self._limiters[container]

    def execute(self, world: World, batch: Sequence[Message], container: int) -> None:
        limiter, tally = self.limiter(world, container), world.tally
        world.clock.sleep(GATHER_SECONDS + LEDGER_SECONDS)
        ends = set[str]()

        def carry_out(message: Message) -> None:
            ends.add(self._carry_out(world, limiter, message))

        world.clock.wait_for([world.clock.start(partial(carry_out, each)) for each in batch])
        tally.batches_settled += 1
        tally.batches_deferred += "deferred" in ends
        tally.batches_published += "sent" in ends

    def _carry_out(self, world: World, limiter: RateLimiter, message: Message) -> str:
        """Return `sent` or `deferred`."""
        if message.wait_until > world.clock.now + MAX_TOKEN_WAIT_SECONDS:
            return self._defer(world, message, message.wait_until, message.has_appointment)
        token = limiter.take_token(message.pace, has_appointment=message.has_appointment)
        if not isinstance(token, Token):
            return self._defer(world, message, token.until, token.has_appointment)
        world.clock.sleep(2 * LEDGER_SECONDS)
        if not limiter.wait_for(token):
            return self._back_off(world, message)
        outcome = world.call(message, token.leaves_at)
        world.clock.sleep(LEDGER_SECONDS)
        limiter.report(outcome)
        if outcome.retry_after_seconds is not None:
            return self._defer(world, message, world.clock.now + outcome.retry_after_seconds)
        if outcome.cause is not None:
            return self._back_off(world, message)
        world.clock.sleep(GATHER_SECONDS + PUBLISH_SECONDS)
        return "sent"

    def _back_off(self, world: World, message: Message) -> str:
        failed = replace(message, failures=message.failures + 1)
        seconds = backoff_seconds(message.failures, 900, world.rng)
        return self._defer(world, failed, world.clock.now + seconds)

    def _defer(
        self, world: World, message: Message, until: float, has_appointment: bool = False
    ) -> str:
        """A fresh copy; its receives begin anew."""
        world.tally.deferred += 1
        waiting = replace(message, receives=0, wait_until=until, has_appointment=has_appointment)
        world.put(waiting, delay_seconds(until - world.clock.now, world.rng))
        world.clock.sleep(GATHER_SECONDS + SEND_SECONDS)
        return "deferred"


STRATEGIES: Mapping[str, Callable[[int], Strategy]] = {
    "naive": lambda _: Naive(),
    SPACED: Spaced,
    "ours": Ours,
}
