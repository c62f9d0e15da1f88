"""The limiters that the benchmark puts before the API."""

import pytest

from tests.simulation.limiters import (
    LIMITERS,
    FixedWindow,
    Limiter,
    NoLimit,
    SlidingWindow,
    TokenBucket,
)

LIMIT = 3


def allowed(limiter: Limiter, *moments: float) -> list[bool]:
    return [limiter.allows(moment) for moment in moments]


def test_fixed_window_begins_anew_with_each_minute() -> None:
    assert (
        allowed(FixedWindow(LIMIT), 58, 58, 59, 59.9, 60, 61) == [True] * 3 + [False] + [True] * 2
    )


def test_sliding_window_admits_call_when_another_has_left_it() -> None:
    assert allowed(SlidingWindow(LIMIT), 0, 30, 40, 59.9, 60, 60) == [True] * 3 + [
        False,
        True,
        False,
    ]


def test_bucket_refills_at_rate_of_limit() -> None:
    assert allowed(TokenBucket(LIMIT, 2), 0, 0, 0, 19, 21, 21) == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]


def test_quiet_time_fills_bucket_to_its_size() -> None:
    assert allowed(TokenBucket(LIMIT, 2), 600, 600, 600) == [True, True, False]


@pytest.mark.parametrize(
    "limiter", [FixedWindow(LIMIT), SlidingWindow(LIMIT), TokenBucket(LIMIT, LIMIT)]
)
def test_refused_call_does_not_count(limiter: Limiter) -> None:
    assert allowed(limiter, *[0] * 100) == [True] * LIMIT + [False] * 97

    assert allowed(limiter, 61) == [True]


def test_without_limit_every_call_gets_through() -> None:
    assert all(allowed(NoLimit(), *[0] * 1_000))


@pytest.mark.parametrize(("limit", "size"), [(300, 20), (60, 4), (6, 2), (1, 2)])
def test_small_bucket_holds_fifteenth_of_limit_and_two_at_least(limit: int, size: int) -> None:
    assert allowed(LIMITERS["bucket of a fifteenth"](limit), *[0] * 100).count(True) == size
