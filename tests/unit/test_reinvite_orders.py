"""An order for many users becomes a request for each of them."""

import json
from dataclasses import replace

import pytest

from invitations.errors import QueueUnavailableError
from invitations.results import Result
from tests.fakes import START, text_attribute
from tests.reinvite_world import World, answers, in_short


@pytest.fixture
def world() -> World:
    return World()


def users(number: int) -> list[str]:
    return [f"u{each}" for each in range(number)]


@pytest.mark.parametrize(("number", "queue"), [(10, "retry"), (11, "bulk")])
def test_order_on_a_queue_becomes_requests_on_the_queue_of_its_pace(
    world: World, number: int, queue: str
) -> None:
    message = world.raw(json.dumps({"user_ids": users(number)}))
    world.clock.advance(10)
    outcomes = world.deliver_order(message)

    assert [in_short(outcome) for outcome in outcomes] == ["deferred: order_split"] * number
    assert [each.queue for each in world.deferred] == [queue] * number
    assert {each.state.asked_at for each in world.deferred} == {START}
    world.api.script("u0", answers(408))
    world.deliver_copy()
    assert [each.queue for each in world.deferred] == [queue] * number
    world.deliver_all_copies()
    assert sorted(str(result.user_id) for result in world.published) == sorted(users(number))


def test_small_order_by_invocation_is_carried_out_at_once(world: World) -> None:
    outcomes = world.invoke({"user_ids": users(10), "correlation_id": "c1"})

    assert [in_short(outcome) for outcome in outcomes] == ["sent: invited"] * 10
    assert world.published == outcomes
    assert {(each.source, each.correlation_id) for each in world.published} == {("direct", "c1")}


def test_large_order_by_invocation_is_queued_as_bulk(world: World) -> None:
    outcomes = world.invoke({"user_ids": users(500)})

    assert [in_short(outcome) for outcome in outcomes] == ["deferred: order_split"] * 500
    assert [outcome.user_id for outcome in outcomes] == users(500)
    assert [each.queue for each in world.deferred] == ["bulk"] * 500
    names = [each.state.request_id for each in world.deferred]
    assert [outcome.request_id for outcome in outcomes] == names
    assert {each.state.source for each in world.deferred} == {"direct"}


def test_order_delivered_again_makes_no_second_call(world: World) -> None:
    message = world.raw(json.dumps({"user_ids": ["u1", "u2"]}))
    for _ in range(2):
        world.deliver_order(message)
        world.deliver_all_copies()

    assert len(world.api.calls) == len(set(world.published)) == 2


def test_invalid_user_of_an_order_does_not_fail_the_others(world: World) -> None:
    outcomes = world.invoke({"user_ids": ["u1", 7, None, "u2"]})

    assert [in_short(outcome) for outcome in outcomes] == [
        "sent: invited",
        "invalid: user_id_not_a_string",
        "invalid: user_id_missing",
        "sent: invited",
    ]
    assert len({outcome.request_id for outcome in outcomes}) == 4


@pytest.mark.parametrize("user_ids", [[], users(1_001)])
def test_malformed_order_is_invalid(world: World, user_ids: object) -> None:
    (outcome,) = world.invoke({"user_ids": user_ids})

    assert in_short(outcome) == "invalid: user_ids_malformed"


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


def test_single_request_by_invocation_is_answered_with_its_result(world: World) -> None:
    (result,) = world.invoke({"user_id": "u1"})

    assert isinstance(result, Result)
    assert (result.request_id, result.source) == ("invocation-1", "direct")
    assert world.published == [result]


def test_order_delivered_again_has_one_result_for_an_unusable_id(world: World) -> None:
    message = world.raw(json.dumps({"user_ids": ["u1", ".."], "request_id": "o1"}))
    for _ in range(2):
        world.deliver_order(message)
        world.deliver_all_copies()
        world.clock.advance(60)

    assert len({result for result in world.published if result.status == "invalid"}) == 1


def test_requests_of_an_order_are_as_old_as_the_order(world: World) -> None:
    message = world.raw(json.dumps({"user_ids": ["u1", "u2"]}))
    world.clock.advance(60)
    world.deliver_order(message, receive_count=2)

    assert world.deferred[0].state.asked_at == START


def test_requests_of_an_order_carry_its_attributes_and_its_trace_header(world: World) -> None:
    message = world.raw(json.dumps({"user_ids": ["u1", "u2"]}))
    attributes = {"traceparent": text_attribute("00-ab")}
    world.deliver_order(replace(message, attributes=attributes, trace_header="Root=1"))

    assert [each.text("traceparent") for each in world.deferred] == ["00-ab"] * 2
    assert [each.trace_header for each in world.deferred] == ["Root=1"] * 2
