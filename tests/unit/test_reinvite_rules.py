"""How a request or an order waits, ends and goes on; test_policy.py has the rules."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from invitations.errors import QueueUnavailableError
from invitations.messages import RetryState
from tests.fakes import START, Settings, StoredMessage, text_attribute
from tests.reinvite_world import World, answers, in_short, no_answer

SENT, NOT_DUE = "sent: invited", "skipped: not_due"
NAMELESS = StoredMessage("requests", "m1", ' {"user_id": "u1"} ')
"""A request that is named after its message."""


@pytest.fixture
def world() -> World:
    return World()


# The window.


def test_request_within_the_window_is_skipped_or_waits_for_its_end(world: World) -> None:
    world.ask("u1", "r1")

    assert in_short(world.ask("u1", "r2")) == "skipped: window_active"
    sent, skipped = world.published
    assert skipped.window_ends_at == sent.window_ends_at
    for request_id in ("r3", "r4"):
        outcome = world.ask("u1", request_id, on_active_window="defer")
        assert in_short(outcome) == "deferred: window_active"
    world.deliver_all_copies()
    gaps = [later - earlier for earlier, later in pairwise(world.calls_for("u1"))]
    assert gaps == pytest.approx([303.25, 303.25], abs=0.75)


# Waits.


def test_part_of_a_long_wait_asks_for_nothing_and_keeps_the_retry_state(world: World) -> None:
    state = RetryState(START, START + 5_000, "quota", has_appointment=True, attempts=2)
    world.deliver(world.bulk_message(state))

    assert world.steps.taken == ["queue.bulk"]
    assert world.deferred[0].state == state
    assert 600 <= world.deferred[0].due_at - START <= 900
    world.deliver_all_copies()
    assert START + 4_995 <= world.calls_for("u1")[0] <= START + 5_001


def test_each_unknown_outcome_doubles_the_wait() -> None:
    world = World(Settings(max_attempts=5, user_daily_limit=0))
    world.api.script("u1", *[no_answer()] * 5)
    world.play()

    gaps = [later - earlier for earlier, later in pairwise(world.calls_for("u1"))]
    assert gaps == pytest.approx([360, 600, 1_200, 2_400], abs=5)


# `not_after`.


def test_waiting_request_returns_at_not_after_and_fails(world: World) -> None:
    world.api.script("u1", no_answer())
    message = world.message(not_after="2027-01-15T08:03:00Z")

    assert world.play(message) == ["deferred: no_answer", "failed: deadline_passed"]
    assert 180 < world.clock() - START <= 181


def test_not_after_that_passes_while_a_token_is_waited_for_prevents_the_call() -> None:
    world = World(Settings(requests_per_minute=20))
    world.ask("u1", "r1")
    message = world.message("u2", "r2", not_after="2027-01-15T08:00:02Z")

    assert world.play(message) == ["deferred: token_expired", "failed: deadline_passed"]
    assert world.calls_for("u2") == []


# Failures, redrives and names.


def test_failed_message_is_kept_and_redriven_under_its_name_with_new_attempts(world: World) -> None:
    world.api.script("u1", *[answers(408)] * 5)
    assert world.play(NAMELESS)[-1] == "failed: attempts_exhausted"

    (dead,), (failed,) = world.dead, world.published
    assert (dead.body, failed.attempts) == (NAMELESS.body, 3)
    assert {name: dead.text(name) for name in dead.attributes} == {
        "status": "failed",
        "reason": "attempts_exhausted",
        "detail": failed.detail,
        "request_id": "m1",
        "source": "sqs",
    }
    world.clock.advance(1_000)
    assert world.play(world.redriven(dead)) == [*["deferred: try_later"] * 2, SENT]
    assert (world.published[1].request_id, world.published[1].attempts) == ("m1", 3)


def test_redriven_request_waits_for_its_own_window() -> None:
    world = World(Settings(max_attempts=1))
    world.api.script("u1", no_answer())
    world.deliver(NAMELESS)
    world.clock.advance(1)

    assert world.play(world.redriven(world.dead[0])) == ["deferred: window_active", SENT]


def test_first_redelivery_of_a_nameless_request_writes_its_id_down(world: World) -> None:
    outcome = world.deliver(NAMELESS, receive_count=2)

    assert in_short(outcome) == "deferred: request_id_persisted"
    (copy,) = world.deferred
    assert (copy.body, copy.due_at) == (NAMELESS.body, START)
    assert in_short(world.deliver(copy, receive_count=2)) == SENT
    world.deliver(world.redriven(copy))
    assert [result.request_id for result in world.published] == ["m1", "m1"]


# Orders.


def order(world: World, user_ids: list[str]) -> StoredMessage:
    """A new order that came with a message attribute and a trace header."""
    message = world.raw(json.dumps({"user_ids": user_ids}))
    attributes = {"traceparent": text_attribute("00-ab")}
    return replace(message, attributes=attributes, trace_header="Root=1")


@pytest.mark.parametrize(("number", "queue"), [(10, "retry"), (11, "bulk")])
def test_order_on_a_queue_becomes_requests_on_the_queue_of_its_pace(
    world: World, number: int, queue: str
) -> None:
    user_ids = [f"u{each}" for each in range(number)]
    message = order(world, user_ids)
    world.clock.advance(10)
    outcomes = world.deliver_order(message)

    assert list(map(in_short, outcomes)) == ["deferred: order_split"] * number
    assert [(outcome.user_id, outcome.request_id) for outcome in outcomes] == [
        (json.loads(each.body)["user_id"], each.text("request_id")) for each in world.deferred
    ]
    came = {
        (each.queue, each.state.asked_at, each.text("traceparent"), each.trace_header)
        for each in world.deferred
    }
    assert came == {(queue, START, "00-ab", "Root=1")}


def test_redriven_order_asks_for_the_requests_of_its_first_delivery(world: World) -> None:
    message = order(world, ["u1", "u2"])
    world.steps.fail("queue.retry", after_effect=True)
    with pytest.raises(QueueUnavailableError):
        world.deliver_order(message)
    names = [each.text("request_id") for each in world.deferred]
    (outcome,) = world.deliver_order(message, receive_count=2)
    assert in_short(outcome) == "deferred: request_id_persisted"
    world.deliver_order(world.redriven(world.messages.pop()))

    assert [each.text("request_id") for each in world.deferred] == names * 2
