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


@pytest.mark.parametrize("code", [200, 201, 204, 299])
def test_accepted_call_sent_an_email_and_ends_the_request(code: int) -> None:
    outcome = judge(Answered(code, NOW))

    assert (outcome.email, outcome.status, outcome.reason) == (Email.YES, "sent", "invited")
    assert (outcome.ended_at, outcome.http_status, outcome.counts) == (NOW, code, True)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (400, "bad_request"),
        (402, "client_error"),
        (403, "forbidden"),
        (404, "user_not_found"),
        (409, "client_error"),
        (415, "unsupported_media_type"),
        (422, "client_error"),
        (426, "client_error"),
        (499, "client_error"),
    ],
)
def test_refused_call_sent_nothing_and_ends_the_request(code: int, reason: str) -> None:
    outcome = judge(Answered(code, NOW))

    assert (outcome.email, outcome.status, outcome.reason) == (Email.NO, "rejected", reason)
    assert (outcome.ended_at, outcome.http_status, outcome.counts) == (None, code, True)


@pytest.mark.parametrize(
    ("response", "cause", "counts"),
    [
        (NotSent("refused"), "connection_failed", False),
        (Answered(300, NOW), "redirected", True),
        (Answered(302, NOW), "redirected", True),
        (Answered(308, NOW), "redirected", True),
        (Answered(401, NOW), "unauthorized", False),
        (Answered(408, NOW), "try_later", True),
        (Answered(421, NOW), "try_later", True),
        (Answered(425, NOW), "try_later", True),
        (Answered(429, NOW), "throttled", False),
    ],
)
def test_call_that_nobody_acted_on_sent_nothing_and_is_deferred(
    response: Response, cause: str, counts: bool
) -> None:
    outcome = judge(response)

    assert (outcome.email, outcome.status, outcome.reason) == (Email.NO, None, None)
    assert (outcome.cause, outcome.counts, outcome.ended_at) == (cause, counts, None)


@pytest.mark.parametrize(
    ("response", "cause"),
    [
        (Answered(101, NOW), "server_error"),
        (Answered(103, NOW), "server_error"),
        (Answered(500, NOW), "server_error"),
        (Answered(501, NOW), "server_error"),
        (Answered(503, NOW), "server_error"),
        (Answered(599, NOW), "server_error"),
        (Answered(999, NOW), "server_error"),
        (Unknown("timed out", NOW), "no_answer"),
    ],
)
def test_call_without_a_clear_answer_may_have_sent_an_email_and_is_deferred(
    response: Response, cause: str
) -> None:
    outcome = judge(response)

    assert (outcome.email, outcome.status, outcome.reason) == (Email.UNKNOWN, None, None)
    assert (outcome.cause, outcome.counts, outcome.ended_at) == (cause, True, NOW)


@pytest.mark.parametrize(
    ("response", "is_outage"),
    [
        (NotSent("refused"), True),
        (Unknown("timed out", NOW), True),
        (Answered(500, NOW), True),
        (Answered(103, NOW), True),
        (Answered(200, NOW), False),
        (Answered(302, NOW), False),
        (Answered(401, NOW), False),
        (Answered(404, NOW), False),
        (Answered(408, NOW), False),
        (Answered(429, NOW), False),
    ],
)
def test_failures_of_the_api_alone_look_like_an_outage(response: Response, is_outage: bool) -> None:
    assert judge(response).is_outage is is_outage


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
        ("60", 60),
        (" 7 ", 7),
        ("3600", 3600),
        ("86400", DAY),
        ("Fri, 15 Jan 2027 08:01:30 GMT", 90),
        ("Fri, 15 Jan 2027 09:00:00 GMT", 3600),
        ("Friday, 15-Jan-27 08:01:30 GMT", 90),
        ("Fri Jan 15 08:01:30 2027", 90),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(value: str, seconds: float) -> None:
    assert retry_after_seconds(value, NOW) == seconds


@pytest.mark.parametrize("value", [None, "", "soon", "-5", "1.5", "7s", "١٢", "²", "7, 8", "1e3"])
def test_missing_or_unreadable_retry_after_means_a_minute(value: str | None) -> None:
    assert retry_after_seconds(value, NOW) == 60


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 1),
        ("86401", DAY),
        ("9" * 30, DAY),
        ("9" * 400, DAY),
        ("9" * 5_000, DAY),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
    ],
)
def test_retry_after_stays_between_a_second_and_a_day(value: str, seconds: float) -> None:
    assert retry_after_seconds(value, NOW) == seconds


@settings(deadline=None)
@given(
    st.text() | st.from_regex(r"\A[A-Za-z]{3}, ?[0-9 :A-Za-z+-]{0,40}\Z") | st.integers(0).map(str)
)
def test_any_retry_after_gives_a_wait_within_the_bounds(value: str) -> None:
    assert 1 <= retry_after_seconds(value, NOW) <= DAY
