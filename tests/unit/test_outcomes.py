"""What each answer of the API means: the contract's table of outcomes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invitations.outcomes import (
    Answered,
    Email,
    NotSent,
    Response,
    Unknown,
    judge,
    retry_after_seconds,
)

NOW = 1_800_000_000.0
DAY = 86_400


@pytest.mark.parametrize(
    ("code", "email", "status", "reason"),
    [
        (200, "yes", "sent", "invited"),
        (204, "yes", "sent", "invited"),
        (299, "yes", "sent", "invited"),
        (400, "no", "rejected", "bad_request"),
        (402, "no", "rejected", "client_error"),
        (403, "no", "rejected", "forbidden"),
        (404, "no", "rejected", "user_not_found"),
        (415, "no", "rejected", "unsupported_media_type"),
        (422, "no", "rejected", "client_error"),
        (426, "no", "rejected", "client_error"),
        (499, "no", "rejected", "client_error"),
    ],
)
def test_accepted_or_refused_call_ends_the_request(
    code: int, email: str, status: str, reason: str
) -> None:
    outcome = judge(Answered(code, NOW))

    assert (outcome.email, outcome.status, outcome.reason) == (email, status, reason)
    assert (outcome.http_status, outcome.counts, outcome.is_outage) == (code, True, False)
    assert outcome.ended_at == (NOW if email == "yes" else None)


@pytest.mark.parametrize(
    ("response", "cause", "counts", "is_outage"),
    [
        (NotSent("refused"), "connection_failed", False, True),
        (Answered(300, NOW), "redirected", True, False),
        (Answered(308, NOW), "redirected", True, False),
        (Answered(401, NOW), "unauthorized", False, False),
        (Answered(408, NOW), "try_later", True, False),
        (Answered(421, NOW), "try_later", True, False),
        (Answered(425, NOW), "try_later", True, False),
        (Answered(429, NOW), "throttled", False, False),
    ],
)
def test_call_that_nobody_acted_on_sent_nothing_and_is_deferred(
    response: Response, cause: str, counts: bool, is_outage: bool
) -> None:
    outcome = judge(response)

    assert (outcome.email, outcome.status, outcome.reason) == (Email.NO, None, None)
    assert (outcome.cause, outcome.counts, outcome.ended_at) == (cause, counts, None)
    assert outcome.is_outage is is_outage


@pytest.mark.parametrize(
    ("response", "cause"),
    [
        *[(Answered(code, NOW), "server_error") for code in (101, 103, 500, 503, 599, 999)],
        (Unknown("timed out", NOW), "no_answer"),
    ],
)
def test_call_without_a_clear_answer_may_have_sent_an_email_and_is_deferred(
    response: Response, cause: str
) -> None:
    outcome = judge(response)

    assert (outcome.email, outcome.status, outcome.reason) == (Email.UNKNOWN, None, None)
    assert (outcome.cause, outcome.counts, outcome.ended_at) == (cause, True, NOW)
    assert outcome.is_outage


def test_answer_429_alone_says_how_long_to_wait() -> None:
    assert judge(Answered(429, NOW, retry_after="7")).retry_after_seconds == 7
    assert judge(Answered(429, NOW)).retry_after_seconds == 60
    assert judge(Answered(503, NOW, retry_after="7")).retry_after_seconds is None


@settings(deadline=None)
@given(st.integers(100, 999))
def test_every_answer_ends_the_request_or_names_a_cause_to_defer_it(code: int) -> None:
    outcome = judge(Answered(code, NOW))

    assert (outcome.status is None) == (outcome.reason is None) == (outcome.cause is not None)
    assert (outcome.ended_at is None) == (outcome.email == Email.NO)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (" 7 ", 7),
        ("3600", 3600),
        ("Fri, 15 Jan 2027 08:01:30 GMT", 90),
        ("Friday, 15-Jan-27 08:01:30 GMT", 90),
        ("Fri Jan 15 08:01:30 2027", 90),
        # Missing or unreadable: a minute.
        *[(each, 60) for each in (None, "", "soon", "-5", "1.5", "7s", "١٢", "²", "7, 8", "1e3")],
        # At least a second, at most a day.
        ("0", 1),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1),
        ("86400", DAY),
        ("86401", DAY),
        ("9" * 5_000, DAY),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float) -> None:
    assert retry_after_seconds(value, NOW) == seconds


@settings(deadline=None)
@given(
    st.text() | st.from_regex(r"\A[A-Za-z]{3}, ?[0-9 :A-Za-z+-]{0,40}\Z") | st.integers(0).map(str)
)
def test_any_retry_after_gives_a_wait_within_the_bounds(value: str) -> None:
    assert 1 <= retry_after_seconds(value, NOW) <= DAY
