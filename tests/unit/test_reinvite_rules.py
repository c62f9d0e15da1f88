"""How a request waits or ends, and under which name it goes on; test_policy.py has the rules."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from invitations.messages import RetryState, SweepCriteria
from tests.fakes import START, ExecutionDiedError, Settings, StoredMessage, text_attribute
from tests.reinvite_world import World, answers, in_short, no_answer, not_sent

SKEW = 2.0

NAMELESS = StoredMessage("requests", "m1", ' {"user_id": "u1"} ')
"""A request that is named after its message."""
EVENT = {"id": "e1", "source": "crm", "detail-type": "", "detail": {"user_id": "u1"}}


@pytest.fixture
def world() -> World:
    return World()


def failed_world() -> World:
    """A world in which the nameless request has failed, after three calls that count."""
    world = World()
    world.api.script("u1", *[answers(408)] * 3)
    world.deliver(NAMELESS)
    world.deliver_all_copies()
    return world


def test_request_within_the_window_is_skipped_by_default(world: World) -> None:
    world.ask("u1", "r1")

    assert in_short(world.ask("u1", "r2")) == "skipped: window_active"
    sent, skipped = world.published
    assert skipped.window_ends_at == sent.window_ends_at
    assert skipped.detail is not None


def test_request_within_the_window_waits_for_its_end_when_it_asks_to_defer(world: World) -> None:
    world.ask("u1", "r1")
    ends_at = world.user().window_ends_at
    world.ask("u1", "r2", on_active_window="defer")

    assert in_short(world.ask("u1", "r3", on_active_window="defer")) == "deferred: window_active"
    assert world.deferred[0].state.wait_until - SKEW == ends_at
    world.deliver_all_copies()
    assert min(later - earlier for earlier, later in pairwise(world.calls_for("u1"))) > 300


def test_window_that_the_request_itself_holds_is_waited_for(world: World) -> None:
    world.api.script("u1", no_answer())
    world.ask()

    assert in_short(world.deliver(world.message(), receive_count=2)) == "deferred: window_active"
    world.deliver_all_copies()
    assert {in_short(result) for result in world.published} == {"sent: invited"}


def test_hop_of_a_long_wait_asks_for_nothing_and_keeps_the_retry_state() -> None:
    world = World(Settings(window_seconds=3_600))
    world.api.script("u1", no_answer())
    world.ask()
    (before,) = world.deferred
    taken = len(world.steps.taken)
    world.deliver_copy()

    assert world.steps.taken[taken:] == ["queue.retry"]
    assert 600 <= before.due_at - START <= 901
    assert world.deferred[0].state == before.state
    world.deliver_all_copies()
    first, second = world.calls_for("u1")
    assert 3_660 < second - first < 3_670


def test_hop_keeps_the_appointment(world: World) -> None:
    state = RetryState("r1", "sqs", START, START + 5_000, "quota", has_appointment=True)
    world.deliver(world.sweep_message(state))

    assert world.deferred[0].state == state


def test_nth_unknown_outcome_is_followed_by_two_to_the_n_windows() -> None:
    world = World(Settings(max_attempts=5, user_daily_limit=0))
    world.api.script("u1", *[no_answer()] * 5)
    world.ask()
    world.deliver_all_copies()

    gaps = [later - earlier for earlier, later in pairwise(world.calls_for("u1"))]
    assert gaps == pytest.approx([360, 600, 1_200, 2_400], abs=5)


def test_request_past_not_after_fails_without_a_call(world: World) -> None:
    assert in_short(world.ask(not_after="2027-01-15T07:59:59Z")) == "failed: deadline_passed"
    assert world.api.calls == []
    assert [dead.text("reason") for dead in world.dead] == ["deadline_passed"]


def test_waiting_request_returns_at_not_after_and_fails(world: World) -> None:
    world.api.script("u1", no_answer())
    world.ask(not_after="2027-01-15T08:03:00Z")

    assert 180 < world.deferred[0].due_at - START <= 181
    assert in_short(world.deliver_copy()) == "failed: deadline_passed"


def test_not_after_that_passes_while_a_token_is_waited_for_prevents_the_call() -> None:
    world = World(Settings(requests_per_minute=20))
    world.ask("u1", "r1")

    outcome = world.ask("u2", "r2", not_after="2027-01-15T08:00:02Z")

    assert in_short(outcome) == "deferred: token_expired"
    assert in_short(world.deliver_copy()) == "failed: deadline_passed"
    assert world.calls_for("u2") == []


def test_not_after_that_passes_after_the_email_changes_nothing(world: World) -> None:
    message = world.message(not_after="2027-01-15T08:03:00Z")
    world.deliver(message)
    world.clock.advance(3_600)

    assert in_short(world.deliver(message, receive_count=2)) == "sent: invited"


def test_not_after_that_passes_during_the_call_waits_for_its_outcome(world: World) -> None:
    message = world.message(not_after="2027-01-15T08:03:00Z")
    world.steps.fail("api.invite", after_effect=True, error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.deliver(message)
    world.clock.advance(240)

    assert in_short(world.deliver(message, receive_count=2)) == "deferred: in_progress"
    assert world.deferred[0].due_at > world.clock() + 60
    world.deliver_all_copies()
    (result,) = world.published
    assert (in_short(result), result.attempts) == ("failed: deadline_passed", 1)
    assert (world.user().maybe_sent_count, world.user().claim_id) == (1, None)


def test_user_gets_no_more_invitations_in_a_day_than_the_daily_limit() -> None:
    world = World(Settings(user_daily_limit=1))
    world.ask("u1", "r1")
    world.clock.advance(1_000)

    assert in_short(world.ask("u1", "r2")) == "skipped: daily_limit"
    assert world.sqs.messages == []


def test_failed_message_is_kept_with_body_untouched_and_reason() -> None:
    world = failed_world()

    (dead,) = world.dead
    assert dead.body == NAMELESS.body
    assert (dead.text("status"), dead.text("reason")) == ("failed", "attempts_exhausted")
    assert (dead.text("request_id"), dead.text("source")) == ("m1", "sqs")
    assert dead.text("detail") == world.published[0].detail
    assert world.published[0].attempts == 3


def test_redriven_request_gets_new_attempts_under_its_name() -> None:
    world = failed_world()
    world.clock.advance(1_000)
    world.api.script("u1", answers(408), answers(408))
    world.deliver(world.redriven())
    world.deliver_all_copies()

    failed, sent = world.published
    assert (failed.request_id, sent.request_id) == ("m1", "m1")
    assert (in_short(sent), sent.attempts) == ("sent: invited", 3)


def test_redriven_request_waits_for_its_own_window() -> None:
    world = World(Settings(max_attempts=1))
    world.api.script("u1", no_answer())
    world.deliver(NAMELESS)
    world.clock.advance(1)

    assert in_short(world.deliver(world.redriven())) == "deferred: window_active"
    assert in_short(world.deliver_copy()) == "sent: invited"


def test_failure_by_a_slow_clock_answers_duplicates_too(world: World) -> None:
    message = world.message(not_after="2027-01-15T07:59:59Z")
    message = replace(message, sent_at=START + 1)
    world.deliver(message)
    world.clock.advance(360)
    world.deliver(message, receive_count=2)

    first, second = world.published
    assert first == second


def test_first_redelivery_writes_the_request_id_down(world: World) -> None:
    outcome = world.deliver(NAMELESS, receive_count=2)

    assert in_short(outcome) == "deferred: request_id_persisted"
    (copy,) = world.deferred
    assert (copy.body, copy.text("request_id"), copy.due_at) == (NAMELESS.body, "m1", START)
    assert in_short(world.deliver(copy, receive_count=2)) == "sent: invited"
    world.deliver(world.redriven(copy))
    assert [result.request_id for result in world.published] == ["m1", "m1"]


@pytest.mark.parametrize("body", [{"user_id": "u1", "request_id": "r1"}, EVENT])
def test_redelivery_of_a_named_request_is_carried_out(world: World, body: object) -> None:
    outcome = world.deliver(world.raw(json.dumps(body)), receive_count=2)

    assert in_short(outcome) == "sent: invited"


def test_deferred_request_keeps_name_source_body_and_what_came_with_it(world: World) -> None:
    world.api.script("u1", not_sent())
    attributes = {"colour": text_attribute("red")}
    message = replace(world.raw(json.dumps(EVENT)), attributes=attributes, trace_header="Root=1")
    world.deliver(message)

    (copy,) = world.deferred
    assert (copy.body, copy.trace_header) == (message.body, "Root=1")
    names = ("request_id", "source", "colour")
    assert [copy.text(name) for name in names] == ["e1", "eventbridge", "red"]
    world.deliver_copy()
    assert (world.published[0].request_id, world.published[0].source) == ("e1", "eventbridge")


def sweep_message(world: World) -> StoredMessage:
    criteria = SweepCriteria(max_invites=2, min_age_seconds=3_600)
    return world.sweep_message(RetryState("r2", "sweep", world.clock(), criteria=criteria))


def test_sweeps_request_keeps_its_criteria_while_it_waits_on_the_bulk_queue(world: World) -> None:
    world.api.script("u1", not_sent())
    world.deliver(sweep_message(world))
    (copy,) = world.deferred
    assert copy.queue == "bulk"
    world.ask("u1", "r1")
    world.clock.advance(400)

    assert in_short(world.deliver_copy()) == "skipped: not_due"


def test_sweeps_request_with_an_unknown_outcome_is_skipped_and_not_repeated(world: World) -> None:
    world.api.script("u1", no_answer())
    world.deliver(sweep_message(world))

    (result,) = world.published
    assert (in_short(result), result.attempts) == ("skipped: not_due", 1)
    assert world.sqs.messages == []
    assert (world.user().maybe_sent_count, world.user().claim_id) == (1, None)
    assert in_short(world.ask("u1", "r3")) == "skipped: window_active"


def test_sweeps_request_of_a_dead_execution_is_skipped_and_not_repeated(world: World) -> None:
    message = sweep_message(world)
    world.steps.fail("api.invite", after_effect=True, error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.deliver(message)
    world.clock.advance(3_600)

    assert in_short(world.deliver(message, receive_count=2)) == "skipped: not_due"
    assert len(world.api.calls) == 1


def test_invalid_input_ends_at_once_and_is_kept(world: World) -> None:
    assert in_short(world.deliver(world.raw("no JSON"))) == "invalid: malformed_json"
    (dead,) = world.sqs.messages
    assert (dead.queue, dead.body) == ("dead", "no JSON")
    assert (dead.text("status"), dead.text("reason")) == ("invalid", "malformed_json")
    assert (world.api.calls, len(world.published)) == ([], 1)
