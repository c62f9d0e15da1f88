"""When a request ends without a call or after one, and how long a window is."""

from dataclasses import replace

import jmespath
import pytest

from invitations.ledger import CLOCK_SKEW_SECONDS, Claim, UserRecord
from invitations.messages import RetryState, SweepCriteria
from invitations.outcomes import Answered, Email, NotSent, Outcome, Response, Unknown, judge
from invitations.policy import End, Policy
from invitations.requests import Request
from invitations.results import Source

NOW = 1_800_000_000.0
HOUR, DAY = 3_600.0, 86_400.0
REQUEST = Request("r1", "u1", Source.SQS)
STATE = RetryState("r1", Source.SQS, NOW - 60)
SWEPT = replace(STATE, criteria=SweepCriteria(max_invites=3, min_age_seconds=DAY))
NOBODY = UserRecord()
POLICY = Policy(
    window_seconds=300,
    max_attempts=10,
    user_daily_limit=5,
    user_id_path=jmespath.compile("detail.user_id"),
    call_budget_seconds=22,
)


def invited(*hours_ago: float) -> UserRecord:
    """A user whose invitations were sent so many hours ago, the newest last."""
    times = tuple(NOW - each * HOUR for each in hours_ago)
    return UserRecord(invited_at=times, sent_count=len(times))


def end_without_call(
    user: UserRecord = NOBODY,
    state: RetryState = STATE,
    request: Request = REQUEST,
    policy: Policy = POLICY,
) -> End | None:
    return policy.end_without_call(request, state, user, NOW)


def end_after(response: Response, state: RetryState = STATE) -> End | None:
    outcome = judge(response)
    return POLICY.end_after_call(outcome, state.counting(outcome))


def test_request_for_a_user_of_whom_nothing_is_known_needs_a_call() -> None:
    assert end_without_call() is None


@pytest.mark.parametrize(
    ("not_after", "end"),
    [(NOW - 0.001, ("failed", "deadline_passed")), (NOW, None), (NOW + 1, None)],
)
def test_request_ends_as_failed_once_not_after_has_passed(
    not_after: float, end: tuple[str, str] | None
) -> None:
    assert end_without_call(request=replace(REQUEST, not_after=not_after)) == end


@pytest.mark.parametrize(
    ("ends_at", "end"),
    [
        (NOW + 1, ("skipped", "window_active")),
        (NOW, ("skipped", "window_active")),
        (NOW - CLOCK_SKEW_SECONDS + 0.001, ("skipped", "window_active")),
        (NOW - CLOCK_SKEW_SECONDS, None),
    ],
)
def test_request_is_skipped_until_the_window_is_over_by_every_clock(
    ends_at: float, end: tuple[str, str] | None
) -> None:
    assert end_without_call(UserRecord(window_ends_at=ends_at)) == end


@pytest.mark.parametrize(
    ("hours_ago", "end"),
    [
        ([23, 12, 6, 3], None),
        ([23, 12, 6, 3, 1], ("skipped", "daily_limit")),
        ([24.1, 12, 6, 3, 1], None),
    ],
)
def test_fifth_invitation_within_24_hours_is_the_last(
    hours_ago: list[float], end: tuple[str, str] | None
) -> None:
    assert end_without_call(invited(*hours_ago)) == end


def test_call_that_was_never_ended_counts_towards_the_daily_limit() -> None:
    user = replace(invited(23, 12, 6, 3), claim=Claim("c1", "r0", NOW - HOUR))

    assert end_without_call(user) == ("skipped", "daily_limit")


def test_daily_limit_of_zero_allows_any_number() -> None:
    unlimited = replace(POLICY, user_daily_limit=0)

    assert end_without_call(invited(*range(20, 0, -1)), policy=unlimited) is None


@pytest.mark.parametrize(("counted", "end"), [(9, None), (10, ("failed", "attempts_exhausted"))])
def test_request_ends_as_failed_when_its_attempts_are_used_up(
    counted: int, end: tuple[str, str] | None
) -> None:
    assert end_without_call(state=replace(STATE, counted_attempts=counted, attempts=50)) == end


@pytest.mark.parametrize(
    ("user", "end"),
    [
        (NOBODY, None),
        (invited(25), None),
        (invited(23), ("skipped", "not_due")),
        (invited(200, 100, 50), ("skipped", "not_due")),
        (replace(invited(200, 100), maybe_sent_count=1), ("skipped", "not_due")),
    ],
)
def test_sweeps_request_is_skipped_when_the_user_is_no_longer_due(
    user: UserRecord, end: tuple[str, str] | None
) -> None:
    assert end_without_call(user, SWEPT) == end


def test_sweeps_request_with_an_unknown_outcome_is_not_repeated() -> None:
    assert end_without_call(state=replace(SWEPT, unknown_outcomes=1)) == ("skipped", "not_due")
    assert end_after(Answered(500, NOW), SWEPT) == ("skipped", "not_due")
    assert end_after(Unknown("timed out", NOW), SWEPT) == ("skipped", "not_due")


@pytest.mark.parametrize(
    ("response", "end"),
    [
        (Answered(200, NOW), ("sent", "invited")),
        (Answered(404, NOW), ("rejected", "user_not_found")),
        (Answered(302, NOW), None),
        (Answered(401, NOW), None),
        (Answered(408, NOW), None),
        (Answered(429, NOW), None),
        (Answered(500, NOW), None),
        (Unknown("timed out", NOW), None),
        (NotSent("refused"), None),
    ],
)
@pytest.mark.parametrize("state", [STATE, SWEPT])
def test_clear_answer_ends_a_request(
    response: Response, end: tuple[str, str] | None, state: RetryState
) -> None:
    if state is SWEPT and judge(response).email == Email.UNKNOWN:
        end = ("skipped", "not_due")

    assert end_after(response, state) == end


@pytest.mark.parametrize(
    "response", [Answered(302, NOW), Answered(408, NOW), Answered(500, NOW), Unknown("x", NOW)]
)
def test_tenth_attempt_that_counts_ends_the_request_as_failed(response: Response) -> None:
    assert end_after(response, replace(STATE, counted_attempts=8)) is None
    assert end_after(response, replace(STATE, counted_attempts=9)) == (
        "failed",
        "attempts_exhausted",
    )


@pytest.mark.parametrize("response", [NotSent("refused"), Answered(401, NOW), Answered(429, NOW)])
def test_attempts_that_do_not_count_never_end_a_request(response: Response) -> None:
    assert end_after(response, replace(STATE, counted_attempts=10, attempts=99)) is None


@pytest.mark.parametrize("window", [1, 30, 60, 300, 86_400])
def test_window_without_an_answer_is_longer_by_a_minute_or_by_itself(window: int) -> None:
    policy = replace(POLICY, window_seconds=window)

    assert policy.unknown_window_seconds == window + min(window, 60)


@pytest.mark.parametrize(
    ("response", "ends_at"),
    [
        (Answered(200, NOW), NOW + 300),
        (Answered(500, NOW), NOW + 360),
        (Answered(103, NOW), NOW + 360),
        (Unknown("timed out", NOW + 5), NOW + 365),
        (Answered(404, NOW), None),
        (Answered(302, NOW), None),
        (Answered(429, NOW), None),
        (NotSent("refused"), None),
    ],
)
def test_window_ends_after_the_answer_and_is_freed_when_no_email_went_out(
    response: Response, ends_at: float | None
) -> None:
    assert POLICY.window_after(judge(response)) == ends_at


def test_wait_doubles_with_each_unknown_outcome() -> None:
    state, unknown, waits = STATE, Outcome(Email.UNKNOWN, counts=True), []
    for _ in range(9):
        state = state.counting(unknown)
        waits.append(POLICY.patience_seconds(state) / 60)

    assert waits[:4] == [5, 10, 20, 40]
    assert DAY < sum(waits) * 60 < 2 * DAY
