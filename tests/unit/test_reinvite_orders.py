"""An order for many users becomes a request for each of them."""

import json

import pytest

from invitations.errors import QueueUnavailableError
from invitations.messages import Deferred
from invitations.results import Result
from tests.fakes import START, World, answers, in_short, not_sent


@pytest.fixture
def world() -> World:
    return World()


def users(number: int) -> list[str]:
    return [f"u{each}" for each in range(number)]


def test_small_order_on_queue_goes_to_retry_queue(world: World) -> None:
    outcomes = world.deliver_order(world.raw(json.dumps({"user_ids": users(10)})))

    assert {in_short(outcome) for outcome in outcomes} == {"deferred: order_split"}
    assert [each.queue for each in world.deferred] == ["retry"] * 10
    world.deliver_all_copies()
    assert sorted(str(result.user_id) for result in world.published) == users(10)
    assert {in_short(result) for result in world.published} == {"sent: invited"}


def test_large_order_on_queue_goes_to_bulk_queue(world: World) -> None:
    world.deliver_order(world.raw(json.dumps({"user_ids": users(11)})))

    assert [each.queue for each in world.deferred] == ["bulk"] * 11
    assert world.api.calls == []


def test_request_of_large_order_stays_on_bulk_queue(world: World) -> None:
    world.deliver_order(world.raw(json.dumps({"user_ids": users(11)})))
    world.api.script("u0", not_sent())
    world.deliver_copy()

    assert [each.queue for each in world.deferred] == ["bulk"] * 11


def test_small_order_by_invocation_is_carried_out_at_once(world: World) -> None:
    outcomes = world.invoke({"user_ids": users(10), "correlation_id": "c1"})

    assert [in_short(outcome) for outcome in outcomes] == ["sent: invited"] * 10
    assert world.published == outcomes
    assert {result.source for result in world.published} == {"direct"}
    assert {result.correlation_id for result in world.published} == {"c1"}


def test_large_order_by_invocation_is_queued_on_bulk(world: World) -> None:
    outcomes = world.invoke({"user_ids": users(500)})

    assert [in_short(outcome) for outcome in outcomes] == ["deferred: order_split"] * 500
    assert [outcome.user_id for outcome in outcomes] == users(500)
    assert [each.queue for each in world.deferred] == ["bulk"] * 500
    names = [each.state.request_id for each in world.deferred]
    assert [o.request_id for o in outcomes if isinstance(o, Deferred)] == names
    assert {each.state.source for each in world.deferred} == {"direct"}
    assert world.api.calls == []


def test_user_that_an_order_names_twice_is_invited_once(world: World) -> None:
    outcomes = world.invoke({"user_ids": ["u1", " u1 ", "u2"]})

    assert [outcome.user_id for outcome in outcomes] == ["u1", "u2"]


def test_requests_of_order_are_named_after_order_and_user(world: World) -> None:
    first = world.invoke({"user_ids": ["u1", "u2"], "request_id": "o1"})
    again = world.invoke({"user_ids": ["u2", "u1"], "request_id": "o1"})

    assert {each.request_id for each in first} == {each.request_id for each in again}
    assert len({each.request_id for each in first}) == 2
    assert len(world.api.calls) == 2


def test_order_delivered_again_makes_no_second_call(world: World) -> None:
    message = world.raw(json.dumps({"user_ids": ["u1", "u2"]}))
    world.deliver_order(message)
    world.deliver_all_copies()
    world.deliver_order(message)
    world.deliver_all_copies()

    assert len(world.api.calls) == 2
    assert len(set(world.published)) == 2


def test_fields_of_order_hold_for_every_user(world: World) -> None:
    outcomes = world.invoke({"user_ids": ["u1", "u2"], "not_after": "2020-01-01"})

    assert [in_short(outcome) for outcome in outcomes] == ["failed: deadline_passed"] * 2
    assert [json.loads(dead.body)["user_id"] for dead in world.dead] == ["u1", "u2"]


def test_invalid_user_of_order_does_not_fail_the_others(world: World) -> None:
    outcomes = world.invoke({"user_ids": ["u1", 7, None, "u2"]})

    assert [in_short(outcome) for outcome in outcomes] == [
        "sent: invited",
        "invalid: user_id_not_a_string",
        "invalid: user_id_missing",
        "sent: invited",
    ]
    assert len({outcome.request_id for outcome in outcomes}) == 4


@pytest.mark.parametrize("user_ids", [[], "u1", None, users(1_001)])
def test_malformed_order_is_invalid(world: World, user_ids: object) -> None:
    (outcome,) = world.invoke({"user_ids": user_ids})

    assert in_short(outcome) == "invalid: user_ids_malformed"


def test_order_that_queue_does_not_take_is_not_acknowledged(world: World) -> None:
    world.steps.fail("queue.retry")
    with pytest.raises(QueueUnavailableError):
        world.deliver_order(world.raw(json.dumps({"user_ids": users(2)})))


def test_redelivered_order_is_named_before_it_can_be_redriven(world: World) -> None:
    message = world.raw(json.dumps({"user_ids": ["u1", "u2"]}))
    world.steps.fail("queue.retry", after_effect=True)
    with pytest.raises(QueueUnavailableError):
        world.deliver_order(message)
    names = {each.text("request_id") for each in world.deferred}
    (outcome,) = world.deliver_order(message, receive_count=2)
    assert in_short(outcome) == "deferred: request_id_persisted"
    order = world.deferred[-1]
    world.sqs.messages.remove(order)
    world.deliver_order(world.redriven(order))

    assert {each.text("request_id") for each in world.deferred} == names


def test_requests_of_order_are_asked_for_when_the_order_was(world: World) -> None:
    message = world.raw(json.dumps({"user_ids": ["u1", "u2"]}))
    world.clock.advance(10)
    world.deliver_order(message)

    assert {each.state.asked_at for each in world.deferred} == {START}


def test_dead_order_is_carried_out_when_it_is_redriven(world: World) -> None:
    message = world.raw(json.dumps({"user_ids": ["u1", "u2"]}))
    world.deliver_order(world.redriven(message))
    world.deliver_all_copies()

    assert [in_short(result) for result in world.published] == ["sent: invited"] * 2


def test_single_request_by_invocation_is_answered_with_its_result(world: World) -> None:
    (result,) = world.invoke({"user_id": "u1"})

    assert isinstance(result, Result)
    assert (result.request_id, result.source) == ("invocation-1", "direct")
    assert world.published == [result]


def test_single_request_by_invocation_that_waits_is_queued(world: World) -> None:
    world.api.script("u1", answers(429))
    (outcome,) = world.invoke({"user_id": "u1"})

    assert in_short(outcome) == "deferred: throttled"
    assert world.deferred[0].state.source == "direct"
