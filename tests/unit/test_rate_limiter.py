"""The rules of quota, appointments and pauses, and how executions share their state."""

import json
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invitations.errors import TableUnavailableError
from invitations.limiter_state import (
    CONNECT_TIMEOUT_SECONDS,
    MAX_LATENESS_SECONDS,
    SLACK_SECONDS,
    WAIT_SECONDS,
    LimiterState,
    Quota,
    Token,
    Wait,
)
from invitations.messages import Pace
from invitations.outcomes import Answered, Cause, NotSent, Outcome, Unknown, judge
from invitations.rate_limiter import RateLimiter
from invitations.table import Item, Key
from tests.memory_table import InMemoryTable

NOW = 1_800_000_000.0
QUOTA = Quota(300)
SMALL = Quota(30)
"""Without a reserve for events."""

KEY = ("LIMITER", "LIMITER")

SENT = judge(Answered(200, NOW))
REJECTED = judge(Answered(404, NOW))
NOT_SENT = judge(NotSent("connection refused"))
NO_ANSWER = judge(Unknown("timed out", NOW))
SERVER_ERROR = judge(Answered(503, NOW))
UNAUTHORIZED = judge(Answered(401, NOW))


def throttled(seconds: int) -> Outcome:
    return judge(Answered(429, NOW, str(seconds)))


near = partial(pytest.approx, abs=1e-3)


def since_now(answer: Token | Wait) -> Token | Wait:
    """With seconds since NOW, rounded: clocks of today are good for a microsecond."""
    if isinstance(answer, Token):
        return Token(round(answer.leaves_at - NOW, 4))
    return replace(answer, until=round(answer.until - NOW, 4))


@dataclass
class Limiter:
    """The pure rules, with the state that the last decision left."""

    quota: Quota = QUOTA
    state: LimiterState = field(default_factory=LimiterState)

    def ask(self, at: float = 0.0, pace: Pace = Pace.EVENT, *, kept: bool = False) -> Token | Wait:
        """Ask `at` seconds after NOW; times of the answer are seconds after NOW, too."""
        self.state, answer = self.state.admit(self.quota, pace, NOW + at, has_appointment=kept)
        return since_now(answer)

    def token(self, at: float = 0.0, pace: Pace = Pace.EVENT, *, kept: bool = False) -> float:
        answer = self.ask(at, pace, kept=kept)
        assert isinstance(answer, Token)
        return answer.leaves_at

    def wait(self, at: float = 0.0, pace: Pace = Pace.EVENT, *, kept: bool = False) -> Wait:
        answer = self.ask(at, pace, kept=kept)
        assert isinstance(answer, Wait)
        return answer

    def ask_until_wait(self, at: float = 0.0, pace: Pace = Pace.EVENT) -> list[float]:
        """When the calls leave that ask at one moment, until one has to come back."""
        leaves_at: list[float] = []
        for _ in range(100):
            answer = self.ask(at, pace)
            if isinstance(answer, Wait):
                return leaves_at
            leaves_at.append(answer.leaves_at)
        raise AssertionError("tokens without end")

    def fill_line(self, until: float, pace: Pace = Pace.EVENT) -> None:
        """Ask at NOW until appointments are given for later than `until`."""
        for _ in range(10_000):
            if isinstance(answer := self.ask(pace=pace), Wait) and answer.until >= until:
                return
        raise AssertionError("the line does not grow")

    def end(self, outcome: Outcome, at: float = 0.0, times: int = 1) -> None:
        for _ in range(times):
            self.state = self.state.after(outcome, NOW + at)

    @property
    def paused_until(self) -> float:
        return round(self.state.paused_until - NOW, 4)


@pytest.fixture
def limiter() -> Limiter:
    return Limiter()


@pytest.fixture
def small() -> Limiter:
    return Limiter(SMALL)


class TestQuota:
    @pytest.mark.parametrize(
        ("per_minute", "capacity", "reserve"),
        [(1, 1, 0), (39, 1, 0), (40, 2, 0), (60, 3, 1), (199, 9, 3), (200, 10, 3), (10_000, 10, 3)],
    )
    def test_bucket_holds_twentieth_and_bulk_leaves_third(
        self, per_minute: int, capacity: int, reserve: int
    ) -> None:
        assert Quota(per_minute).capacity == capacity
        assert Quota(per_minute).reserve == reserve

    @given(per_minute=st.integers(1, 10_000))
    def test_no_minute_sees_more_than_quota_whatever_arrives_late(self, per_minute: int) -> None:
        # As many calls as can leave within a minute and the slack: the first arrives as late as
        # possible, the last at once.
        quota = Quota(per_minute)
        calls = quota.capacity + (60 + SLACK_SECONDS - 1e-6) // quota.interval

        assert calls <= per_minute

    @given(
        per_minute=st.sampled_from([1, 2, 6, 20, 40, 60, 119, 300, 3_000]),
        pauses=st.lists(
            st.sampled_from([0.0, 0.05, 0.3, 1.0, 2.4, 7.0, 70.0]), min_size=1, max_size=150
        ),
        seed=st.integers(0, 1_000),
    )
    def test_any_60_seconds_see_quota_at_most_whoever_asks(
        self, per_minute: int, pauses: Sequence[float], seed: int
    ) -> None:
        rng, limiter, at = random.Random(seed), Limiter(Quota(per_minute)), 0.0
        arrivals = []
        for pause in pauses:
            at += pause
            answer = limiter.ask(at, rng.choice(list(Pace)), kept=rng.random() < 0.5)
            if isinstance(answer, Token):
                arrivals.append(answer.leaves_at + rng.choice([0.0, SLACK_SECONDS - 1e-3]))
        arrivals.sort()
        for first, moment in enumerate(arrivals):
            assert sum(each < moment + 60 for each in arrivals[first:]) <= per_minute

    def test_slack_covers_late_beginning_connecting_way_and_clocks(self) -> None:
        assert near(SLACK_SECONDS) == (
            MAX_LATENESS_SECONDS + CONNECT_TIMEOUT_SECONDS + 0.3 + 2 * 0.25
        )


class TestToken:
    def test_full_bucket_lets_ten_leave_at_once(self, limiter: Limiter) -> None:
        assert [limiter.token() for _ in range(10)] == [0.0] * 10

    def test_empty_bucket_gives_tokens_one_interval_apart(self, limiter: Limiter) -> None:
        tokens = limiter.ask_until_wait()[9:]

        assert tokens == near([number * QUOTA.interval for number in range(len(tokens))])
        assert tokens[-1] <= 2.5 < tokens[-1] + QUOTA.interval

    def test_quiet_minute_fills_bucket_and_no_more(self, limiter: Limiter) -> None:
        limiter.ask_until_wait()

        assert [limiter.token(60.0) for _ in range(10)] == [60.0] * 10
        assert limiter.token(60.0) == near(60 + QUOTA.interval)

    def test_returned_request_waits_half_a_second_for_token(self, limiter: Limiter) -> None:
        limiter.ask_until_wait()
        next_at = limiter.state.full_at - NOW - 9 * QUOTA.interval

        assert limiter.token(next_at - 0.4, kept=True) == near(next_at)
        limiter.wait(next_at + QUOTA.interval - 0.6, kept=True)

    @pytest.mark.parametrize(("pace", "most"), [(Pace.EVENT, WAIT_SECONDS), (Pace.BULK, 2.5)])
    def test_returned_request_at_small_quota_waits_longer(
        self, small: Limiter, pace: Pace, most: float
    ) -> None:
        small.token(100.0, pace)
        next_at = 100 + SMALL.interval

        small.state = replace(small.state, full_at=NOW + next_at + 10)
        assert small.token(next_at + 10 - most, pace, kept=True) == near(next_at + 10)
        small.state = replace(small.state, full_at=NOW + next_at + 10)
        small.wait(next_at + 9.9 - most, pace, kept=True)


class TestAppointment:
    def test_request_without_token_gets_appointment(self, limiter: Limiter) -> None:
        limiter.ask_until_wait()

        wait = limiter.wait()
        assert wait.has_appointment
        assert wait.cause == Cause.QUOTA

    def test_appointments_are_a_little_closer_than_tokens(self, limiter: Limiter) -> None:
        limiter.ask_until_wait()

        moments = [limiter.wait().until for _ in range(100)]
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert gaps == near([QUOTA.spacing] * 99)
        assert 0.96 * QUOTA.interval < QUOTA.spacing < QUOTA.interval
        # At small quotas each token counts, and one that nobody waits for yet is no loss.
        assert Quota(6).spacing == Quota(6).interval

    def test_first_appointment_is_at_next_token(self, limiter: Limiter) -> None:
        limiter.ask_until_wait()

        limiter.state = replace(limiter.state, event_line_at=0.0)
        next_at = limiter.state.full_at - NOW - 9 * QUOTA.interval
        assert limiter.wait().until == near(next_at)

    def test_newcomer_does_not_overtake_those_who_wait(self, limiter: Limiter) -> None:
        limiter.ask_until_wait()
        for _ in range(50):
            limiter.wait()

        # The bucket has tokens again, and those with an appointment are on their way.
        last = limiter.state.event_line_at - NOW
        assert limiter.wait(5.0).until == near(last + QUOTA.spacing)

    def test_returned_request_takes_token_although_others_wait(self, limiter: Limiter) -> None:
        limiter.ask_until_wait()
        for _ in range(50):
            limiter.wait()

        assert limiter.token(5.0, kept=True) == 5.0

    def test_returned_request_without_token_goes_to_end_of_line(self, limiter: Limiter) -> None:
        limiter.ask_until_wait()
        last = [limiter.wait() for _ in range(50)][-1]

        again = limiter.wait(1.0, kept=True)
        assert again.has_appointment
        assert again.until == near(last.until + QUOTA.spacing)


class TestBulk:
    def test_bulk_leaves_reserve_to_events(self, limiter: Limiter) -> None:
        bulk = [limiter.token(pace=Pace.BULK) for _ in range(7)]

        assert bulk == [0.0] * 7
        assert limiter.token(pace=Pace.BULK) > 0
        assert [limiter.token(pace=Pace.EVENT) for _ in range(2)] == [0.0] * 2

    def test_bulk_waits_in_line_of_its_own(self, limiter: Limiter) -> None:
        limiter.ask_until_wait(pace=Pace.BULK)
        for _ in range(500):
            limiter.wait(pace=Pace.BULK)

        assert limiter.token() <= 2.5
        limiter.ask_until_wait()
        assert limiter.wait().until < 10

    def test_events_in_line_hold_up_no_bulk_appointments(self, limiter: Limiter) -> None:
        limiter.ask_until_wait()
        for _ in range(500):
            limiter.wait()

        assert limiter.wait(pace=Pace.BULK).until < 10

    def test_bulk_without_reserve_leaves_tokens_to_events_with_appointments(
        self, small: Limiter
    ) -> None:
        small.ask_until_wait()
        event_at = small.wait().until

        # At the event's appointment there is a token, and the event may be some seconds late.
        bulk = small.wait(event_at, Pace.BULK, kept=True)
        assert bulk.until >= event_at + 5
        assert small.token(event_at + 4, kept=True) == event_at + 4

    def test_bulk_without_reserve_goes_on_after_late_event(self, small: Limiter) -> None:
        small.ask_until_wait()
        event_at = small.wait().until
        bulk = small.wait(event_at, Pace.BULK, kept=True)

        assert small.token(bulk.until, Pace.BULK, kept=True) == bulk.until


class TestAbandonedLine:
    @pytest.fixture
    def purged(self, limiter: Limiter) -> Limiter:
        """A line that ends in 20 minutes, and whose messages are gone."""
        for pace in Pace:
            limiter.fill_line(1_200, pace)
        return limiter

    @pytest.mark.parametrize("pace", Pace)
    def test_line_that_nobody_comes_from_is_forgotten(self, purged: Limiter, pace: Pace) -> None:
        assert purged.token(30.0, pace) == 30.0

    @pytest.mark.parametrize("pace", Pace)
    def test_line_is_forgotten_although_newcomers_join_it(
        self, purged: Limiter, pace: Pace
    ) -> None:
        for at in range(3, 10):
            purged.wait(at, pace)

        assert purged.token(30.0, pace) == 30.0

    def test_bulk_line_is_forgotten_although_events_call(self, purged: Limiter) -> None:
        for at in range(1, 60):
            purged.ask(float(at))

        assert purged.token(60.0, Pace.BULK) == 60.0

    @pytest.mark.parametrize("pace", Pace)
    def test_line_whose_appointments_are_kept_stays(self, purged: Limiter, pace: Pace) -> None:
        for at in range(5, 60, 5):
            purged.token(at, pace, kept=True)

        assert purged.wait(60.0, pace).until > 1_200

    @pytest.mark.parametrize("quota", [QUOTA, SMALL, Quota(6)])
    @pytest.mark.parametrize("pace", Pace)
    def test_line_stays_while_first_comes_late(self, quota: Quota, pace: Pace) -> None:
        limiter = Limiter(quota)
        limiter.ask_until_wait(pace=pace)
        first = limiter.wait(pace=pace).until
        limiter.fill_line(1_200, pace)

        # Nothing leaves meanwhile.
        assert limiter.wait(first + 6, pace).until > 1_200
        assert limiter.token(first + 6.1, pace, kept=True) == near(first + 6.1)
        assert limiter.wait(first + 12, pace).until > 1_200

    def test_line_behind_pause_stays(self, limiter: Limiter) -> None:
        limiter.end(throttled(600))
        for _ in range(100):
            limiter.wait()

        assert limiter.wait(300.0).until > 600
        assert limiter.wait(605.0).until > 600 + 90 * QUOTA.interval

    @pytest.mark.parametrize("pace", Pace)
    def test_line_stays_when_its_last_has_moved_behind_pause(
        self, limiter: Limiter, pace: Pace
    ) -> None:
        limiter.fill_line(100, pace)
        limiter.end(throttled(600), 1.0)
        for at in range(5, 100):
            last = limiter.wait(float(at), pace, kept=True)

        assert limiter.wait(400.0, pace).until == near(last.until + QUOTA.spacing)


class TestThrottling:
    def test_429_pauses_all_until_retry_after(self, limiter: Limiter) -> None:
        limiter.end(throttled(60), 1.0)

        assert limiter.paused_until == 61.0
        for pace in Pace:
            wait = limiter.wait(30.0, pace)
            assert wait.until >= 61.0
            assert wait.cause == Cause.THROTTLED

    def test_token_shortly_before_end_of_pause_leaves_at_its_end(self, limiter: Limiter) -> None:
        limiter.end(throttled(60))

        assert limiter.token(59.0) == 60.0

    def test_appointment_inside_pause_moves_behind_it(self, limiter: Limiter) -> None:
        limiter.ask_until_wait()
        limiter.wait()
        limiter.end(throttled(60))

        wait = limiter.wait(5.0, kept=True)
        assert wait.has_appointment
        assert 60 <= wait.until <= 61

    def test_those_who_wait_come_back_one_after_another(self, limiter: Limiter) -> None:
        limiter.end(throttled(60))

        moments = [limiter.wait().until for _ in range(50)]
        assert moments[0] >= 60
        assert moments[-1] - moments[0] == near(49 * QUOTA.spacing)

    def test_shorter_pause_does_not_end_longer_one(self, limiter: Limiter) -> None:
        limiter.end(throttled(600))
        limiter.end(throttled(1), 1.0)

        assert limiter.paused_until == 600

    def test_success_of_call_under_way_does_not_end_pause(self, limiter: Limiter) -> None:
        limiter.end(throttled(60))
        limiter.end(SENT, 1.0)

        assert limiter.paused_until == 60

    def test_call_after_pause_needs_no_probe(self, limiter: Limiter) -> None:
        limiter.end(throttled(60))

        assert [limiter.token(61.0) for _ in range(2)] == [61.0] * 2

    def test_bucket_after_pause_is_not_full(self, limiter: Limiter) -> None:
        limiter.end(throttled(60))

        assert limiter.state.full_at >= NOW + 60


class TestBreaker:
    @pytest.fixture
    def opened(self, limiter: Limiter) -> Limiter:
        limiter.end(NO_ANSWER, times=10)
        return limiter

    @pytest.mark.parametrize("outcome", [NOT_SENT, NO_ANSWER, SERVER_ERROR])
    def test_ten_failures_in_a_row_open(self, limiter: Limiter, outcome: Outcome) -> None:
        limiter.end(outcome, times=10)

        wait = limiter.wait(1.0)
        assert (wait.until, wait.cause, wait.has_appointment) == (15.0, Cause.OUTAGE, False)

    def test_nine_failures_do_not_open(self, limiter: Limiter) -> None:
        limiter.end(NO_ANSWER, times=9)

        assert limiter.token(1.0) == 1.0

    @pytest.mark.parametrize("outcome", [SENT, REJECTED])
    def test_answer_resets_failures(self, limiter: Limiter, outcome: Outcome) -> None:
        limiter.end(NO_ANSWER, times=9)
        limiter.end(outcome)
        limiter.end(NO_ANSWER, times=9)

        assert limiter.token(1.0) == 1.0

    def test_429_resets_failures(self, limiter: Limiter) -> None:
        limiter.end(NO_ANSWER, times=9)
        limiter.end(throttled(1))
        limiter.end(NO_ANSWER, 2.0, times=9)

        assert limiter.token(2.0) == 2.0

    def test_failures_of_calls_under_way_do_not_lengthen_opening(self, opened: Limiter) -> None:
        opened.end(NO_ANSWER, 10.0, times=50)

        assert opened.paused_until == 15.0

    def test_one_probe_at_a_time_gets_token(self, opened: Limiter) -> None:
        assert opened.token(15.0) == 15.0
        assert opened.wait(15.0).until == 30.0
        assert opened.wait(29.0).until == 30.0

    def test_next_probe_follows_after_15_seconds_without_outcome(self, opened: Limiter) -> None:
        opened.token(15.0)

        assert opened.token(30.0) == 30.0
        assert opened.wait(30.0).until == 45.0

    def test_appointment_counts_for_nothing_while_open(self, opened: Limiter) -> None:
        assert not opened.wait(1.0, kept=True).has_appointment
        opened.token(15.0)
        assert not opened.wait(15.0, kept=True).has_appointment

    def test_failing_probes_double_opening_up_to_five_minutes(self, opened: Limiter) -> None:
        seconds = []
        for _ in range(6):
            at = opened.paused_until
            opened.token(at)
            opened.end(NO_ANSWER, at + 1)
            seconds.append(opened.paused_until - at - 1)

        assert seconds == [30, 60, 120, 240, 300, 300]

    def test_hours_of_failures_do_not_overflow(self, opened: Limiter) -> None:
        opened.state = replace(opened.state, failures=100_000)
        opened.end(NO_ANSWER, 100.0)

        assert opened.paused_until == 400.0

    def test_opening_after_failed_probe_allows_no_other_probe(self, opened: Limiter) -> None:
        opened.token(15.0)
        opened.end(NO_ANSWER, 16.0)

        assert opened.wait(40.0).until == 46.0

    def test_successful_probe_closes_and_voids_appointments(self, limiter: Limiter) -> None:
        for pace in Pace:
            limiter.fill_line(1_200, pace)
        limiter.end(NO_ANSWER, 1.0, times=10)
        limiter.token(16.0)
        limiter.end(SENT, 16.2)

        assert limiter.token(17.0) == 17.0
        assert limiter.token(17.0, Pace.BULK) == 17.0
        assert limiter.state.failures == 0

    def test_success_of_call_under_way_closes_at_once(self, opened: Limiter) -> None:
        opened.end(SENT, 1.0)

        assert opened.paused_until == 1.0
        # The bucket is full again when the pause would have ended.
        assert opened.token(15.0) == 15.0

    def test_429_of_probe_closes_and_pauses(self, opened: Limiter) -> None:
        opened.token(15.0)
        opened.end(throttled(60), 16.0)

        wait = opened.wait(17.0)
        assert wait.until >= 76.0
        assert wait.cause == Cause.THROTTLED


class TestRefusedKey:
    def test_refused_key_opens_at_once(self, limiter: Limiter) -> None:
        limiter.end(UNAUTHORIZED)

        wait = limiter.wait(1.0)
        assert (wait.until, wait.cause, wait.has_appointment) == (15.0, Cause.KEY_REFUSED, False)

    def test_key_refused_again_opens_for_longer(self, limiter: Limiter) -> None:
        limiter.end(UNAUTHORIZED)
        limiter.token(15.0)
        limiter.end(UNAUTHORIZED, 16.0)

        assert limiter.paused_until == 46.0

    def test_refusals_of_calls_under_way_do_not_lengthen_opening(self, limiter: Limiter) -> None:
        limiter.end(UNAUTHORIZED, times=10)

        assert limiter.paused_until == 15.0

    def test_minute_of_refusals_sees_few_calls(self, limiter: Limiter) -> None:
        calls = 0
        for tenth in range(600):
            if isinstance(limiter.ask(tenth / 10), Token):
                calls += 1
                limiter.end(UNAUTHORIZED, tenth / 10 + 0.05)

        assert 2 <= calls <= 4


class TestOperatorPause:
    @pytest.fixture
    def paused(self, limiter: Limiter) -> Limiter:
        limiter.state = replace(limiter.state, paused_until=NOW + 3600, pause_reason="operator")
        return limiter

    @pytest.mark.parametrize("kept", [False, True])
    def test_pause_denies_without_appointment(self, paused: Limiter, kept: bool) -> None:
        wait = paused.wait(kept=kept)

        assert (wait.cause, wait.has_appointment) == (Cause.OPERATOR, False)

    @pytest.mark.parametrize(
        "outcome", [SENT, NO_ANSWER, UNAUTHORIZED, throttled(60), throttled(86_400)]
    )
    def test_outcomes_of_calls_under_way_leave_pause(
        self, paused: Limiter, outcome: Outcome
    ) -> None:
        before = paused.state
        paused.end(outcome, times=20)

        assert paused.state == before

    def test_replaced_key_leaves_pause(self, paused: Limiter) -> None:
        paused.state = paused.state.recovered(NOW)

        assert paused.wait().cause == Cause.OPERATOR

    def test_pause_that_is_over_denies_nothing(self, paused: Limiter) -> None:
        paused.state = replace(paused.state, paused_until=NOW)

        assert paused.token(1.0) == 1.0


@dataclass
class Clock:
    now: float = NOW
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class CountingTable(InMemoryTable):
    """Counts calls, and does something before each write."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.writes = 0
        self.before_write: Callable[[], None] = lambda: None

    def read(self, keys: Sequence[Key]) -> list[Item]:
        self.reads += 1
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
def table() -> CountingTable:
    return CountingTable()


@pytest.fixture
def make(clock: Clock, table: CountingTable) -> Callable[[], RateLimiter]:
    """Each rate limiter is another container's."""
    return lambda: RateLimiter(table, 300, clock, clock.sleep, random.Random(1))


def fail_ten_times(limiter: RateLimiter) -> None:
    for _ in range(10):
        limiter.report(NO_ANSWER)


class TestSharing:
    def test_tokens_are_shared_by_containers(self, make: Callable[[], RateLimiter]) -> None:
        containers = [make() for _ in range(4)]
        answers = [containers[number % 4].admit(Pace.EVENT) for number in range(40)]

        tokens = [each.leaves_at for each in map(since_now, answers) if isinstance(each, Token)]
        assert sum(at == 0 for at in tokens) == 10
        assert len(set(tokens[10:])) == len(tokens[10:])

    def test_conflict_is_decided_again_on_what_stands(
        self, make: Callable[[], RateLimiter], table: CountingTable, clock: Clock
    ) -> None:
        limiter, other = make(), make()
        limiter.admit(Pace.EVENT)

        def pause() -> None:
            table.before_write = lambda: None
            other.report(throttled(60))

        table.before_write = pause
        wait = limiter.admit(Pace.EVENT)

        assert isinstance(wait, Wait)
        assert wait.until >= NOW + 60

    def test_conflicts_without_end_are_an_outage_of_the_table(
        self, make: Callable[[], RateLimiter], table: CountingTable, clock: Clock
    ) -> None:
        table.before_write = table.put

        with pytest.raises(TableUnavailableError, match="all the time"):
            make().admit(Pace.EVENT)
        assert table.writes == 20
        assert len(clock.slept) == 20

    def test_write_whose_reply_failed_costs_a_token(
        self, make: Callable[[], RateLimiter], table: CountingTable
    ) -> None:
        limiter, write = make(), table.write

        def fail_after_effect(key: Key, item: Item, seen: Item) -> Item:
            table.write = write  # type: ignore[method-assign]  # only once
            write(key, item, seen)
            raise TableUnavailableError("the reply was lost")

        table.write = fail_after_effect  # type: ignore[method-assign]  # only once
        with pytest.raises(TableUnavailableError):
            limiter.admit(Pace.EVENT)
        assert limiter.admit(Pace.EVENT) == Token(NOW)
        assert table.items[KEY]["full_at"] - NOW == near(2 * QUOTA.interval)

    def test_state_is_plain_json(
        self, make: Callable[[], RateLimiter], table: InMemoryTable
    ) -> None:
        make().report(UNAUTHORIZED)

        assert json.loads(json.dumps(table.items[KEY]))["pause_reason"] == "key_refused"

    def test_state_of_newer_version_is_read(
        self, make: Callable[[], RateLimiter], table: CountingTable, clock: Clock
    ) -> None:
        table.put(paused_until=NOW + 60, pause_reason="throttled", added_later=["a", 1])

        assert make().is_paused()
        assert isinstance(make().admit(Pace.EVENT), Wait)

    def test_denial_on_old_state_is_decided_again(
        self, make: Callable[[], RateLimiter], table: CountingTable, clock: Clock
    ) -> None:
        limiter = make()
        table.put(paused_until=NOW + 1e9, pause_reason="operator")
        assert isinstance(limiter.admit(Pace.EVENT), Wait)

        table.put(paused_until=NOW, pause_reason=None)
        assert limiter.admit(Pace.EVENT) == Token(NOW)

    def test_denial_writes_nothing(
        self, make: Callable[[], RateLimiter], table: CountingTable
    ) -> None:
        limiter = make()
        fail_ten_times(limiter)
        table.writes = 0
        limiter.admit(Pace.EVENT)

        assert table.writes == 0

    def test_success_without_failures_before_asks_table_for_nothing(
        self, make: Callable[[], RateLimiter], table: CountingTable
    ) -> None:
        limiter = make()
        limiter.admit(Pace.EVENT)
        table.reads = table.writes = 0
        limiter.report(SENT)
        limiter.report(REJECTED)

        assert (table.reads, table.writes) == (0, 0)

    def test_success_after_failures_is_shared(self, make: Callable[[], RateLimiter]) -> None:
        limiter, other = make(), make()
        for _ in range(9):
            limiter.report(NO_ANSWER)
        other.admit(Pace.EVENT)
        other.report(SENT)
        for _ in range(9):
            limiter.report(NO_ANSWER)

        assert isinstance(other.admit(Pace.EVENT), Token)

    @pytest.mark.parametrize("outcome", [throttled(60), UNAUTHORIZED])
    def test_pause_is_shared(self, make: Callable[[], RateLimiter], outcome: Outcome) -> None:
        limiter, other = make(), make()
        other.admit(Pace.EVENT)
        limiter.report(outcome)

        assert isinstance(other.admit(Pace.EVENT), Wait)

    def test_replaced_key_closes_for_all(self, make: Callable[[], RateLimiter]) -> None:
        limiter, other = make(), make()
        other.admit(Pace.EVENT)
        limiter.report(UNAUTHORIZED)
        # What this container knows is from before the refusal.
        other.key_replaced()

        assert not limiter.is_paused()

    def test_changes_are_told_with_both_states(self, table: CountingTable, clock: Clock) -> None:
        changes: list[tuple[float, float]] = []
        limiter = RateLimiter(
            table,
            300,
            clock,
            on_change=lambda before, after, now: changes.append(
                (before.paused_until, after.paused_until)
            ),
        )
        limiter.report(throttled(60))

        assert changes == [(0.0, NOW + 60)]


class TestWaits:
    def test_operator_pause_lets_come_back_after_10_to_15_minutes(
        self, make: Callable[[], RateLimiter], table: CountingTable
    ) -> None:
        table.put(paused_until=NOW + 1e9, pause_reason="operator")
        limiter = make()

        waits = [limiter.admit(Pace.EVENT) for _ in range(200)]
        seconds = [each.until - NOW for each in waits if isinstance(each, Wait)]
        assert len(seconds) == 200
        assert 600 <= min(seconds) < 620
        assert 880 < max(seconds) <= 900

    def test_open_breaker_spreads_returns_over_a_minute(
        self, make: Callable[[], RateLimiter]
    ) -> None:
        limiter = make()
        fail_ten_times(limiter)

        waits = [limiter.admit(Pace.EVENT) for _ in range(200)]
        seconds = [each.until - NOW - 15 for each in waits if isinstance(each, Wait)]
        assert len(seconds) == 200
        assert 1 <= min(seconds) < 5
        assert 55 < max(seconds) <= 60

    def test_appointment_is_kept_as_given(self, make: Callable[[], RateLimiter]) -> None:
        limiter = make()
        limiter.report(throttled(60))

        wait = limiter.admit(Pace.EVENT)
        assert wait == Wait(NOW + 60, has_appointment=True, cause=Cause.THROTTLED)


class TestWaitForToken:
    def test_execution_sleeps_until_token(
        self, make: Callable[[], RateLimiter], clock: Clock
    ) -> None:
        assert make().wait_for(Token(NOW + 2))
        assert clock.slept == [2.0]

    def test_token_that_is_there_costs_no_read(
        self, make: Callable[[], RateLimiter], table: CountingTable
    ) -> None:
        assert make().wait_for(Token(NOW))
        assert table.reads == 0

    @pytest.mark.parametrize(("late", "may_leave"), [(0.49, True), (0.51, False)])
    def test_call_later_than_half_a_second_is_not_made(
        self, make: Callable[[], RateLimiter], clock: Clock, late: float, may_leave: bool
    ) -> None:
        clock.now += late

        assert make().wait_for(Token(NOW)) is may_leave

    def test_slow_table_makes_call_too_late(
        self, make: Callable[[], RateLimiter], table: CountingTable, clock: Clock
    ) -> None:
        limiter = make()
        read = table.read

        def slow_read(keys: Sequence[Key]) -> list[Item]:
            clock.now += 3
            return read(keys)

        table.read = slow_read  # type: ignore[method-assign]  # one slow call

        assert not limiter.wait_for(Token(NOW + 2))

    @pytest.mark.parametrize("outcome", [throttled(60), UNAUTHORIZED])
    def test_pause_that_began_meanwhile_stops_call(
        self, make: Callable[[], RateLimiter], outcome: Outcome
    ) -> None:
        limiter, other = make(), make()
        token = Token(NOW + 2)
        limiter.admit(Pace.EVENT)
        other.report(outcome)

        assert limiter.is_paused()
        assert not limiter.wait_for(token)

    def test_pause_that_is_over_stops_nothing(
        self, make: Callable[[], RateLimiter], clock: Clock
    ) -> None:
        limiter = make()
        limiter.report(throttled(60))
        clock.now += 59

        assert limiter.is_paused()
        assert limiter.wait_for(Token(NOW + 60))
        assert not limiter.is_paused()


class TestThreads:
    """Threads of one container, ten of which carry out a batch."""

    def test_threads_of_a_batch_share_writes(
        self, make: Callable[[], RateLimiter], table: CountingTable
    ) -> None:
        limiter, first, others = make(), threading.Event(), threading.Event()

        def hold_first() -> None:
            table.before_write = lambda: None
            first.set()
            assert others.wait(10)

        table.before_write = hold_first
        with ThreadPoolExecutor(10) as threads:
            answers: list[Future[Token | Wait]] = [threads.submit(limiter.admit, Pace.EVENT)]
            assert first.wait(10)
            answers += [threads.submit(limiter.admit, Pace.EVENT) for _ in range(9)]
            _wait_until(lambda: len(limiter._batcher._waiting) == 9)
            others.set()

        assert [since_now(each.result()) for each in answers] == [Token(0.0)] * 10
        assert table.writes == 2

    def test_failure_is_shared_by_threads_that_wait(
        self, make: Callable[[], RateLimiter], table: CountingTable
    ) -> None:
        limiter, first, others = make(), threading.Event(), threading.Event()

        def fail() -> None:
            first.set()
            assert others.wait(10)
            raise TableUnavailableError("the table is slow, and fails then")

        table.before_write = fail
        with ThreadPoolExecutor(10) as threads:
            answers = [threads.submit(limiter.admit, Pace.EVENT)]
            assert first.wait(10)
            answers += [threads.submit(limiter.admit, Pace.EVENT) for _ in range(9)]
            _wait_until(lambda: len(limiter._batcher._waiting) == 9)
            others.set()

        for each in answers:
            with pytest.raises(TableUnavailableError, match="slow"):
                each.result()
        assert table.writes == 2


def _wait_until(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(1_000):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("the condition never held")
