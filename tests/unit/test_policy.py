"""When a request ends without a call or after one, and how long a window is."""

from dataclasses import replace

import jmespath
import pytest

from invitations.ledger import UserRecord
from invitations.messages import RetryState
from invitations.outcomes import Cause, Outcome, judge
from invitations.policy import Policy
from tests.fakes import a_request

NOW = 1_800_000_000.0
HOUR, DAY = 3_600.0, 86_400.0
STATE = RetryState(NOW - 60)
TRIED = replace(STATE, counted_attempts=9, attempts=50)
SWEPT = replace(STATE, max_invites=3, min_age_seconds=DAY)
NOBODY = UserRecord()
POLICY = Policy(
    window_seconds=300,
    max_attempts=10,
    user_daily_limit=5,
    user_id_path=jmespath.compile("detail.user_id"),
)


def invited(*hours_ago: float) -> UserRecord:
    """A user whose invitations were sent so many hours ago, the newest last."""
    times = tuple(NOW - each * HOUR for each in hours_ago)
    return UserRecord(invited_at=times, sent_count=len(times))


FOUR_TIMES = invited(23, 12, 6, 3)
CLAIMED = replace(FOUR_TIMES, claim_id="c1", claimed_at=NOW - HOUR)


@pytest.mark.parametrize(
    ("user", "state", "not_after", "end"),
    [
        (NOBODY, STATE, NOW, None),
        (NOBODY, STATE, NOW - 0.001, "deadline_passed"),
        (UserRecord(window_ends_at=NOW + 1), STATE, None, "window_active"),
        (UserRecord(window_ends_at=NOW - 3), STATE, None, None),
        # The daily limit is 5; a claim that nobody ended counts as an invitation.
        (FOUR_TIMES, STATE, None, None),
        (invited(24.1, 12, 6, 3, 1), STATE, None, None),
        (invited(23, 12, 6, 3, 1), STATE, None, "daily_limit"),
        (CLAIMED, STATE, None, "daily_limit"),
        (NOBODY, TRIED, None, None),
        (NOBODY, replace(TRIED, counted_attempts=10), None, "attempts_exhausted"),
        # A sweep asks for users with less than 3 invitations, the last a day ago.
        (invited(25), SWEPT, None, None),
        (invited(23), SWEPT, None, "not_due"),
        (invited(200, 100, 50), SWEPT, None, "not_due"),
        (replace(invited(200, 100), maybe_sent_count=1), SWEPT, None, "not_due"),
        (NOBODY, replace(SWEPT, unknown_outcomes=1), None, "not_due"),
    ],
)
def test_request_that_needs_no_call_ends(
    user: UserRecord, state: RetryState, not_after: float | None, end: str | None
) -> None:
    request = a_request(state=state, not_after=not_after)

    assert POLICY.end_without_call(request, user, NOW) == end


def test_daily_limit_of_zero_allows_any_number() -> None:
    unlimited = replace(POLICY, user_daily_limit=0)

    assert unlimited.end_without_call(a_request(), invited(*range(20, 0, -1)), NOW) is None


@pytest.mark.parametrize(
    ("outcome", "first", "swept", "tenth", "window_ends_at"),
    [
        (judge(200, NOW), "invited", "invited", "invited", NOW + 300),
        (judge(404, NOW), *["user_not_found"] * 3, None),
        (judge(408, NOW), None, None, "attempts_exhausted", None),
        (judge(500, NOW), None, "not_due", "attempts_exhausted", NOW + 360),
        (
            Outcome(cause=Cause.NO_ANSWER, emailed_at=NOW + 5),
            None,
            "not_due",
            "attempts_exhausted",
            NOW + 365,
        ),
        # Calls that do not count.
        (Outcome(cause=Cause.CONNECTION_FAILED), None, None, None, None),
        (judge(429, NOW), None, None, None, None),
    ],
)
def test_call_ends_a_request_by_its_answer_or_as_the_last_attempt(
    outcome: Outcome,
    first: str | None,
    swept: str | None,
    tenth: str | None,
    window_ends_at: float | None,
) -> None:
    ends = [
        POLICY.end_after_call(a_request(state=state.with_call(outcome)), outcome)
        for state in (replace(TRIED, counted_attempts=8), SWEPT, TRIED)
    ]

    assert ends == [first, swept, tenth]
    assert POLICY.window_after(outcome) == window_ends_at


def test_window_without_an_answer_is_longer_by_a_minute_or_by_itself() -> None:
    windows = [replace(POLICY, window_seconds=each) for each in (1, 60, 300)]

    assert [each.unknown_window_seconds for each in windows] == [2, 120, 360]


def test_wait_after_many_unknown_outcomes_is_a_day() -> None:
    request = a_request(state=replace(STATE, unknown_outcomes=99))

    assert POLICY.wait_after_unknown_seconds(request) == DAY
