"""The rules of quota, appointments, pauses and circuit breaker; times are seconds after NOW."""

from dataclasses import replace

import pytest

from invitations.limiter_state import SLACK_SECONDS, LimiterState, Quota, Token, Wait
from invitations.messages import Pace
from invitations.outcomes import Cause, Outcome, judge

NOW = 1_800_000_000.0
QUOTA = Quota(300)

SENT, REJECTED, FORBIDDEN, UNAUTHORIZED, SERVER_ERROR = (
    judge(code, NOW) for code in (200, 404, 403, 401, 503)
)
NOT_SENT = Outcome(cause=Cause.CONNECTION_FAILED)
NO_ANSWER = Outcome(cause=Cause.NO_ANSWER, emailed_at=NOW)
KEY_REPLACED = replace(UNAUTHORIZED, cause=Cause.KEY_REPLACED)

FAILING = LimiterState(failures=9, forbidden=3)
THROTTLED = LimiterState(paused_until=NOW + 100, pause_reason=Cause.THROTTLED)
OPEN = LimiterState(failures=10, paused_until=NOW + 10, pause_reason=Cause.OUTAGE)
PROBED = replace(OPEN, paused_until=NOW - 1)
STOPPED = LimiterState(failures=1, paused_until=NOW + 3600, pause_reason=Cause.OPERATOR)


def throttled(seconds: int) -> Outcome:
    return judge(429, NOW, str(seconds))


class Limiter:
    """The rules, with the state that the last decision left."""

    def __init__(self, state: LimiterState | None = None) -> None:
        self.state = state or LimiterState()

    def ask(self, at: float, pace: Pace = Pace.EVENT, *, kept: bool = False) -> Token | Wait:
        self.state, answer = self.state.take_token(QUOTA, pace, NOW + at, has_appointment=kept)
        return answer

    def end(self, outcome: Outcome, at: float) -> None:
        self.state = self.state.after(outcome, NOW + at)


def test_bucket_holds_a_twentieth_of_the_quota_and_bulk_leaves_a_third_of_it() -> None:
    quotas = [Quota(per_minute) for per_minute in (1, 39, 40, 60, 199, 200, 10_000)]

    assert [quota.capacity for quota in quotas] == [1, 1, 2, 3, 9, 10, 10]
    assert [quota.reserve for quota in quotas] == [0, 0, 0, 1, 3, 3, 3]


def test_calls_of_a_minute_and_the_slack_are_no_more_than_the_quota() -> None:
    # The first arrives as late as possible, the last at once.
    calls = {
        quota.per_minute: quota.capacity + (60 + SLACK_SECONDS - 1e-6) // quota.interval
        for quota in map(Quota, range(1, 10_001))
    }

    assert [quota for quota, number in calls.items() if number > quota] == []
    assert round(SLACK_SECONDS, 3) == 2.3


def test_full_bucket_gives_ten_tokens_then_one_each_interval_and_appointments() -> None:
    limiter = Limiter()
    answers = [limiter.ask(0.0) for _ in range(23)]

    later = [NOW + number * QUOTA.interval for number in range(1, 12)]
    tokens = [each.leaves_at for each in answers if isinstance(each, Token)]
    assert tokens == pytest.approx([NOW] * 10 + later, abs=1e-6)
    first, second = (each for each in answers if isinstance(each, Wait))
    assert (first.cause, first.has_appointment) == (Cause.QUOTA, True)
    assert second.until - first.until == pytest.approx(QUOTA.spacing)


@pytest.mark.parametrize(
    ("before", "outcome", "expected"),
    [
        # Failures, 403s in a row, seconds of the pause, and its reason.
        (FAILING, SENT, (0, 0, 0, None)),
        (FAILING, REJECTED, (0, 3, 0, None)),
        (FAILING, FORBIDDEN, (0, 4, 0, None)),
        (FAILING, throttled(60), (0, 3, 60, "throttled")),
        # Ten failures in a row open the breaker.
        (LimiterState(failures=8), NO_ANSWER, (9, 0, 0, None)),
        *[(FAILING, each, (10, 3, 15, "outage")) for each in (NOT_SENT, NO_ANSWER, SERVER_ERROR)],
        (LimiterState(), UNAUTHORIZED, (10, 0, 15, "key_refused")),
        # Neither a shorter pause nor a call under way ends a pause.
        *[(THROTTLED, each, (0, 0, 100, "throttled")) for each in (throttled(1), SENT, NO_ANSWER)],
        # Calls under way when the breaker opened do not open it for longer.
        *[(OPEN, each, (10, 0, 10, "outage")) for each in (NO_ANSWER, UNAUTHORIZED)],
        *[(each, SENT, (0, 0, 0, None)) for each in (OPEN, PROBED)],
        (PROBED, throttled(60), (0, 0, 60, "throttled")),
        (PROBED, UNAUTHORIZED, (11, 0, 30, "key_refused")),
        # Each failed probe doubles the time, up to five minutes.
        *[
            (replace(PROBED, failures=failures), NO_ANSWER, (failures + 1, 0, seconds, "outage"))
            for failures, seconds in [(10, 30), (13, 240), (14, 300), (100_000, 300)]
        ],
        *[
            (STOPPED, each, (1, 0, 3600, "operator"))
            for each in (SENT, UNAUTHORIZED, throttled(86_400))
        ],
    ],
)
def test_outcome_of_a_call_changes_failures_and_pause(
    before: LimiterState, outcome: Outcome, expected: tuple[int, int, float, str | None]
) -> None:
    after = before.after(outcome, NOW)

    pause_seconds = max(after.paused_until - NOW, 0)
    assert (after.failures, after.forbidden, pause_seconds, after.pause_reason) == expected


def test_new_key_ends_no_pause_but_the_open_breaker() -> None:
    assert OPEN.after(KEY_REPLACED, NOW) == LimiterState(paused_until=NOW)
    assert [each.after(KEY_REPLACED, NOW) for each in (THROTTLED, STOPPED)] == [THROTTLED, STOPPED]


def test_token_is_there_as_soon_as_the_breaker_is_closed() -> None:
    limiter = Limiter()
    limiter.end(UNAUTHORIZED, 0.0)
    limiter.end(KEY_REPLACED, 1.0)

    assert limiter.ask(1.0) == Token(NOW + 1)


def test_appointments_begin_at_the_end_of_a_pause() -> None:
    wait = Wait(NOW + 100, has_appointment=True, cause=Cause.THROTTLED)

    assert Limiter(THROTTLED).ask(0.0) == wait


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize(
    ("state", "seconds"), [(OPEN, 10), (replace(OPEN, probe_until=NOW + 15), 15), (STOPPED, 0)]
)
def test_nobody_gets_an_appointment_while_breaker_or_operator_stop_all_calls(
    state: LimiterState, seconds: float, kept: bool
) -> None:
    wait = Wait(NOW + seconds, has_appointment=False, cause=Cause(str(state.pause_reason)))

    assert Limiter(state).ask(0.0, kept=kept) == wait


def test_open_breaker_gives_a_token_for_one_probe_each_15_seconds_until_a_call_succeeds() -> None:
    limiter = Limiter(replace(PROBED, line_at=dict.fromkeys(Pace, NOW + 100)))
    probe_later = Wait(NOW + 15, has_appointment=False, cause=Cause.OUTAGE)

    assert [limiter.ask(0.0), limiter.ask(14.0)] == [Token(NOW), probe_later]
    assert limiter.ask(15.0) == Token(NOW + 15)
    # A failed probe allows no other one until the breaker has been open for longer.
    limiter.end(NO_ANSWER, 16.0)
    assert limiter.ask(40.0) == replace(probe_later, until=NOW + 46)
    # All appointments have become void.
    limiter.end(SENT, 46.5)
    assert [limiter.ask(47.0, pace) for pace in Pace] == [Token(NOW + 47)] * 2
