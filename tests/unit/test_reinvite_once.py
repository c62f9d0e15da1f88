"""The order of the steps, and one e-mail and one result for whatever is delivered again.

The simulation kills executions at every step; here each way out has one test.
"""

import threading

import pytest

from invitations.outcomes import Cause
from tests.fakes import CALL_BUDGET_SECONDS, START, ExecutionDiedError, Settings
from tests.reinvite_world import Script, World, answers, in_short, not_sent

TO_THE_CALL = [
    "table.read",
    "secret.read",
    "table.read_limiter",
    "table.limiter",
    "table.claim",
    "table.read_ending",
    "api.invite",
]


@pytest.fixture
def world() -> World:
    return World()


def test_result_is_saved_and_the_claim_ended_before_the_result_is_published(world: World) -> None:
    world.ask()

    assert world.steps.taken == [*TO_THE_CALL, "table.save", "table.end_claim", "topic.publish"]


def test_claim_is_ended_and_the_limiter_told_before_the_request_is_deferred(world: World) -> None:
    world.api.script("u1", not_sent())
    world.ask()

    assert world.steps.taken == [
        *TO_THE_CALL,
        "table.end_claim",
        "table.read_limiter",
        "table.limiter",
        "queue.retry",
    ]


@pytest.mark.parametrize("last", [answers(500), answers(404)], ids=["failed", "rejected"])
def test_final_result_is_saved_before_the_limiter_is_told(last: Script) -> None:
    world = World(Settings(max_attempts=1))
    world.api.script("u1", not_sent())
    world.ask("u1", "r1")
    before = len(world.steps.taken)
    world.api.script("u2", last)
    world.ask("u2", "r2")

    called = world.steps.taken.index("api.invite", before)
    assert world.steps.taken[called + 1 :][:5] == [
        "table.save",
        "table.end_claim",
        "table.read_limiter",
        "table.limiter",
        "topic.publish",
    ]


def test_failure_is_saved_and_published_before_the_message_is_kept(world: World) -> None:
    world.ask(not_after="2020-01-01")

    assert world.steps.taken == ["table.read", "table.save", "topic.publish", "queue.dead"]


def test_request_that_needs_no_call_takes_no_token(world: World) -> None:
    world.ask("u1", "r1")
    before = len(world.steps.taken)
    world.ask("u1", "r1")
    world.ask("u1", "r2")
    world.ask("u1", "r3", on_active_window="defer")
    world.ask("u2", "r4", not_after="2020-01-01")

    assert "table.limiter" not in world.steps.taken[before:]


def test_requests_of_one_user_in_one_batch_take_one_token(world: World) -> None:
    other_has_read = threading.Event()
    world.steps.during("table.read", lambda: None)
    world.steps.during("table.read", other_has_read.set)
    # Time enough for the other request, if it does not wait.
    world.steps.during("table.limiter", lambda: other_has_read.wait(0.3))
    outcomes = world.deliver_together(world.message("u1", "r1"), world.message("u1", "r2"))

    assert sorted(map(in_short, outcomes)) == ["sent: invited", "skipped: window_active"]
    assert world.steps.taken.count("table.limiter") == 1


def test_message_delivered_again_two_weeks_later_publishes_the_same_result(world: World) -> None:
    world.ask()
    world.clock.advance(14 * 86_400)
    world.deliver(world.message(), receive_count=2)

    first, second = world.published
    assert first == second
    assert len(world.api.calls) == 1


def test_duplicate_during_the_call_looks_again_after_the_call_budget(world: World) -> None:
    world.steps.during("api.invite", lambda: world.deliver(world.message(), receive_count=2))
    world.ask()

    assert world.deferred[0].state.cause == Cause.IN_PROGRESS
    assert world.deferred[0].state.wait_until == START + CALL_BUDGET_SECONDS
    world.deliver_all_copies()
    assert [in_short(result) for result in world.published] == ["sent: invited"] * 2
    assert len(world.api.calls) == 1


def test_stalled_duplicate_finds_the_result_that_was_stored_after_it_had_read(world: World) -> None:
    # An end without a call leaves the user's item as it was.
    late = world.message(not_after="2027-01-15T07:59:59Z")
    world.steps.during("table.claim", lambda: world.deliver(late))

    assert in_short(world.ask()) == "failed: deadline_passed"
    assert (world.api.calls, world.user().claim_id) == ([], None)
    assert world.user().active_window(world.clock()) is None


def test_stalled_duplicate_cannot_claim_after_another_execution_called(world: World) -> None:
    world.api.script("u1", answers(403))
    world.steps.during("table.claim", lambda: world.deliver(world.message()))

    assert in_short(world.ask()) == "deferred: contended"
    world.deliver_all_copies()
    assert {in_short(result) for result in world.published} == {"rejected: forbidden"}
    assert len(world.api.calls) == 1


def test_finder_of_a_stored_result_ends_the_claim_of_a_dead_execution_once(world: World) -> None:
    world.steps.fail("table.end_claim", error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.ask()
    assert world.user().sent_count == 0

    assert in_short(world.deliver(world.message())) == "sent: invited"
    assert in_short(world.deliver(world.message())) == "sent: invited"
    user = world.user()
    assert (user.sent_count, user.maybe_sent_count, user.claim_id) == (1, 0, None)
    assert user.window_ends_at == START + 0.5 + 300


def test_expired_token_ends_the_claim_and_is_not_used(world: World) -> None:
    world.steps.during("table.read_ending", lambda: world.clock.advance(0.6))

    assert in_short(world.ask()) == "deferred: token_expired"
    assert (world.api.calls, world.user().claim_id) == ([], None)
    assert world.user().active_window(world.clock()) is None
    assert in_short(world.deliver_copy()) == "sent: invited"
    assert world.published[0].attempts == 1


def test_expired_token_costs_a_second_once_and_longer_waits_when_it_happens_again(
    world: World,
) -> None:
    for _ in range(3):
        world.steps.during("table.read_ending", lambda: world.clock.advance(0.6))
    world.ask()
    waits = [world.deferred[0].due_at - world.clock()]
    for _ in range(2):
        world.deliver_copy()
        waits.append(world.deferred[0].due_at - world.clock())

    assert waits[0] <= 2
    assert 2 <= waits[1] <= 6
    assert 5 <= waits[2] <= 11


def test_expired_token_keeps_the_attempt_of_a_dead_execution(world: World) -> None:
    world.steps.fail("api.invite", after_effect=True, error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.ask()
    world.clock.now = (world.user().window_ends_at or 0) + 3
    world.steps.during("table.read_ending", lambda: world.clock.advance(0.6))

    assert in_short(world.deliver(world.message())) == "deferred: token_expired"
    assert world.deferred[0].state.attempts == 1


def test_call_does_not_begin_with_too_little_time_left_for_its_record(world: World) -> None:
    seconds = CALL_BUDGET_SECONDS + 6
    world.steps.during("table.read_limiter", lambda: world.clock.advance(9))

    assert in_short(world.deliver(world.message(), seconds=seconds)) == "deferred: token_expired"
    assert (world.api.calls, world.user().claim_id) == ([], None)


def test_request_without_a_token_returns_at_its_appointment() -> None:
    world = World(Settings(requests_per_minute=1))
    world.ask("u1", "r1")

    assert in_short(world.ask("u2", "r2")) == "deferred: quota"
    assert world.deferred[0].state.has_appointment
    assert in_short(world.deliver_copy()) == "sent: invited"
    (first,), (second,) = world.calls_for("u1"), world.calls_for("u2")
    assert 60 < second - first < 65
