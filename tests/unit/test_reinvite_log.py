"""What the log says of a request, and what it never says."""

import logging
from typing import Any

import pytest

from invitations.observability import logger
from tests.fakes import World, answers, no_answer, not_sent


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.DEBUG, str(logger.name))
    return World()


def line(caplog: pytest.LogCaptureFixture, message: str) -> dict[str, Any]:
    """The fields of the only line with this message."""
    (found,) = [vars(each) for each in caplog.records if each.getMessage() == message]
    return found


def test_published_result_is_logged_with_its_request(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.ask("u1", "r1", correlation_id="c1")

    fields = line(caplog, "result published")
    assert (
        fields.items()
        >= {
            "request_id": "r1",
            "user_id": "u1",
            "correlation_id": "c1",
            "result_id": world.published[0].result_id,
            "status": "sent",
            "reason": "invited",
        }.items()
    )


def test_deferral_is_logged_with_its_cause(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.api.script("u1", answers(429, "7"))
    world.ask("u1", "r1")

    fields = line(caplog, "request deferred")
    assert (
        fields.items()
        >= {
            "request_id": "r1",
            "user_id": "u1",
            "cause": "throttled",
            "delay_seconds": 7,
            "attempts": 1,
        }.items()
    )


def test_refusal_is_logged_with_its_status(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.api.script("u1", answers(404))
    world.ask("u1", "r1", correlation_id="c1")

    fields = line(caplog, "call did not succeed")
    assert (
        fields.items()
        >= {
            "request_id": "r1",
            "user_id": "u1",
            "correlation_id": "c1",
            "http_status": 404,
        }.items()
    )


def test_call_without_answer_is_logged_with_its_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.api.script("u1", no_answer())
    world.ask("u1", "r1")

    fields = line(caplog, "call did not succeed")
    assert fields.items() >= {"request_id": "r1", "error": "read timed out"}.items()


def test_dependency_that_fails_is_logged_as_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.steps.fail("table.claim")
    world.ask("u1", "r1", correlation_id="c1")

    fields = line(caplog, "dependency unavailable")
    assert (
        fields.items()
        >= {
            "levelname": "ERROR",
            "request_id": "r1",
            "user_id": "u1",
            "correlation_id": "c1",
            "cause": "ledger_unavailable",
            "error": "the fake table is down",
        }.items()
    )


def test_key_is_in_the_call_and_nowhere_else(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    world.reinviter.keys.current()
    world.secrets.secret = "key-2"
    world.api.script("u1", answers(401), answers(500), answers(403))
    world.api.script("u2", *[not_sent()] * 3)
    world.steps.fail("table.save")
    world.ask("u1", "r1")
    world.ask("u2", "r2")
    world.deliver(world.raw("no JSON"))
    world.deliver_all_copies()

    written = [
        *(vars(record) for record in caplog.records),
        *world.published,
        *world.sqs.messages,
        world.table.items,
        *capsys.readouterr(),
    ]
    assert {call.api_key for call in world.api.calls} == {"key-1", "key-2"}
    assert "key-" not in str(written)
