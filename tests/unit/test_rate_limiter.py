"""How executions share the limiter's state; tests/unit/test_limiter_state.py has its rules."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from invitations.errors import TableUnavailableError
from invitations.limiter_state import Token, Wait
from invitations.messages import Pace
from invitations.outcomes import Answered, Cause, Outcome, Unknown, judge
from invitations.rate_limiter import RateLimiter
from invitations.table import Item, Key
from tests.memory_table import InMemoryTable

NOW = 1_800_000_000.0
KEY = ("LIMITER", "LIMITER")
SENT = judge(Answered(200, NOW))
REJECTED = judge(Answered(404, NOW))
FORBIDDEN = judge(Answered(403, NOW))
NO_ANSWER = judge(Unknown("timed out", NOW))
UNAUTHORIZED = judge(Answered(401, NOW))
THROTTLED = judge(Answered(429, NOW, "60"))

Make = Callable[[], RateLimiter]


@dataclass
class Clock:
    now: float = NOW
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class WatchedTable(InMemoryTable):
    """Counts calls, and does something before each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.writes = 0
        self.before_read: Callable[[], None] = lambda: None
        self.before_write: Callable[[], None] = lambda: None

    def read(self, keys: Sequence[Key]) -> list[Item]:
        self.reads += 1
        self.before_read()
        return super().read(keys)

    def write(self, key: Key, item: Item, seen: Item) -> Item:
        self.writes += 1
        self.before_write()
        return super().write(key, item, seen)

    def put(self, **changes: object) -> None:
        """Change the item as another program does."""
        stands = self.items.get(KEY, {})
        self.items[KEY] = {**stands, **changes, "revision": f"other {random.random()}"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table() -> WatchedTable:
    return WatchedTable()


@pytest.fixture
def make(clock: Clock, table: WatchedTable) -> Make:
    """Makes the rate limiter of one more container."""
    return lambda: RateLimiter(table, 300, clock, clock.sleep, random.Random(1))


def report(limiter: RateLimiter, outcome: Outcome, times: int) -> None:
    for _ in range(times):
        limiter.report(outcome)


def spread_of(limiter: RateLimiter) -> tuple[float, float]:
    """The least and the most seconds of two hundred waits."""
    waits = [limiter.take_token(Pace.EVENT) for _ in range(200)]
    seconds = [each.until - NOW for each in waits if isinstance(each, Wait)]
    assert len(seconds) == 200
    return min(seconds), max(seconds)


def test_conflict_is_decided_again_on_the_item_that_another_container_wrote(
    make: Make, table: WatchedTable
) -> None:
    limiter, other = make(), make()

    def pause() -> None:
        table.before_write = lambda: None
        other.report(THROTTLED)

    table.before_write = pause

    assert limiter.take_token(Pace.EVENT) == Wait(
        NOW + 60, has_appointment=True, cause=Cause.THROTTLED
    )


def test_conflicts_without_end_are_an_outage_of_the_table(
    make: Make, table: WatchedTable, clock: Clock
) -> None:
    table.before_write = table.put

    with pytest.raises(TableUnavailableError, match="all the time"):
        make().take_token(Pace.EVENT)
    assert (table.writes, len(clock.slept)) == (20, 20)


def test_state_of_a_newer_version_is_read(make: Make, table: WatchedTable) -> None:
    table.put(paused_until=NOW + 60, pause_reason="throttled", added_later=["a", 1])

    assert make().is_paused()


def test_denial_is_decided_again_each_time_and_writes_nothing(
    make: Make, table: WatchedTable
) -> None:
    limiter = make()
    table.put(paused_until=NOW + 1e9, pause_reason="operator")
    assert isinstance(limiter.take_token(Pace.EVENT), Wait)
    assert table.writes == 0

    table.put(paused_until=NOW, pause_reason=None)
    assert limiter.take_token(Pace.EVENT) == Token(NOW)


def test_success_without_failures_before_asks_the_table_for_nothing_unlike_a_403(
    make: Make, table: WatchedTable
) -> None:
    limiter = make()
    limiter.take_token(Pace.EVENT)
    table.reads = table.writes = 0
    limiter.report(SENT)
    limiter.report(REJECTED)

    assert (table.reads, table.writes) == (0, 0)
    limiter.report(FORBIDDEN)
    assert table.items[KEY]["forbidden"] == 1


def test_success_after_failures_of_another_container_is_shared(make: Make) -> None:
    limiter, other = make(), make()
    report(limiter, NO_ANSWER, times=9)
    other.take_token(Pace.EVENT)
    other.report(SENT)
    report(limiter, NO_ANSWER, times=9)

    assert isinstance(other.take_token(Pace.EVENT), Token)


def test_replaced_key_ends_the_pause_for_all_containers(make: Make) -> None:
    limiter, other = make(), make()
    other.take_token(Pace.EVENT)
    limiter.report(UNAUTHORIZED)
    other.key_replaced()

    assert not limiter.is_paused()


def test_requests_return_10_to_15_minutes_after_an_operators_pause_denied_them(
    make: Make, table: WatchedTable
) -> None:
    table.put(paused_until=NOW + 1e9, pause_reason="operator")
    least, most = spread_of(make())

    assert 600 <= least < 620
    assert 880 < most <= 900


def test_requests_return_within_the_minute_after_an_open_breaker(make: Make) -> None:
    limiter = make()
    limiter.report(UNAUTHORIZED)
    least, most = spread_of(limiter)

    assert 15 + 1 <= least < 15 + 5
    assert 15 + 55 < most <= 15 + 60


@pytest.mark.parametrize(
    ("late", "slept", "may_call"),
    [(-2, [2.0], True), (0, [], True), (0.49, [], True), (0.51, [], False)],
)
def test_token_is_waited_for_and_used_within_half_a_second(
    make: Make, table: WatchedTable, clock: Clock, late: float, slept: list[float], may_call: bool
) -> None:
    clock.now += late

    assert make().wait_for(Token(NOW)) is may_call
    assert clock.slept == slept
    # A token that is there costs no read.
    assert table.reads == len(slept)


def test_slow_table_makes_a_call_too_late(make: Make, table: WatchedTable, clock: Clock) -> None:
    table.before_read = lambda: clock.sleep(3)

    assert not make().wait_for(Token(NOW + 2))


@pytest.mark.parametrize("outcome", [THROTTLED, UNAUTHORIZED])
def test_pause_that_began_during_the_wait_stops_the_call(make: Make, outcome: Outcome) -> None:
    make().report(outcome)

    assert not make().wait_for(Token(NOW + 2))


def test_pause_that_is_over_stops_nothing(make: Make, clock: Clock) -> None:
    make().report(THROTTLED)
    clock.now += 59

    assert make().wait_for(Token(NOW + 60))


def test_threads_of_one_container_share_writes(make: Make, table: WatchedTable) -> None:
    limiter, together = make(), threading.Barrier(20)

    def await_the_others() -> None:
        table.before_write = lambda: None
        together.wait(10)
        threading.Event().wait(0.1)

    def take_token(number: int) -> Token | Wait:
        if number > 0:
            together.wait(10)
        return limiter.take_token(Pace.EVENT)

    table.before_write = await_the_others
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(take_token, range(20)))

    assert [each for each in answers if isinstance(each, Wait)] == []
    assert table.writes < 10
