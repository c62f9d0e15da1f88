"""What CloudWatch counts, read out of the lines as the functions write them."""

import logging
from collections.abc import Mapping

import pytest

from invitations.observability import JsonFormatter, logger
from tests.fakes import Message, World, answers, never_sent, unanswered
from tests.metrics import points
from tests.sweep_world import SweepWorld, answered, invited_users


@pytest.fixture
def world() -> World:
    return World()


class Log:
    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def values(self, name: str, **dimensions: str) -> list[float]:
        """The metric's values with exactly these dimensions, in the order of the log."""
        lines = map(JsonFormatter().format, self._caplog.records)
        return [
            point.value
            for point in points(lines)
            if (point.name, point.dimensions) == (name, dimensions)
        ]

    def units(self) -> Mapping[str, str]:
        lines = map(JsonFormatter().format, self._caplog.records)
        return {point.name: point.unit for point in points(lines)}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    caplog.set_level(logging.INFO, logger.name)
    return Log(caplog)


class TestResults:
    def test_are_counted_by_status_and_by_reason(self, world: World, log: Log) -> None:
        world.api.script("u2", answers(404))
        world.ask("u1", "r1")
        world.ask("u2", "r2")
        world.deliver(Message("m3", "no JSON"))

        assert log.values("Results", status="sent") == [1]
        assert log.values("Results", status="sent", reason="invited") == [1]
        assert log.values("Results", status="rejected", reason="user_not_found") == [1]
        assert log.values("Results", status="invalid", reason="malformed_json") == [1]

    def test_know_how_old_the_request_was(self, world: World, log: Log) -> None:
        message = world.message("u1", "r1")
        world.clock.advance(40)
        world.deliver(message)

        assert log.values("RequestAge") == [pytest.approx(40 + world.api.seconds)]
        assert log.units()["RequestAge"] == "Seconds"

    def test_know_the_age_of_one_that_had_to_wait(self, world: World, log: Log) -> None:
        world.api.script("u1", answers(429, "100"))
        world.ask("u1", "r1")
        world.deliver_all_copies()

        (age,) = log.values("RequestAge")
        assert 100 < age < 110


class TestDeferrals:
    def test_are_counted_by_cause(self, world: World, log: Log) -> None:
        world.api.script("u1", answers(429, "7"))
        world.ask("u1", "r1")
        world.ask("u2", "r2")

        assert log.values("Deferrals") == [1, 1]
        assert log.values("Deferrals", cause="throttled") == [1]
        assert log.values("Deferrals", cause="paused") == [1]


class TestCalls:
    def test_are_counted_by_answer_and_timed(self, world: World, log: Log) -> None:
        world.api.script("u2", answers(403))
        world.api.script("u3", unanswered())
        world.api.script("u4", never_sent())
        for number in range(1, 5):
            world.ask(f"u{number}", f"r{number}")

        assert log.values("ApiCalls") == [1] * 4
        assert [
            log.values("ApiCalls", answer=answer) for answer in ("200", "403", "none", "never_sent")
        ] == [[1]] * 4
        assert log.values("ApiLatency") == [world.api.seconds * 1000] * 4
        assert log.units()["ApiLatency"] == "Milliseconds"

    def test_of_a_replaced_key_are_two(self, world: World, log: Log) -> None:
        world.keys.current()
        world.keys.secret = "another"
        world.api.script("u1", answers(401))
        world.ask("u1", "r1")

        assert log.values("ApiCalls", answer="401") == [1]
        assert log.values("ApiCalls", answer="200") == [1]


class TestTrouble:
    def test_a_pause_is_counted(self, world: World, log: Log) -> None:
        world.api.script("u1", answers(429, "7"))
        world.ask("u1", "r1")

        assert log.values("QuotaPauses") == [1]

    def test_the_breaker_is_open_and_closed_again(self, world: World, log: Log) -> None:
        for number in range(10):
            world.api.script(f"u{number}", answers(503))
            world.ask(f"u{number}", f"r{number}")
        world.clock.advance(30)
        world.ask("u10", "r10")

        assert log.values("BreakerOpenings") == [1]
        assert log.values("BreakerState") == [1, 0]

    def test_a_refused_key_is_no_outage(self, world: World, log: Log) -> None:
        world.api.script("u1", answers(401))
        world.ask("u1", "r1")

        assert log.values("KeyRefusals") == [1]
        assert log.values("BreakerState") == [1]
        assert log.values("BreakerOpenings") == []

    def test_a_secret_that_cannot_be_read_is_counted(self, world: World, log: Log) -> None:
        world.keys.fail("read")
        world.ask("u1", "r1")

        assert log.values("SecretFailures") == [1]

    def test_another_thing_that_fails_is_no_secret(self, world: World, log: Log) -> None:
        world.ledger.fail("claim")
        world.ask("u1", "r1")

        assert log.values("SecretFailures") == []


class TestSweeps:
    def test_are_counted_with_what_they_found(self, log: Log) -> None:
        world = SweepWorld(users=invited_users(3))
        world.sweep()

        assert log.values("SweepsEnded") == [1]
        assert log.values("SweepFailures") == [0]
        assert [
            log.values(name) for name in ("SweepUsersFound", "SweepUsersDue", "SweepRequestsQueued")
        ] == [[3]] * 3

    def test_that_were_given_up_are_failures(self, log: Log) -> None:
        world = SweepWorld(users=invited_users(3))
        world.answers = [answered(403)]
        world.sweep()

        assert log.values("SweepFailures") == [1]
