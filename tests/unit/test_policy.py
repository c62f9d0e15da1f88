"""When a request ends without a call or after one, and how long a window is."""

from dataclasses import replace

import jmespath
import pytest

from invitations.ledger import UserRecord
from invitations.messages import RetryState, SweepCriteria
from invitations.outcomes import Answered, NotSent, Response, Unknown, judge
from invitations.policy import Policy
from invitations.results import Source
from tests.fakes import a_request

NOW = 1_800_000_000.0
HOUR, DAY = 3_600.0, 86_400.0
STATE = RetryState("r1", Source.SQS, NOW - 60)
SWEPT = replace(STATE, criteria=SweepCriteria(max_invites=3, min_age_seconds=DAY))
NOBODY = UserRecord()
SENT, NOT_FOUND = ("sent", "invited"), ("rejected", "user_not_found")
NOT_DUE, EXHAUSTED = ("skipped", "not_due"), ("failed", "attempts_exhausted")
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


@pytest.mark.parametrize(
    ("user", "state", "not_after", "end"),
    [
        (NOBODY, STATE, None, None),
        (NOBODY, STATE, NOW, None),
        (NOBODY, STATE, NOW - 0.001, ("failed", "deadline_passed")),
        (UserRecord(window_ends_at=NOW + 1), STATE, None, ("skipped", "window_active")),
        (UserRecord(window_ends_at=NOW - 3), STATE, None, None),
        # The daily limit is 5.
        (invited(23, 12, 6, 3), STATE, None, None),
        (invited(24.1, 12, 6, 3, 1), STATE, None, None),
        (invited(23, 12, 6, 3, 1), STATE, None, ("skipped", "daily_limit")),
        # A claim that nobody ended counts as an invitation.
        (
            replace(invited(23, 12, 6, 3), claim_id="c1", claimed_at=NOW - HOUR),
            STATE,
            None,
            ("skipped", "daily_limit"),
        ),
        (NOBODY, replace(STATE, counted_attempts=9, attempts=50), None, None),
        (NOBODY, replace(STATE, counted_attempts=10), None, ("failed", "attempts_exhausted")),
        # A sweep asks for users with less than 3 invitations, the last a day ago.
        (NOBODY, SWEPT, None, None),
        (invited(25), SWEPT, None, None),
        (invited(23), SWEPT, None, ("skipped", "not_due")),
        (invited(200, 100, 50), SWEPT, None, ("skipped", "not_due")),
        (replace(invited(200, 100), maybe_sent_count=1), SWEPT, None, ("skipped", "not_due")),
        (NOBODY, replace(SWEPT, unknown_outcomes=1), None, ("skipped", "not_due")),
    ],
)
def test_request_that_needs_no_call_ends(
    user: UserRecord, state: RetryState, not_after: float | None, end: tuple[str, str] | None
) -> None:
    request = a_request(state=state, not_after=not_after)

    assert POLICY.end_without_call(request, user, NOW) == end


def test_daily_limit_of_zero_allows_any_number() -> None:
    unlimited = replace(POLICY, user_daily_limit=0)

    assert unlimited.end_without_call(a_request(), invited(*range(20, 0, -1)), NOW) is None


@pytest.mark.parametrize(
    ("response", "end", "end_of_swept", "end_of_tenth_attempt"),
    [
        (Answered(200, NOW), SENT, SENT, SENT),
        (Answered(404, NOW), NOT_FOUND, NOT_FOUND, NOT_FOUND),
        (Answered(302, NOW), None, None, EXHAUSTED),
        (Answered(408, NOW), None, None, EXHAUSTED),
        (Answered(500, NOW), None, NOT_DUE, EXHAUSTED),
        (Unknown("timed out", NOW), None, NOT_DUE, EXHAUSTED),
    ],
)
def test_call_ends_a_request_by_its_answer_or_as_the_last_attempt(
    response: Response, end: object, end_of_swept: object, end_of_tenth_attempt: object
) -> None:
    outcome = judge(response)
    states = (replace(STATE, counted_attempts=8), SWEPT, replace(STATE, counted_attempts=9))
    requests = [a_request(state=state.with_call(outcome)) for state in states]

    assert [POLICY.end_after_call(request, outcome) for request in requests] == [
        end,
        end_of_swept,
        end_of_tenth_attempt,
    ]


@pytest.mark.parametrize("response", [NotSent("refused"), Answered(401, NOW), Answered(429, NOW)])
def test_attempts_that_do_not_count_never_end_a_request(response: Response) -> None:
    outcome = judge(response)
    state = replace(STATE, counted_attempts=10, attempts=99).with_call(outcome)

    assert POLICY.end_after_call(a_request(state=state), outcome) is None


@pytest.mark.parametrize(("window", "longer"), [(1, 2), (60, 120), (300, 360), (86_400, 86_460)])
def test_window_without_an_answer_is_longer_by_a_minute_or_by_itself(
    window: int, longer: int
) -> None:
    assert replace(POLICY, window_seconds=window).unknown_window_seconds == longer


@pytest.mark.parametrize(
    ("response", "ends_at"),
    [
        (Answered(200, NOW), NOW + 300),
        (Answered(500, NOW), NOW + 360),
        (Unknown("timed out", NOW + 5), NOW + 365),
        (Answered(404, NOW), None),
        (NotSent("refused"), None),
    ],
)
def test_window_ends_after_the_answer_and_is_freed_when_no_email_went_out(
    response: Response, ends_at: float | None
) -> None:
    assert POLICY.window_after(judge(response)) == ends_at


@pytest.mark.parametrize(
    ("unknown_outcomes", "minutes"), [(1, 5), (2, 10), (3, 20), (4, 40), (9, 1_280), (99, 1_440)]
)
def test_wait_doubles_with_each_unknown_outcome_up_to_a_day(
    unknown_outcomes: int, minutes: float
) -> None:
    request = a_request(state=replace(STATE, unknown_outcomes=unknown_outcomes))

    assert POLICY.wait_after_unknown_seconds(request) == minutes * 60
