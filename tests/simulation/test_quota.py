"""Backlogs of production's sizes against the vendor's quota, on a simulated clock.

`tests.simulation.backlog` drives the rate limiter and the deferrals of the code. A call arrives up
to `SLACK_SECONDS` after its token's time, as the quota's rule assumes.
"""

import random
import statistics
from collections.abc import Callable

import pytest

from invitations.limiter_state import CONNECT_TIMEOUT_SECONDS, MAX_LATENESS_SECONDS, SLACK_SECONDS
from invitations.messages import Pace
from invitations.outcomes import Cause, Email, Outcome
from tests.simulation.backlog import Message, Ours, World
from tests.simulation.limiters import LIMITERS, Limiter, SlidingWindow

PUNCTUAL = (0.0, 0.5)
LATE = (2.0, 5.0)
"""How many seconds late a deferred copy comes back, at least and at most."""

WITHIN_15_MINUTES = 2.2
"""Deliveries for an e-mail whose appointment needs no hops."""

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


def arrivals(world: World, delay: Callable[[random.Random], float]) -> list[float]:
    rng = random.Random(1)
    return sorted(at + delay(rng) for at, _ in world.tally.calls_left)


def any_delay(rng: random.Random) -> float:
    """Anything that the code assumes to be possible, all of it equally likely."""
    return rng.uniform(0, SLACK_SECONDS)


def usual_delay(rng: random.Random) -> float:
    """One connection in fifty takes as long as it may."""
    slow = rng.random() < 0.02
    connecting = rng.uniform(0.1, CONNECT_TIMEOUT_SECONDS) if slow else rng.uniform(0, 0.1)
    clocks_and_way = SLACK_SECONDS - MAX_LATENESS_SECONDS - CONNECT_TIMEOUT_SECONDS
    return rng.uniform(0, MAX_LATENESS_SECONDS) + connecting + rng.uniform(0, clocks_and_way)


def refusals(limiter: Limiter, moments: list[float]) -> int:
    return sum(not limiter.allows(moment) for moment in moments)


def assert_api_refuses_none(world: World, per_minute: int) -> None:
    assert refusals(SlidingWindow(per_minute), arrivals(world, any_delay)) == 0
    for name, limiter in LIMITERS.items():
        assert refusals(limiter(per_minute), arrivals(world, usual_delay)) == 0, name


def share_of_quota(world: World, per_minute: int, since: float = 0.0) -> float:
    """The rate of the calls that left after a moment, as a share of the quota."""
    left = sorted(at for at, _ in world.tally.calls_left if at >= since)
    return (len(left) - 1) * 60 / (left[-1] - left[0]) / per_minute


def minutes(world: World) -> float:
    return max(world.tally.emails_at) / 60


def deliveries(world: World) -> float:
    return world.tally.received / len(world.tally.emails_at)


def waits(world: World, which: Callable[[Message], bool]) -> list[float]:
    return [at - message.asked_at for at, message in world.tally.calls_left if which(message)]


def waits_of_events(world: World) -> list[float]:
    return waits(world, lambda message: message.pace == Pace.EVENT)


def events(count: int, every: float, at_once: int = 1, start: float = 20.0) -> Setup:
    def setup(world: World, _: Ours) -> None:
        for number in range(count):
            world.ask(at_once, start + number * every)

    return setup


class TestBacklog:
    @pytest.mark.parametrize("lateness", [PUNCTUAL, LATE], ids=["punctual", "late"])
    @pytest.mark.parametrize(
        ("requests", "per_minute"),
        [(2_000, 300), (2_000, 60), (500, 30), (130, 6), (40, 1)],
    )
    def test_backlog_leaves_at_quota_and_meets_no_429(
        self, requests: int, per_minute: int, lateness: tuple[float, float]
    ) -> None:
        world = simulate(requests, per_minute, lateness=lateness)

        assert len(world.tally.emails_at) == requests
        assert share_of_quota(world, per_minute) >= 0.92
        assert_api_refuses_none(world, per_minute)

    @pytest.mark.parametrize("lateness", [PUNCTUAL, LATE], ids=["punctual", "late"])
    def test_backlog_of_minutes_is_delivered_twice(self, lateness: tuple[float, float]) -> None:
        assert deliveries(simulate(2_000, 300, lateness=lateness)) <= WITHIN_15_MINUTES

    def test_backlog_of_20_000_is_drained_in_75_minutes(self) -> None:
        world = simulate(20_000, 300, lateness=LATE)

        assert minutes(world) <= 75
        assert share_of_quota(world, 300) >= 0.92
        # One delivery more for each 10 to 15 minutes.
        assert deliveries(world) <= 2 + minutes(world) / 2 / 10
        assert_api_refuses_none(world, 300)

    def test_quota_beyond_one_batch_at_a_time_is_used(self) -> None:
        world = simulate(20_000, 3_000)

        assert share_of_quota(world, 3_000) >= 0.92
        assert deliveries(world) <= WITHIN_15_MINUTES
        assert_api_refuses_none(world, 3_000)

    def test_quota_beyond_executions_is_kept(self) -> None:
        world = simulate(20_000, 10_000)

        # Five executions make 110 calls a second when they get half a batch at a time.
        assert minutes(world) <= 3.5
        assert deliveries(world) <= WITHIN_15_MINUTES
        assert_api_refuses_none(world, 10_000)


class TestPause:
    @pytest.mark.parametrize(
        ("seconds", "lateness"), [(60.0, PUNCTUAL), (60.0, LATE), (3600.0, LATE)]
    )
    def test_429_in_the_middle_costs_its_pause_and_one_delivery(
        self, seconds: float, lateness: tuple[float, float]
    ) -> None:
        throttled = Outcome(Email.NO, cause=Cause.THROTTLED, retry_after_seconds=seconds)

        def setup(world: World, ours: Ours) -> None:
            world.at(100.0, lambda: ours.limiter(world).report(throttled))

        world = simulate(2_000, 300, setup, lateness=lateness)

        left = [at for at, _ in world.tally.calls_left]
        assert not [at for at in left if 100 < at < 100 + seconds]
        assert share_of_quota(world, 300, since=100 + seconds) >= 0.92
        assert deliveries(world) <= WITHIN_15_MINUTES + seconds / 600
        assert_api_refuses_none(world, 300)

    def test_outage_with_10_000_waiting_costs_few_deliveries(self) -> None:
        def setup(world: World, _: Ours) -> None:
            world.api_down = (100.0, 400.0)

        world = simulate(10_000, 300, setup)

        tally = world.tally
        recovered_at = min(at for at in tally.emails_at if at > 400)
        # Ten calls that fail, and probes after 15, 30, 60, 120 and 240 seconds.
        assert tally.failed <= 15
        assert recovered_at <= 400 + 300
        assert share_of_quota(world, 300, since=recovered_at) >= 0.92
        undisturbed = 2 + minutes(world) / 2 / 10
        assert deliveries(world) <= undisturbed + 2
        assert len(tally.emails_at) == 10_000
        assert_api_refuses_none(world, 300)

    def test_operator_pause_stops_all_until_resumed(self) -> None:
        paused = {"paused_until": 32503680000.0, "pause_reason": "operator", "revision": "p"}
        voided = {"event_line_at": 0.0, "bulk_line_at": 0.0, "pause_reason": None, "failures": 0.0}

        def setup(world: World, ours: Ours) -> None:
            def resume() -> None:
                now = world.clock.now
                resumed = {"paused_until": now, "full_at": now, "revision": "r", **voided}
                ours.table.item = {**ours.table.item, **resumed}

            world.at(100.0, lambda: setattr(ours.table, "item", {**ours.table.item, **paused}))
            world.at(1_300.0, resume)

        world = simulate(2_000, 300, setup)

        left = [at for at, _ in world.tally.calls_left]
        # A call whose token's time has come leaves.
        assert not [at for at in left if 100 < at < 1_300]
        assert len(world.tally.emails_at) == 2_000
        # All have come back 15 minutes after the end of the pause.
        assert minutes(world) <= (1_300 + 900) / 60 + 1
        assert_api_refuses_none(world, 300)


class TestPurge:
    @pytest.mark.parametrize("lateness", [PUNCTUAL, LATE], ids=["punctual", "late"])
    @pytest.mark.parametrize("pace", Pace)
    def test_newcomer_a_minute_after_purge_waits_for_nobody(
        self, pace: Pace, lateness: tuple[float, float]
    ) -> None:
        def setup(world: World, _: Ours) -> None:
            world.at(100.0, world.purge)
            for number in range(20):
                world.ask(1, 160 + 2 * number, pace)

        # Others ask all the time: their tokens say nothing about the purged line.
        others = events(100, every=3.0)
        world = simulate(5_000, 300, setup, others, pace=pace, lateness=lateness)

        newcomers = waits(world, lambda each: each.asked_at >= 160)
        assert len(newcomers) >= 20
        assert max(newcomers) <= 2.5


class TestEventsDuringBulk:
    @pytest.mark.parametrize("lateness", [PUNCTUAL, LATE], ids=["punctual", "late"])
    def test_event_finds_token_at_once(self, lateness: tuple[float, float]) -> None:
        world = simulate(5_000, 300, events(200, every=5.0), pace=Pace.BULK, lateness=lateness)

        assert statistics.median(waits_of_events(world)) <= 0.05
        assert max(waits_of_events(world)) <= 1.0
        assert share_of_quota(world, 300) >= 0.92
        assert_api_refuses_none(world, 300)

    @pytest.mark.parametrize("lateness", [PUNCTUAL, LATE], ids=["punctual", "late"])
    def test_20_events_at_once_wait_seconds(self, lateness: tuple[float, float]) -> None:
        twenty = events(16, every=60.0, at_once=20)
        world = simulate(5_000, 300, twenty, pace=Pace.BULK, lateness=lateness)

        assert statistics.median(waits_of_events(world)) <= 2.5
        assert max(waits_of_events(world)) <= 10
        assert share_of_quota(world, 300) >= 0.92
        assert_api_refuses_none(world, 300)

    @pytest.mark.parametrize("lateness", [PUNCTUAL, LATE], ids=["punctual", "late"])
    @pytest.mark.parametrize(
        ("requests", "per_minute", "every", "most"),
        [(300, 60, 6.0, 4.0), (300, 30, 12.0, 5.0), (60, 6, 60.0, 21.0)],
    )
    def test_event_at_small_quota_waits_for_two_tokens_at_most(
        self,
        requests: int,
        per_minute: int,
        every: float,
        most: float,
        lateness: tuple[float, float],
    ) -> None:
        few = events(requests // 8, every)
        world = simulate(requests, per_minute, few, pace=Pace.BULK, lateness=lateness)

        assert max(waits_of_events(world)) <= most
        assert deliveries(world) <= WITHIN_15_MINUTES
        # Bulk leaves the tokens near an event's appointment alone; a late event wastes some.
        assert share_of_quota(world, per_minute) >= (0.92 if lateness is PUNCTUAL else 0.8)
        assert_api_refuses_none(world, per_minute)
