"""How the benchmark counts calls in any 60 seconds."""

from bench.drain import rolling


def test_call_leaves_the_count_after_60_seconds() -> None:
    assert rolling([0, 1, 60, 60.5, 130]) == [1, 2, 2, 3, 1]


def test_no_calls_give_no_counts() -> None:
    assert rolling([]) == []
