"""How the benchmark counts calls in any 60 seconds."""

from bench.drain import busiest_minute


def test_call_leaves_the_count_after_60_seconds() -> None:
    assert busiest_minute([0, 1, 60, 60.5, 61, 130]) == 3


def test_no_calls_are_no_busy_minute() -> None:
    assert busiest_minute([]) == 0
