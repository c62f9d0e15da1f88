"""What CloudWatch counts, read out of the lines that the functions write."""

import pytest

from invitations.observability import log_limiter, metrics
from tests.fakes import Settings, World, answers, no_answer, not_sent
from tests.metrics import Point, points


class Written:
    """What was written to the log since the test began."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._points: list[Point] = []

    def values(self, name: str, **dimensions: str) -> list[float]:
        """The metric's values with these dimensions, in the order of the log."""
        return [
            point.value
            for point in self.read()
            if point.name == name and dimensions.items() <= point.dimensions.items()
        ]

    def unit(self, name: str) -> str:
        return next(point.unit for point in self.read() if point.name == name)

    def read(self) -> list[Point]:
        if metrics.metric_set:
            metrics.flush_metrics()
        self._points += points(self._capsys.readouterr().out.splitlines())
        return self._points


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Written:
    metrics.clear_metrics()
    return Written(capsys)


@pytest.fixture
def world() -> World:
    world = World()
    world.reinviter.limiter._on_change = log_limiter  # as dependencies.py wires it
    return world


def test_results_are_counted_by_status_and_reason(world: World, written: Written) -> None:
    world.api.script("u2", answers(404))
    world.ask("u1", "r1")
    world.ask("u2", "r2")
    world.deliver(world.raw("no JSON"))

    assert written.values("Results", status="sent", reason="invited") == [1]
    assert written.values("Results", status="rejected", reason="user_not_found") == [1]
    assert written.values("Results", status="invalid", reason="malformed_json") == [1]


def test_result_says_how_old_its_request_is(world: World, written: Written) -> None:
    world.api.script("u1", answers(429, "100"))
    world.ask()
    world.deliver_all_copies()

    (age,) = written.values("RequestAge")
    assert 100 < age < 170
    assert written.unit("RequestAge") == "Seconds"


def test_daily_limit_is_counted(written: Written) -> None:
    world = World(Settings(user_daily_limit=1))
    world.ask("u1", "r1")
    world.clock.advance(1_000)
    world.ask("u1", "r2")

    assert written.values("DailyLimits") == [1]


def test_deferrals_are_counted_by_cause(world: World, written: Written) -> None:
    world.api.script("u1", not_sent())
    world.api.script("u2", no_answer())
    world.ask("u1", "r1")
    world.ask("u2", "r2")

    assert written.values("Deferrals", cause="connection_failed") == [1]
    assert written.values("Deferrals", cause="no_answer") == [1]


def test_deferral_says_how_long_its_request_waits(world: World, written: Written) -> None:
    message = world.message()
    world.clock.advance(4_000)
    world.api.script("u1", not_sent())
    world.deliver(message)

    assert written.values("WaitingAge") == [4_000.5]


def test_bulk_that_waits_has_no_age(world: World, written: Written) -> None:
    world.invoke({"user_ids": [f"u{number}" for number in range(11)]})
    world.api.script("u0", not_sent())
    world.deliver_copy()

    assert written.values("Deferrals", cause="connection_failed") == [1]
    assert written.values("WaitingAge") == []


def test_calls_are_counted_and_timed(world: World, written: Written) -> None:
    world.api.script("u2", answers(403))
    world.api.script("u3", no_answer())
    world.api.script("u4", not_sent())
    for number in range(1, 5):
        world.ask(f"u{number}", f"r{number}")

    assert sum(written.values("ApiCalls")) == 4
    assert [
        sum(written.values("ApiFailures", answer=answer))
        for answer in ("403", "unknown", "not_sent")
    ] == [1, 1, 1]
    assert written.unit("ApiLatency") == "Milliseconds"


def test_pause_is_counted_with_its_length(world: World, written: Written) -> None:
    world.api.script("u1", answers(429, "1000"))
    world.ask("u1", "r1")

    assert written.values("QuotaPauses") == [1]
    assert written.values("QuotaPauseSeconds") == [1_000]


def test_outage_opens_breaker_and_success_closes_it(world: World, written: Written) -> None:
    for number in range(10):
        world.api.script(f"u{number}", not_sent())
        world.ask(f"u{number}", f"r{number}")
    assert written.values("BreakerOpenings") == [1]
    world.deliver_all_copies()

    assert written.values("BreakerState")[-1] == 0


def test_refused_key_is_no_outage(world: World, written: Written) -> None:
    world.api.script("u1", answers(401))
    world.ask("u1", "r1")

    assert written.values("KeyRefusals") == [1]
    assert written.values("BreakerOpenings") == []


@pytest.mark.parametrize("step", ["secret.read", "table.claim", "topic.publish"])
def test_dependency_that_fails_is_counted(world: World, written: Written, step: str) -> None:
    world.steps.fail(step)
    world.ask()

    assert written.values("DependencyFailures") == [1]
