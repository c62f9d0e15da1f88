"""The rules of quota, appointments, pauses and circuit breaker; times are seconds after NOW."""

from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invitations.limiter_state import SLACK_SECONDS, LimiterState, Quota, Token, Wait
from invitations.messages import Pace
from invitations.outcomes import Answered, Cause, NotSent, Outcome, Unknown, judge

NOW = 1_800_000_000.0
QUOTA = Quota(300)
SMALL = Quota(30)
"""Without a reserve for events."""

SENT, REJECTED, FORBIDDEN, UNAUTHORIZED, SERVER_ERROR = (
    judge(Answered(code, NOW)) for code in (200, 404, 403, 401, 503)
)
NOT_SENT = judge(NotSent("connection refused"))
NO_ANSWER = judge(Unknown("timed out", NOW))

FAILING = LimiterState(failures=9, forbidden=3)
THROTTLED = LimiterState(paused_until=NOW + 100, pause_reason=Cause.THROTTLED)
OPEN = LimiterState(failures=10, paused_until=NOW + 10, pause_reason=Cause.OUTAGE)
PROBED = replace(OPEN, paused_until=NOW - 1)
STOPPED = LimiterState(failures=1, paused_until=NOW + 3600, pause_reason=Cause.OPERATOR)

near = partial(pytest.approx, abs=1e-3)


def throttled(seconds: int) -> Outcome:
    return judge(Answered(429, NOW, str(seconds)))


@dataclass
class Limiter:
    """The rules, with the state that the last decision left."""

    quota: Quota = QUOTA
    state: LimiterState = field(default_factory=LimiterState)

    def ask(self, at: float = 0.0, pace: Pace = Pace.EVENT, *, kept: bool = False) -> Token | Wait:
        self.state, answer = self.state.take_token(self.quota, pace, NOW + at, has_appointment=kept)
        # Clocks of today are good for a microsecond.
        if isinstance(answer, Token):
            return Token(round(answer.leaves_at - NOW, 4))
        return replace(answer, until=round(answer.until - NOW, 4))

    def token(self, at: float = 0.0, pace: Pace = Pace.EVENT, *, kept: bool = False) -> float:
        answer = self.ask(at, pace, kept=kept)
        assert isinstance(answer, Token)
        return answer.leaves_at

    def wait(self, at: float = 0.0, pace: Pace = Pace.EVENT, *, kept: bool = False) -> float:
        answer = self.ask(at, pace, kept=kept)
        assert isinstance(answer, Wait)
        return answer.until

    def fill_line(self, until: float, pace: Pace = Pace.EVENT) -> float:
        """Ask at NOW until an appointment is `until` or later; return this last appointment."""
        for _ in range(10_000):
            if isinstance(answer := self.ask(pace=pace), Wait) and answer.until >= until:
                return answer.until
        raise AssertionError("the line does not grow")

    def end(self, outcome: Outcome, at: float = 0.0) -> None:
        self.state = self.state.after(outcome, NOW + at)


@pytest.fixture
def limiter() -> Limiter:
    return Limiter()


@pytest.mark.parametrize(
    ("per_minute", "capacity", "reserve"),
    [(1, 1, 0), (39, 1, 0), (40, 2, 0), (60, 3, 1), (199, 9, 3), (200, 10, 3), (10_000, 10, 3)],
)
def test_bucket_holds_a_twentieth_of_the_quota_and_bulk_leaves_a_third_of_it(
    per_minute: int, capacity: int, reserve: int
) -> None:
    assert (Quota(per_minute).capacity, Quota(per_minute).reserve) == (capacity, reserve)


@given(per_minute=st.integers(1, 10_000))
def test_calls_of_a_minute_and_the_slack_are_no_more_than_the_quota(per_minute: int) -> None:
    # The first arrives as late as possible, the last at once.
    quota = Quota(per_minute)

    assert quota.capacity + (60 + SLACK_SECONDS - 1e-6) // quota.interval <= per_minute


@pytest.mark.parametrize(
    ("quota", "pace", "has_appointment", "seconds"),
    [
        (QUOTA, Pace.EVENT, False, 2.5),
        (QUOTA, Pace.BULK, True, 0.5),
        (SMALL, Pace.EVENT, True, 5),
        (SMALL, Pace.BULK, True, 2.5),
    ],
)
def test_execution_waits_longer_for_a_token_of_a_small_quota(
    quota: Quota, pace: Pace, has_appointment: bool, seconds: float
) -> None:
    assert quota.patience_seconds(pace, has_appointment=has_appointment) == seconds


def test_full_bucket_gives_ten_tokens_at_once_and_then_one_each_interval(limiter: Limiter) -> None:
    tokens = [limiter.token() for _ in range(20)]

    assert tokens == near([0.0] * 10 + [number * QUOTA.interval for number in range(1, 11)])


def test_quiet_minute_fills_the_bucket_and_no_more(limiter: Limiter) -> None:
    limiter.fill_line(3)

    assert [limiter.token(60.0) for _ in range(11)] == near([60.0] * 10 + [60 + QUOTA.interval])


def test_request_without_a_token_gets_an_appointment_at_the_next_one(limiter: Limiter) -> None:
    limiter.state = replace(limiter.state, full_at=NOW + 9 * QUOTA.interval + 2.6)

    assert limiter.ask() == Wait(2.6, has_appointment=True, cause=Cause.QUOTA)


@pytest.mark.parametrize(("per_minute", "share"), [(300, 0.97), (30, 1.0)])
def test_appointments_of_a_large_quota_are_a_little_closer_than_tokens(
    per_minute: int, share: float
) -> None:
    limiter = Limiter(Quota(per_minute))
    first = limiter.fill_line(0)

    assert limiter.wait() - first == near(share * limiter.quota.interval)


def test_newcomer_does_not_overtake_requests_that_wait(limiter: Limiter) -> None:
    last = limiter.fill_line(12)

    assert limiter.wait(5.0) == near(last + QUOTA.spacing)
    assert limiter.token(5.0, kept=True) == 5.0


def test_returned_request_without_a_token_goes_to_the_end_of_the_line(limiter: Limiter) -> None:
    last = limiter.fill_line(12)

    assert limiter.wait(1.0, kept=True) == near(last + QUOTA.spacing)


def test_bulk_leaves_three_tokens_to_events(limiter: Limiter) -> None:
    assert [limiter.token(pace=Pace.BULK) for _ in range(7)] == [0.0] * 7
    assert limiter.token(pace=Pace.BULK) > 0
    assert [limiter.token() for _ in range(2)] == [0.0] * 2


@pytest.mark.parametrize(("pace", "other"), [(Pace.BULK, Pace.EVENT), (Pace.EVENT, Pace.BULK)])
def test_each_pace_waits_in_a_line_of_its_own(limiter: Limiter, pace: Pace, other: Pace) -> None:
    limiter.fill_line(100, pace)

    assert limiter.fill_line(0, other) < 10


def test_bulk_without_a_reserve_leaves_tokens_to_events_that_come_late() -> None:
    limiter = Limiter(SMALL)
    event_at = limiter.fill_line(0)
    bulk_at = limiter.wait(event_at, Pace.BULK, kept=True)

    assert bulk_at >= event_at + 5
    assert limiter.token(event_at + 4, kept=True) == event_at + 4
    assert limiter.token(bulk_at, Pace.BULK, kept=True) >= bulk_at


@pytest.mark.parametrize("pace", Pace)
def test_line_that_nobody_comes_from_is_forgotten_although_newcomers_join_it(
    limiter: Limiter, pace: Pace
) -> None:
    limiter.fill_line(1_200, pace)
    for at in range(3, 10):
        limiter.wait(at, pace)

    assert limiter.token(30.0, pace) == 30.0


@pytest.mark.parametrize("quota", [QUOTA, SMALL, Quota(6)])
@pytest.mark.parametrize("pace", Pace)
def test_line_stays_while_its_first_comes_late(quota: Quota, pace: Pace) -> None:
    limiter = Limiter(quota)
    first = limiter.fill_line(0, pace)
    limiter.fill_line(1_200, pace)

    assert limiter.wait(first + 6, pace) > 1_200
    assert limiter.token(first + 6.1, pace, kept=True) == near(first + 6.1)
    assert limiter.wait(first + 12, pace) > 1_200


@pytest.mark.parametrize("pace", Pace)
def test_line_that_has_moved_behind_a_pause_stays(limiter: Limiter, pace: Pace) -> None:
    limiter.fill_line(100, pace)
    limiter.end(throttled(600), 1.0)
    for at in range(5, 100):
        last = limiter.wait(float(at), pace, kept=True)

    assert last > 600
    assert limiter.wait(400.0, pace) == near(last + QUOTA.spacing)
    assert limiter.wait(605.0, pace) > last


@pytest.mark.parametrize("pace", Pace)
@pytest.mark.parametrize("kept", [False, True])
def test_pause_by_429_moves_appointments_behind_it(
    limiter: Limiter, pace: Pace, kept: bool
) -> None:
    limiter.end(throttled(60), 1.0)

    first = limiter.ask(30.0, pace, kept=kept)
    assert isinstance(first, Wait)
    assert (first.has_appointment, first.cause) == (True, Cause.THROTTLED)
    assert 61 <= first.until <= 62
    assert limiter.wait(30.0, pace, kept=kept) == near(first.until + QUOTA.spacing)


def test_call_after_a_pause_by_429_needs_no_probe_and_finds_no_full_bucket(
    limiter: Limiter,
) -> None:
    limiter.end(throttled(60))

    assert limiter.state.full_at == NOW + 60
    # The first waits for the end of the pause.
    assert [limiter.token(59.0), limiter.token(61.0), limiter.token(61.0)] == [60.0, 61.0, 61.0]


@pytest.mark.parametrize(
    ("before", "outcome", "failures", "forbidden", "pause_seconds", "pause_reason"),
    [
        (FAILING, SENT, 0, 0, 0, None),
        (FAILING, REJECTED, 0, 3, 0, None),
        (FAILING, FORBIDDEN, 0, 4, 0, None),
        (FAILING, throttled(60), 0, 3, 60, "throttled"),
        # Ten failures in a row open the breaker.
        (LimiterState(failures=8), NO_ANSWER, 9, 0, 0, None),
        *[(FAILING, each, 10, 3, 15, "outage") for each in (NOT_SENT, NO_ANSWER, SERVER_ERROR)],
        (LimiterState(), UNAUTHORIZED, 10, 0, 15, "key_refused"),
        # Neither a shorter pause nor a call under way ends a pause.
        (THROTTLED, throttled(1), 0, 0, 100, "throttled"),
        (THROTTLED, SENT, 0, 0, 100, "throttled"),
        (THROTTLED, NO_ANSWER, 0, 0, 100, "throttled"),
        # Calls under way when the breaker opened do not open it for longer.
        (OPEN, NO_ANSWER, 10, 0, 10, "outage"),
        (OPEN, UNAUTHORIZED, 10, 0, 10, "outage"),
        (OPEN, SENT, 0, 0, 0, None),
        (PROBED, SENT, 0, 0, 0, None),
        (PROBED, throttled(60), 0, 0, 60, "throttled"),
        (PROBED, UNAUTHORIZED, 11, 0, 30, "key_refused"),
        # Each failed probe doubles the time, up to five minutes.
        *[
            (replace(PROBED, failures=failures), NO_ANSWER, failures + 1, 0, seconds, "outage")
            for failures, seconds in [(10, 30), (11, 60), (13, 240), (14, 300), (100_000, 300)]
        ],
        *[
            (STOPPED, each, 1, 0, 3600, "operator")
            for each in (SENT, NO_ANSWER, UNAUTHORIZED, throttled(60), throttled(86_400))
        ],
    ],
)
def test_outcome_of_a_call_changes_failures_and_pause(
    before: LimiterState,
    outcome: Outcome,
    failures: int,
    forbidden: int,
    pause_seconds: float,
    pause_reason: str | None,
) -> None:
    after = before.after(outcome, NOW)

    assert (after.failures, after.forbidden) == (failures, forbidden)
    assert max(after.paused_until - NOW, 0) == pause_seconds
    assert after.pause_reason == pause_reason


@pytest.mark.parametrize(
    ("before", "pause_seconds", "pause_reason"),
    [(OPEN, 0, None), (THROTTLED, 100, "throttled"), (STOPPED, 3600, "operator")],
)
def test_new_key_closes_the_breaker_and_ends_no_other_pause(
    before: LimiterState, pause_seconds: float, pause_reason: str | None
) -> None:
    after = before.recovered(NOW)

    assert (after.paused_until - NOW, after.pause_reason) == (pause_seconds, pause_reason)


def test_closed_breaker_has_voided_the_appointments(limiter: Limiter) -> None:
    for pace in Pace:
        limiter.fill_line(1_200, pace)
    limiter.end(UNAUTHORIZED, 1.0)
    limiter.token(16.0)
    limiter.end(SENT, 16.2)

    assert [limiter.token(17.0), limiter.token(17.0, Pace.BULK)] == [17.0] * 2


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(
    ("state", "until"), [(OPEN, 10.0), (replace(OPEN, probe_until=NOW + 15), 15.0), (STOPPED, 0.0)]
)
def test_nobody_gets_an_appointment_while_breaker_or_operator_stop_all_calls(
    state: LimiterState, until: float, kept: bool
) -> None:
    cause = Cause(str(state.pause_reason))

    assert Limiter(state=state).ask(kept=kept) == Wait(until, has_appointment=False, cause=cause)


def test_open_breaker_gives_a_token_for_one_probe_each_15_seconds() -> None:
    limiter = Limiter(state=PROBED)

    assert limiter.token() == 0.0
    assert [limiter.wait(), limiter.wait(14.0)] == [15.0, 15.0]
    assert limiter.token(15.0) == 15.0
    # A failed probe allows no other one until the breaker has been open for longer.
    limiter.end(NO_ANSWER, 16.0)
    assert limiter.wait(40.0) == 46.0


def test_pause_of_an_operator_that_is_over_stops_nothing() -> None:
    limiter = Limiter(state=replace(STOPPED, paused_until=NOW))

    assert limiter.token(1.0) == 1.0
