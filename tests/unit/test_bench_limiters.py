"""The limiters that the benchmark puts before the API."""

import pytest

from bench.limiters import FixedWindow, Limiter, NoLimit, SlidingWindow, TokenBucket

LIMIT = 3


def allowed(limiter: Limiter, *moments: float) -> list[bool]:
    return [limiter.allows(moment) for moment in moments]


def test_a_fixed_window_begins_anew_with_each_minute() -> None:
    assert (
        allowed(FixedWindow(LIMIT), 58, 58, 59, 59.9, 60, 61) == [True] * 3 + [False] + [True] * 2
    )


def test_a_sliding_window_lets_one_in_when_one_has_left() -> None:
    assert allowed(SlidingWindow(LIMIT), 0, 30, 40, 59.9, 60, 60) == [True] * 3 + [
        False,
        True,
        False,
    ]


def test_a_bucket_refills_at_the_limits_rate() -> None:
    assert allowed(TokenBucket(LIMIT, 2), 0, 0, 0, 19, 21, 21) == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]


def test_a_bucket_holds_no_more_than_its_size() -> None:
    assert allowed(TokenBucket(LIMIT, 2), 600, 600, 600) == [True, True, False]


@pytest.mark.parametrize(
    "limiter", [FixedWindow(LIMIT), SlidingWindow(LIMIT), TokenBucket(LIMIT, LIMIT)]
)
def test_a_refused_call_does_not_count(limiter: Limiter) -> None:
    assert allowed(limiter, *[0] * 100) == [True] * LIMIT + [False] * 97

    assert allowed(limiter, 61) == [True]


def test_without_a_limit_everybody_gets_through() -> None:
    assert all(allowed(NoLimit(), *[0] * 1_000))
