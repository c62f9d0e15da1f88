"""What CloudWatch counts, read out of the lines that the functions write."""

import json
import subprocess
import sys

import pytest

from invitations.observability import metrics
from invitations.outcomes import Answered
from tests.documents import REPOSITORY
from tests.fakes import Settings
from tests.metrics import Point, points
from tests.reinvite_world import World, answers, no_answer, not_sent
from tests.sweep_world import SweepWorld, people


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
    return World()


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


def test_deferral_is_counted_by_cause_with_the_age_of_its_request(
    world: World, written: Written
) -> None:
    message = world.message()
    world.clock.advance(4_000)
    world.api.script("u1", not_sent())
    world.deliver(message)

    assert written.values("Deferrals", cause="connection_failed") == [1]
    assert written.values("WaitingAge") == [4_000.5]


def test_bulk_that_waits_has_no_age(world: World, written: Written) -> None:
    world.invoke({"user_ids": [f"u{number}" for number in range(11)]})
    world.api.script("u0", not_sent())
    world.deliver_copy()

    assert written.values("Deferrals", cause="connection_failed") == [1]
    assert written.values("WaitingAge") == []


@pytest.mark.parametrize(("status", "failures"), [(200, 0), (403, 1)])
def test_failed_sweep_is_counted(written: Written, status: int, failures: int) -> None:
    world = SweepWorld(people(1))
    world.partoo.answers = [Answered(status, world.clock())] * (status != 200)
    world.sweep_to_the_end()

    assert written.values("SweepFailures") == [failures]


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


def test_tenth_403_in_a_row_and_all_after_it_are_counted(world: World, written: Written) -> None:
    for number in range(11):
        world.api.script(f"u{number}", answers(403))
        world.ask(f"u{number}", f"r{number}")

    assert written.values("ForbiddenRuns") == [1, 1]


def test_run_of_403s_ends_with_an_invitation_and_not_with_another_refusal(
    world: World, written: Written
) -> None:
    for number in range(9):
        world.api.script(f"u{number}", answers(403))
        world.ask(f"u{number}", f"r{number}")
    world.api.script("u9", answers(404))
    world.ask("u9", "r9")
    world.ask("u10", "r10")
    for number in range(11, 20):
        world.api.script(f"u{number}", answers(403))
        world.ask(f"u{number}", f"r{number}")
    assert written.values("ForbiddenRuns") == []
    world.api.script("u20", answers(404))
    world.ask("u20", "r20")
    world.api.script("u21", answers(403))
    world.ask("u21", "r21")

    assert written.values("ForbiddenRuns") == [1]


@pytest.mark.parametrize("step", ["secret.read", "table.claim", "topic.publish"])
def test_dependency_that_fails_is_counted(world: World, written: Written, step: str) -> None:
    world.steps.fail(step)
    world.ask()

    assert written.values("DependencyFailures") == [1]


WRITING_THREADS = """
from concurrent.futures import ThreadPoolExecutor
from invitations.observability import count_by, logger

def write(number):
    for _ in range(200):
        logger.info("result published", extra={"number": number})
        count_by("Results", status="sent", reason="invited")

with ThreadPoolExecutor(10) as threads:
    list(threads.map(write, range(10)))
"""


def test_threads_write_their_lines_one_after_another() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WRITING_THREADS],
        cwd=REPOSITORY / "functions",
        capture_output=True,
        text=True,
        check=True,
    )

    assert len([json.loads(line) for line in run.stdout.splitlines()]) == 4_000
