"""Backlogs of production's sizes against the vendor's quota, on a simulated clock.

`tests.simulation.backlog` drives the rate limiter and the deferrals of the code. A call arrives up
to `SLACK_SECONDS` after its token's time, as the quota's rule assumes.
"""

import random
import statistics
from collections.abc import Callable

import pytest

from invitations.limiter_state import SLACK_SECONDS
from invitations.messages import Pace
from invitations.outcomes import Cause, Outcome
from tests.simulation.backlog import World
from tests.simulation.limiters import SlidingWindow
from tests.simulation.strategies import Ours

PUNCTUAL = (0.0, 0.5)
LATE = (2.0, 5.0)
"""How many seconds late a deferred copy comes back, at least and at most."""

punctual_and_late = pytest.mark.parametrize("lateness", [PUNCTUAL, LATE], ids=["punctual", "late"])

Setup = Callable[[World, Ours], None]


def simulate(
    requests: int,
    per_minute: int,
    *setups: Setup,
    pace: Pace = Pace.EVENT,
    lateness: tuple[float, float] = PUNCTUAL,
) -> World:
    """Drain a backlog; no call meets the API's limiter, because arrivals are judged afterwards."""
    ours = Ours(per_minute)
    least, most = lateness
    world = World(ours, late=least, scatter=most - least, way=0.0)
    world.ask(requests, pace=pace)
    for setup in setups:
        setup(world, ours)
    world.clock.run()
    return world


def assert_quota_is_used_and_kept(
    world: World, per_minute: int, *, least: float = 0.92, since: float = 0.0
) -> None:
    """The calls that left after a moment have this share of the quota; the API refuses none."""
    left = sorted(at for at, _ in world.tally.calls_left if at >= since)
    assert (len(left) - 1) * 60 / (left[-1] - left[0]) / per_minute >= least
    # Anything that the code assumes to be possible, all of it equally likely.
    rng, limiter = random.Random(1), SlidingWindow(per_minute)
    arrivals = sorted(at + rng.uniform(0, SLACK_SECONDS) for at, _ in world.tally.calls_left)
    assert all(limiter.allows(moment) for moment in arrivals)


def assert_deliveries_are_few(world: World, more: float = 0.2) -> None:
    """Two for an e-mail, and one for each 10 to 15 minutes that it waits."""
    minutes = max(world.tally.emails_at) / 60
    assert world.tally.received / len(world.tally.emails_at) <= 2 + minutes / 2 / 10 + more


def waits(world: World, *, pace: Pace = Pace.EVENT, since: float = 0.0) -> list[float]:
    """Seconds from a request to its call, of those asked for since a moment."""
    return [
        at - message.asked_at
        for at, message in world.tally.calls_left
        if message.pace == pace and message.asked_at >= since
    ]


def events(
    count: int, every: float, *, at_once: int = 1, start: float = 20.0, pace: Pace = Pace.EVENT
) -> Setup:
    def setup(world: World, _: Ours) -> None:
        for number in range(count):
            world.ask(at_once, start + number * every, pace)

    return setup


@punctual_and_late
@pytest.mark.parametrize(
    ("requests", "per_minute"),
    [(20_000, 300), (20_000, 3_000), (2_000, 300), (2_000, 60), (500, 30), (130, 6), (40, 1)],
)
def test_backlog_leaves_at_quota_and_is_delivered_twice(
    requests: int, per_minute: int, lateness: tuple[float, float]
) -> None:
    world = simulate(requests, per_minute, lateness=lateness)

    assert len(world.tally.emails_at) == requests
    assert_deliveries_are_few(world)
    assert_quota_is_used_and_kept(world, per_minute)


@pytest.mark.parametrize(("seconds", "lateness"), [(60.0, PUNCTUAL), (3600.0, LATE)])
def test_429_in_the_middle_costs_its_pause_and_one_delivery(
    seconds: float, lateness: tuple[float, float]
) -> None:
    throttled = Outcome(cause=Cause.THROTTLED, retry_after_seconds=seconds)

    def setup(world: World, ours: Ours) -> None:
        world.at(100.0, lambda: ours.limiter(world).report(throttled))

    world = simulate(2_000, 300, setup, lateness=lateness)

    assert not [at for at, _ in world.tally.calls_left if 100 < at < 100 + seconds]
    assert_deliveries_are_few(world, 0.2 + seconds / 1200)
    assert_quota_is_used_and_kept(world, 300, since=100 + seconds)


def test_outage_with_10_000_waiting_costs_few_calls_and_deliveries() -> None:
    def setup(world: World, _: Ours) -> None:
        world.api_down = (100.0, 400.0)

    world = simulate(10_000, 300, setup)

    recovered_at = min(at for at in world.tally.emails_at if at > 400)
    # Ten calls that fail, those under way then, and probes after 15, 30, 60, 120 and 240 seconds.
    assert world.tally.failed <= 20
    assert recovered_at <= 400 + 300
    assert len(world.tally.emails_at) == 10_000
    assert_deliveries_are_few(world)
    assert_quota_is_used_and_kept(world, 300, since=recovered_at)


@punctual_and_late
@pytest.mark.parametrize("pace", Pace)
def test_newcomer_a_minute_after_a_purge_waits_for_nobody(
    pace: Pace, lateness: tuple[float, float]
) -> None:
    def setup(world: World, _: Ours) -> None:
        world.at(100.0, world.purge)

    newcomers = events(20, every=2.0, start=160, pace=pace)
    # Others ask all the time: their tokens say nothing about the purged line.
    others = events(100, every=3.0)
    world = simulate(5_000, 300, setup, newcomers, others, pace=pace, lateness=lateness)

    waited = waits(world, pace=pace, since=160)
    assert len(waited) >= 20
    assert max(waited) <= 2.5


@punctual_and_late
@pytest.mark.parametrize(
    ("at_once", "every", "median", "most"), [(1, 5.0, 0.05, 1.0), (20, 60.0, 2.5, 12.0)]
)
def test_event_during_bulk_finds_a_token_at_once(
    at_once: int, every: float, median: float, most: float, lateness: tuple[float, float]
) -> None:
    some = events(int(1_000 / every), every, at_once=at_once)
    world = simulate(5_000, 300, some, pace=Pace.BULK, lateness=lateness)

    assert statistics.median(waits(world)) <= median
    assert max(waits(world)) <= most
    assert_quota_is_used_and_kept(world, 300)


@punctual_and_late
@pytest.mark.parametrize(
    ("requests", "per_minute", "every", "most"),
    [(300, 60, 6.0, 4.0), (300, 30, 12.0, 5.0), (60, 6, 60.0, 21.0)],
)
def test_event_at_a_small_quota_waits_for_two_tokens_at_most(
    requests: int, per_minute: int, every: float, most: float, lateness: tuple[float, float]
) -> None:
    few = events(requests // 8, every)
    world = simulate(requests, per_minute, few, pace=Pace.BULK, lateness=lateness)

    assert max(waits(world)) <= most
    assert_deliveries_are_few(world)
    # Bulk leaves the tokens near an event's appointment alone; a late event wastes some.
    least = 0.92 if lateness is PUNCTUAL else 0.8
    assert_quota_is_used_and_kept(world, per_minute, least=least)
