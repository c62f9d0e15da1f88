"""How the benchmark counts calls in any 60 seconds."""

from bench.drain import Backlog, rolling


def test_a_call_leaves_the_count_60_seconds_later() -> None:
    assert rolling([0, 1, 60, 60.5, 130]) == [(0, 1), (1, 2), (60, 2), (60.5, 3), (130, 1)]


def test_the_most_calls_in_a_minute_are_found() -> None:
    backlog = Backlog(5, 120, 130, {}, calls_at=[0, 1, 60, 60.5, 130], refused_at=[])

    assert backlog.most_in_a_minute == 3


def test_without_a_call_there_are_none() -> None:
    assert Backlog(0, 120, 0, {}, calls_at=[], refused_at=[]).most_in_a_minute == 0
