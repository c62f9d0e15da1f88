"""What each answer of the API means: the contract's table of outcomes."""

import pytest

from invitations.outcomes import Cause, Outcome, judge, retry_after_seconds

NOW, DAY = 1_800_000_000.0, 86_400


@pytest.mark.parametrize(
    ("answer", "email", "status", "reason"),
    [
        *[(code, "yes", "sent", "invited") for code in (200, 299)],
        (400, "no", "rejected", "bad_request"),
        (403, "no", "rejected", "forbidden"),
        (404, "no", "rejected", "user_not_found"),
        (415, "no", "rejected", "unsupported_media_type"),
        *[(code, "no", "rejected", "client_error") for code in (402, 422, 499)],
        (300, "no", None, "redirected"),
        *[(code, "no", None, "try_later") for code in (408, 421, 425)],
        *[(code, "unknown", None, "server_error") for code in (103, 500, 599, 999)],
        (Outcome(cause=Cause.NO_ANSWER, emailed_at=NOW), "unknown", None, "no_answer"),
        # They do not count as attempts.
        (401, "no", None, "unauthorized"),
        (429, "no", None, "throttled"),
        (Outcome(cause=Cause.CONNECTION_FAILED), "no", None, "connection_failed"),
    ],
)
def test_outcome_says_whether_an_email_went_out_and_why_the_request_ends_or_waits(
    answer: int | Outcome, email: str, status: str | None, reason: str
) -> None:
    outcome = judge(answer, NOW) if isinstance(answer, int) else answer

    assert (outcome.is_unknown, outcome.status) == (email == "unknown", status)
    assert (outcome.reason, outcome.cause) == ((reason, None) if status else (None, reason))
    assert outcome.http_status == (answer if isinstance(answer, int) else None)
    assert outcome.emailed_at == (None if email == "no" else NOW)
    assert outcome.counts == (reason not in ("unauthorized", "throttled", "connection_failed"))


def test_answer_429_alone_says_how_long_to_wait() -> None:
    assert judge(429, NOW, "7").retry_after_seconds == 7
    assert judge(429, NOW).retry_after_seconds == 60
    assert judge(503, NOW, "7").retry_after_seconds is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (" 7 ", 7),
        ("Fri, 15 Jan 2027 08:01:30 GMT", 90),
        ("Friday, 15-Jan-27 08:01:30 GMT", 90),
        ("Fri Jan 15 08:01:30 2027", 90),
        # Missing or unreadable: a minute.
        *[(each, 60) for each in (None, "", "soon", "-5", "1.5", "²", "7, 8")],
        # At least a second, at most a day.
        ("0", 1),
        ("86401", DAY),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float) -> None:
    assert retry_after_seconds(value, NOW) == seconds
