"""What the log says of a request, and what it never says."""

import logging

import pytest

from invitations.observability import logger
from tests.reinvite_world import World, answers, no_answer, not_sent

REQUEST = {"request_id": "r1", "user_id": "u1", "correlation_id": "c1"}


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> World:
    caplog.set_level(logging.DEBUG, str(logger.name))
    return World()


def assert_logged(caplog: pytest.LogCaptureFixture, message: str, **fields: object) -> None:
    """The only line with this message has these fields."""
    (line,) = [vars(each) for each in caplog.records if each.getMessage() == message]
    assert line.items() >= fields.items()


def test_published_result_is_logged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.ask("u1", "r1", correlation_id="c1")

    result_id = world.published[0].result_id
    assert_logged(
        caplog,
        "result published",
        **REQUEST,
        result_id=result_id,
        status="sent",
        reason="invited",
    )


def test_deferral_is_logged_with_its_cause(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.api.script("u1", answers(429, "7"))
    world.ask("u1", "r1")

    assert_logged(
        caplog,
        "request deferred",
        request_id="r1",
        user_id="u1",
        cause="throttled",
        delay_seconds=7,
        attempts=1,
    )


def test_call_without_success_is_logged_with_status_or_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.api.script("u1", answers(404), no_answer())
    world.ask("u1", "r1", correlation_id="c1")
    assert_logged(caplog, "call failed", **REQUEST, http_status=404)

    caplog.clear()
    world.ask("u1", "r2")
    assert_logged(caplog, "call failed", request_id="r2", error="read timed out")


def test_dependency_that_fails_is_logged_as_an_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.steps.fail("table.claim")
    world.ask("u1", "r1", correlation_id="c1")

    assert_logged(
        caplog,
        "dependency unavailable",
        **REQUEST,
        levelname="ERROR",
        cause="ledger_unavailable",
        error="the fake table is down",
    )


def test_key_is_in_the_call_and_nowhere_else(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    world.reinviter.calls.keys.current()
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
