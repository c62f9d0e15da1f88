"""The rules of one request: window, not_after, attempts, daily limit, criteria, identity."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from invitations.messages import RetryState, SweepCriteria
from invitations.reinvite import Execution
from invitations.results import Result
from tests.fakes import (
    EXECUTION_SECONDS,
    START,
    ExecutionDiedError,
    Script,
    Settings,
    StoredMessage,
    World,
    answers,
    in_short,
    no_answer,
    not_sent,
    text_attribute,
)

WINDOW = 300.0
LONGER = 60.0
SKEW = 2.0
DAY = 86_400.0

NAMELESS = StoredMessage("requests", "m1", ' {"user_id": "u1"} ')
"""A request that is named after its message."""


@pytest.fixture
def world() -> World:
    return World()


def test_request_within_window_is_skipped_by_default(world: World) -> None:
    world.ask("u1", "r1")

    assert in_short(world.ask("u1", "r2")) == "skipped: window_active"
    assert len(world.api.calls) == 1


def test_skipped_result_says_when_window_ends(world: World) -> None:
    world.ask("u1", "r1")
    world.ask("u1", "r2")

    sent, skipped = world.published
    assert skipped.window_ends_at == sent.window_ends_at
    assert skipped.detail is not None


def test_request_within_window_waits_when_it_asks_to_defer(world: World) -> None:
    world.ask("u1", "r1")
    ends_at = world.user().window_ends_at

    assert in_short(world.ask("u1", "r2", on_active_window="defer")) == "deferred: window_active"
    assert world.deferred[0].state.wait_until == ends_at + SKEW
    assert in_short(world.deliver_copy()) == "sent: invited"


def test_requests_that_wait_for_window_call_one_window_apart(world: World) -> None:
    world.ask("u1", "r1")
    world.ask("u1", "r2", on_active_window="defer")
    world.ask("u1", "r3", on_active_window="defer")
    world.deliver_all_copies()

    first, second, third = world.calls_for("u1")
    assert second - first > WINDOW
    assert third - second > WINDOW
    assert [result.attempts for result in world.published] == [1, 1, 1]


def test_window_longer_than_any_delay_is_waited_for_in_hops() -> None:
    world = World(Settings(window_seconds=3_600))
    world.ask("u1", "r1")
    world.ask("u1", "r2", on_active_window="defer")

    (copy,) = world.deferred
    assert 600 <= copy.due_at - world.clock() <= 900
    before = len(world.steps.taken)
    world.deliver_copy()
    assert world.steps.taken[before:] == ["queue.retry"]
    world.deliver_all_copies()
    first, second = world.calls_for("u1")
    assert 3_600 < second - first < 3_610


def test_hop_keeps_retry_state() -> None:
    world = World(Settings(max_attempts=9))
    world.api.script("u1", no_answer(), no_answer(), no_answer())
    world.ask()
    world.deliver_copies(2)
    before = world.deferred[0].state
    world.deliver_copy()

    after = world.deferred[0].state
    assert before.wait_until - START > 900
    assert after == before


def test_window_of_one_user_does_not_concern_another(world: World) -> None:
    world.ask("u1", "r1")

    assert in_short(world.ask("u2", "r2")) == "sent: invited"


def test_duplicate_of_request_with_unknown_outcome_waits_for_its_own_window(world: World) -> None:
    world.api.script("u1", no_answer())
    world.ask()

    assert in_short(world.deliver(world.message(), receive_count=2)) == "deferred: window_active"
    world.deliver_all_copies()
    assert {in_short(result) for result in world.published} == {"sent: invited"}


def test_copy_that_returns_early_waits_for_its_own_window(world: World) -> None:
    world.api.script("u1", no_answer())
    world.ask()
    (copy,) = world.deferred
    world.clock.now = copy.due_at - 1

    assert in_short(world.deliver(copy)) == "deferred: window_active"


def test_request_past_not_after_fails_without_call(world: World) -> None:
    result = world.ask(not_after="2027-01-15T07:59:59Z")

    assert in_short(result) == "failed: deadline_passed"
    assert world.api.calls == []
    assert [dead.text("reason") for dead in world.dead] == ["deadline_passed"]


def test_request_at_not_after_is_carried_out(world: World) -> None:
    assert in_short(world.ask(not_after="2027-01-15T08:00:00Z")) == "sent: invited"


def test_waiting_request_returns_at_not_after_and_fails(world: World) -> None:
    world.api.script("u1", no_answer())
    world.ask(not_after="2027-01-15T08:03:00Z")

    assert 180 < world.deferred[0].due_at - START <= 181
    world.deliver_all_copies()
    assert in_short(world.published[0]) == "failed: deadline_passed"


def test_not_after_ends_request_without_asking_for_token(world: World) -> None:
    world.api.script("u1", not_sent())
    world.ask(not_after="2027-01-15T08:00:01Z")
    before = len(world.steps.taken)
    world.deliver_copy()

    assert "table.limiter" not in world.steps.taken[before:]
    assert in_short(world.published[0]) == "failed: deadline_passed"
    assert world.published[0].attempts == 1


def test_not_after_that_passes_after_email_changes_nothing(world: World) -> None:
    message = world.message(not_after="2027-01-15T08:03:00Z")
    world.deliver(message)
    world.clock.advance(3_600)

    assert in_short(world.deliver(message, receive_count=2)) == "sent: invited"


def test_not_after_that_passes_during_call_waits_for_its_outcome(world: World) -> None:
    message = world.message(not_after="2027-01-15T08:03:00Z")
    world.steps.fail("api.invite", error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.deliver(message)
    world.clock.advance(240)

    assert in_short(world.deliver(message, receive_count=2)) == "deferred: in_progress"
    assert world.deferred[0].due_at > world.clock() + 60


def test_failed_result_that_topic_does_not_take_waits_longer_each_time(world: World) -> None:
    world.steps.fail("topic.publish", times=8)
    world.ask(not_after="2027-01-15T07:59:59Z")
    world.deliver_copies(7)

    assert world.deferred[0].due_at - world.clock() > 300


def test_not_after_that_passes_after_death_during_call_counts_the_call(world: World) -> None:
    message = world.message(not_after="2027-01-15T08:03:00Z")
    world.steps.fail("api.invite", after_effect=True, error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.deliver(message)
    world.clock.advance(3_600)
    world.deliver(message, receive_count=2)

    (result,) = world.published
    assert (in_short(result), result.attempts) == ("failed: deadline_passed", 1)
    assert (world.user().maybe_sent_count, world.user().claim) == (1, None)


@pytest.mark.parametrize(
    "outcome",
    [answers(500), no_answer(), answers(302), answers(408)],
    ids=["500", "no answer", "redirect", "408"],
)
def test_request_fails_once_counted_attempts_are_used(world: World, outcome: Script) -> None:
    world.api.script("u1", *[outcome] * 3)
    world.ask()
    world.deliver_all_copies()

    (result,) = world.published
    assert (in_short(result), result.attempts) == ("failed: attempts_exhausted", 3)
    assert [dead.text("reason") for dead in world.dead] == ["attempts_exhausted"]


@pytest.mark.parametrize(
    "outcome",
    [answers(401), answers(429), not_sent()],
    ids=["401", "429", "not sent"],
)
def test_call_without_effect_does_not_count_as_attempt(world: World, outcome: Script) -> None:
    world.api.script("u1", *[outcome] * 6)
    world.ask()
    world.deliver_all_copies()

    (result,) = world.published
    assert (in_short(result), result.attempts) == ("sent: invited", 7)


def test_death_during_call_counts_as_attempt() -> None:
    world = World(Settings(max_attempts=1))
    world.steps.fail("api.invite", error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.ask()
    world.deliver(world.message(), receive_count=2)
    world.deliver_all_copies()

    (result,) = world.published
    assert (in_short(result), result.attempts) == ("failed: attempts_exhausted", 1)
    assert world.api.calls == []


def test_nth_unknown_outcome_is_followed_by_two_to_the_n_windows() -> None:
    world = World(Settings(max_attempts=5, user_daily_limit=0))
    world.api.script("u1", *[no_answer()] * 5)
    world.ask()
    world.deliver_all_copies()

    calls = world.calls_for("u1")
    gaps = [later - earlier for earlier, later in pairwise(calls)]
    assert gaps == pytest.approx([WINDOW + LONGER, 600, 1_200, 2_400], abs=5)


def test_failed_request_keeps_window_of_its_last_call(world: World) -> None:
    world.api.script("u1", *[no_answer()] * 3)
    world.ask()
    world.deliver_all_copies()

    assert in_short(world.ask("u1", "r2")) == "skipped: window_active"


def test_user_gets_no_more_invitations_in_a_day_than_daily_limit(world: World) -> None:
    for number in range(5):
        assert in_short(world.ask("u1", f"r{number}")) == "sent: invited"
        world.clock.advance(1_000)

    result = world.ask("u1", "r5")
    assert in_short(result) == "skipped: daily_limit"
    assert world.sqs.messages == []


def test_user_is_invited_again_a_day_after_first_of_daily_limit(world: World) -> None:
    for number in range(5):
        world.ask("u1", f"r{number}")
        world.clock.advance(1_000)
    world.clock.now = START + DAY - 1
    assert in_short(world.ask("u1", "r5")) == "skipped: daily_limit"

    world.clock.now = START + DAY + 3
    assert in_short(world.ask("u1", "r6")) == "sent: invited"


def test_unknown_outcome_counts_towards_daily_limit() -> None:
    world = World(Settings(user_daily_limit=2))
    world.api.script("u1", no_answer(), answers(404))
    world.ask("u1", "r1")
    world.clock.advance(1_000)
    world.ask("u1", "r2")
    world.ask("u1", "r3")
    world.clock.advance(1_000)

    assert in_short(world.ask("u1", "r4")) == "skipped: daily_limit"


def test_death_during_call_counts_towards_daily_limit() -> None:
    world = World(Settings(user_daily_limit=1))
    world.steps.fail("api.invite", error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.ask("u1", "r1")
    world.clock.advance(1_000)

    assert in_short(world.ask("u1", "r2")) == "skipped: daily_limit"


def test_daily_limit_of_zero_is_no_limit() -> None:
    world = World(Settings(user_daily_limit=0))
    for number in range(20):
        assert in_short(world.ask("u1", f"r{number}")) == "sent: invited"
        world.clock.advance(1_000)


def test_failed_message_is_kept_with_body_untouched_and_reason() -> None:
    world = failed_world()

    (dead,) = world.dead
    assert dead.body == NAMELESS.body
    assert (dead.text("status"), dead.text("reason")) == ("failed", "attempts_exhausted")
    assert (dead.text("request_id"), dead.text("source")) == ("m1", "sqs")
    assert dead.text("detail") == world.published[0].detail


def test_redriven_request_gets_new_attempts_under_its_name() -> None:
    world = failed_world()
    world.clock.advance(1_000)
    world.api.script("u1", answers(408), answers(408))
    world.deliver(world.redriven())
    world.deliver_all_copies()

    failed, sent = world.published
    assert (failed.request_id, sent.request_id) == ("m1", "m1")
    assert (in_short(sent), sent.attempts) == ("sent: invited", 3)
    assert failed.result_id != sent.result_id


def test_redriven_request_waits_for_its_own_window() -> None:
    world = World(Settings(max_attempts=1))
    world.api.script("u1", no_answer())
    world.deliver(NAMELESS)
    world.clock.advance(1)

    assert in_short(world.deliver(world.redriven())) == "deferred: window_active"
    world.deliver_all_copies()
    assert [in_short(result) for result in world.published] == [
        "failed: attempts_exhausted",
        "sent: invited",
    ]


def test_redriven_request_that_fails_again_has_result_id_of_its_own() -> None:
    world = failed_world()
    world.clock.advance(1_000)
    world.api.script("u1", *[answers(408)] * 3)
    world.deliver(world.redriven())
    world.deliver_all_copies()

    first, second = world.published
    assert (in_short(first), in_short(second)) == ("failed: attempts_exhausted",) * 2
    assert first.result_id != second.result_id


def test_duplicate_of_failed_request_publishes_the_same_result() -> None:
    world = failed_world()
    calls = len(world.api.calls)
    world.deliver(NAMELESS)

    first, second = world.published
    assert first == second
    assert len(world.api.calls) == calls


def test_failure_by_slow_clock_answers_duplicates_too(world: World) -> None:
    message = world.message(not_after="2027-01-15T07:59:59Z")
    message = replace(message, sent_at=START + 1)
    world.deliver(message)
    world.clock.advance(360)
    world.deliver(message, receive_count=2)

    first, second = world.published
    assert first == second


def failed_world() -> World:
    """A world in which the nameless request has failed."""
    world = World()
    world.api.script("u1", *[answers(408)] * 3)
    world.deliver(NAMELESS)
    world.deliver_all_copies()
    return world


def test_request_is_named_after_its_message(world: World) -> None:
    world.deliver(NAMELESS)

    assert world.published[0].request_id == "m1"


def test_first_redelivery_writes_request_id_down(world: World) -> None:
    outcome = world.deliver(NAMELESS, receive_count=2)

    assert in_short(outcome) == "deferred: request_id_persisted"
    (copy,) = world.deferred
    assert (copy.body, copy.text("request_id"), copy.due_at) == (NAMELESS.body, "m1", START)
    assert in_short(world.deliver(copy, receive_count=2)) == "sent: invited"


def test_written_request_id_outlives_dead_letter_queue(world: World) -> None:
    world.deliver(NAMELESS, receive_count=2)
    (copy,) = world.deferred
    world.deliver(world.redriven(copy))

    assert world.published[0].request_id == "m1"


@pytest.mark.parametrize(
    "body",
    [
        {"user_id": "u1", "request_id": "r1"},
        {"id": "e1", "source": "crm", "detail-type": "", "detail": {"user_id": "u1"}},
    ],
    ids=["request_id", "event id"],
)
def test_redelivery_of_named_request_is_carried_out(world: World, body: object) -> None:
    outcome = world.deliver(world.raw(json.dumps(body)), receive_count=2)

    assert in_short(outcome) == "sent: invited"


def test_deferred_request_keeps_name_body_and_source(world: World) -> None:
    event = {"id": "e1", "source": "crm", "detail-type": "", "detail": {"user_id": "u1"}}
    world.api.script("u1", not_sent())
    message = world.raw(json.dumps(event))
    world.deliver(message)

    (copy,) = world.deferred
    assert (copy.body, copy.text("request_id"), copy.text("source")) == (
        message.body,
        "e1",
        "eventbridge",
    )
    world.deliver_copy()
    assert (world.published[0].request_id, world.published[0].source) == ("e1", "eventbridge")


def test_deferred_request_keeps_senders_attributes_and_trace(world: World) -> None:
    world.api.script("u1", not_sent())
    message = replace(
        world.message(), attributes={"colour": text_attribute("red")}, trace_header="Root=1"
    )
    world.deliver(message)

    (copy,) = world.deferred
    assert (copy.text("colour"), copy.trace_header) == ("red", "Root=1")


def test_retry_state_on_request_queue_counts_for_nothing(world: World) -> None:
    state = RetryState("forged", "sweep", START, counted_attempts=3)
    forged = replace(world.message(), attributes={"retry_state": text_attribute(state.to_json())})
    result = world.deliver(forged)

    assert isinstance(result, Result)
    assert (in_short(result), result.request_id, result.source) == ("sent: invited", "r1", "sqs")


def test_same_request_id_of_two_users_names_two_requests(world: World) -> None:
    world.ask("u1", "r1")
    world.ask("u2", "r1")
    world.deliver(world.message("u1", "r1"))
    world.deliver(world.message("u2", "r1"))

    assert [in_short(result) for result in world.published] == ["sent: invited"] * 4
    assert world.published[:2] == world.published[2:]
    assert world.published[0].result_id != world.published[1].result_id
    assert len(world.api.calls) == 2


def sweep_message(world: World, request_id: str = "r2", max_invites: int = 2) -> StoredMessage:
    criteria = SweepCriteria(max_invites, min_age_seconds=3_600)
    return world.sweep_message(RetryState(request_id, "sweep", world.clock(), criteria=criteria))


def test_sweeps_request_is_sent_while_its_criteria_hold(world: World) -> None:
    world.ask("u1", "r1")
    world.clock.advance(3_601)
    result = world.deliver(sweep_message(world))

    assert isinstance(result, Result)
    assert (in_short(result), result.source) == ("sent: invited", "sweep")


def test_sweeps_request_is_skipped_when_user_was_invited_meanwhile(world: World) -> None:
    world.ask("u1", "r1")
    world.clock.advance(3_599)
    before = len(world.steps.taken)

    assert in_short(world.deliver(sweep_message(world))) == "skipped: not_due"
    assert "table.limiter" not in world.steps.taken[before:]


def test_sweeps_request_is_skipped_when_user_was_invited_often_enough(world: World) -> None:
    for request_id in ("r0", "r1"):
        world.ask("u1", request_id)
        world.clock.advance(4_000)

    assert in_short(world.deliver(sweep_message(world))) == "skipped: not_due"


def test_sweeps_request_with_unknown_outcome_is_skipped_and_not_repeated(world: World) -> None:
    world.api.script("u1", no_answer())
    result = world.deliver(sweep_message(world))

    assert isinstance(result, Result)
    assert (in_short(result), result.attempts) == ("skipped: not_due", 1)
    assert world.sqs.messages == []
    assert (world.user().maybe_sent_count, world.user().claim) == (1, None)
    assert in_short(world.ask("u1", "r3")) == "skipped: window_active"


def test_sweeps_request_of_dead_execution_is_skipped_and_not_repeated(world: World) -> None:
    message = sweep_message(world)
    world.steps.fail("api.invite", after_effect=True, error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.deliver(message)
    world.clock.advance(EXECUTION_SECONDS + WINDOW + LONGER + SKEW)

    assert in_short(world.deliver(message, receive_count=2)) == "skipped: not_due"
    assert len(world.api.calls) == 1


def test_sweeps_request_keeps_its_criteria_while_it_waits(world: World) -> None:
    world.api.script("u1", not_sent())
    world.deliver(sweep_message(world))
    (copy,) = world.deferred
    assert copy.queue == "bulk"
    world.ask("u1", "r1")
    world.clock.advance(400)

    assert in_short(world.deliver_copy()) == "skipped: not_due"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no JSON", "malformed_json"),
        ('["u1"]', "not_an_object"),
        ("{}", "user_id_missing"),
        ('{"user_id": ".."}', "user_id_dot_segment"),
        ('{"user_id": "u1", "not_after": "soon"}', "not_after_malformed"),
    ],
)
def test_invalid_input_ends_at_once_and_is_kept(world: World, body: str, reason: str) -> None:
    assert in_short(world.deliver(world.raw(body))) == f"invalid: {reason}"
    (dead,) = world.sqs.messages
    assert (dead.queue, dead.body) == ("dead", body)
    assert (dead.text("status"), dead.text("reason")) == ("invalid", reason)
    assert (world.api.calls, len(world.published)) == ([], 1)


def test_invalid_input_delivered_again_publishes_the_same_result(world: World) -> None:
    received_at = world.clock()
    world.reinviter.carry_out(world.raw("no JSON").received(received_at), execution(world))
    world.clock.advance(360)
    world.reinviter.carry_out(world.raw("no JSON").received(received_at, 2), execution(world))

    first, second = world.published
    assert first == second


def test_two_invalid_messages_have_result_ids_of_their_own(world: World) -> None:
    world.deliver(world.raw('{"request_id": "r1"}', "m1"))
    world.deliver(world.raw('{"request_id": "r1"}', "m2"))

    first, second = world.published
    assert (first.request_id, second.request_id) == ("r1", "r1")
    assert first.result_id != second.result_id


def test_result_is_published_with_attributes_for_filters(world: World) -> None:
    world.ask()

    assert world.sns.attributes == [{"status": "sent", "reason": "invited", "source": "sqs"}]


def execution(world: World) -> Execution:
    return Execution(world.clock() + EXECUTION_SECONDS)
