"""One e-mail and one result for each request, whatever is delivered again and wherever it dies."""

from dataclasses import replace

import pytest

from invitations.outcomes import Cause, judge
from tests.fakes import (
    CALL_BUDGET_SECONDS,
    EXECUTION_SECONDS,
    START,
    ExecutionDiedError,
    Settings,
    World,
    answers,
    in_short,
    not_sent,
)

WINDOW = 300.0
LONGER = 60.0
SKEW = 2.0

STEPS_TO_EMAIL = [
    "table.read",
    "secret.read",
    "table.read_limiter",
    "table.limiter",
    "table.claim",
    "table.read_ending",
    "api.invite",
    "table.save",
    "table.end_claim",
    "topic.publish",
]
STEPS_TO_DEFERRAL = [
    "table.claim",
    "api.invite",
    "table.end_claim",
    "table.read_limiter",
    "table.limiter",
    "queue.retry",
]
STEPS_TO_FAILURE = ["table.read", "table.save", "topic.publish", "queue.dead"]


@pytest.fixture
def world() -> World:
    return World()


def die_at(world: World, step: str, *, after_effect: bool = False) -> None:
    world.steps.fail(step, after_effect=after_effect, error=ExecutionDiedError())


def test_steps_are_taken_in_the_documented_order(world: World) -> None:
    world.ask()

    assert world.steps.taken == STEPS_TO_EMAIL


@pytest.mark.parametrize("days", [0, 14])
def test_message_delivered_again_publishes_the_same_result_without_call(
    world: World, days: int
) -> None:
    world.ask()
    world.clock.advance(days * 86_400)
    world.deliver(world.message(), receive_count=2)

    first, second = world.published
    assert first == second
    assert len(world.api.calls) == 1


def test_same_request_in_another_message_makes_no_call(world: World) -> None:
    world.ask()
    world.deliver(replace(world.message(), message_id="another"))

    assert len(world.api.calls) == 1


def test_copy_and_original_make_one_successful_call(world: World) -> None:
    world.api.script("u1", not_sent())
    world.ask()
    world.deliver(world.message(), receive_count=2)
    world.deliver_all_copies()

    assert len(world.api.calls) == 2
    assert [in_short(result) for result in world.published] == ["sent: invited"] * 2


def test_duplicate_during_call_looks_again_after_call_budget(world: World) -> None:
    world.steps.during("api.invite", lambda: world.deliver(world.message(), receive_count=2))
    world.ask()

    assert world.deferred[0].state.cause == Cause.IN_PROGRESS
    assert world.deferred[0].state.wait_until == START + CALL_BUDGET_SECONDS
    world.deliver_all_copies()
    assert [in_short(result) for result in world.published] == ["sent: invited"] * 2
    assert len(world.api.calls) == 1


def test_stalled_duplicate_finds_result_that_was_stored_after_it_had_read(world: World) -> None:
    def end_request() -> None:
        # An end without a call leaves the user's item as it was.
        late = world.message(not_after="2027-01-15T07:59:59Z")
        assert in_short(world.deliver(late)) == "failed: deadline_passed"

    world.steps.during("table.claim", end_request)

    assert in_short(world.ask()) == "failed: deadline_passed"
    assert (world.api.calls, world.user().claim) == ([], None)
    assert world.user().active_window(world.clock()) is None


def test_stalled_duplicate_cannot_claim_after_another_execution_called(world: World) -> None:
    def end_request() -> None:
        world.api.script("u1", answers(403))
        assert in_short(world.deliver(world.message())) == "rejected: forbidden"

    world.steps.during("table.claim", end_request)

    assert in_short(world.ask()) == "deferred: contended"
    world.deliver_all_copies()
    assert {in_short(result) for result in world.published} == {"rejected: forbidden"}
    assert len(world.api.calls) == 1


def test_result_is_saved_before_it_is_published(world: World) -> None:
    die_at(world, "topic.publish")
    with pytest.raises(ExecutionDiedError):
        world.ask()

    ending = world.ending()
    assert ending is not None
    assert in_short(ending.result) == "sent: invited"


def test_result_is_saved_before_limiter_is_told(world: World) -> None:
    world.api.script("u1", not_sent())
    world.ask("u1", "r1")
    before = len(world.steps.taken)
    world.ask("u2", "r2")

    taken = world.steps.taken[before:]
    told_at = len(taken) - 1 - taken[::-1].index("table.limiter")
    assert taken.index("table.limiter") < taken.index("api.invite") < taken.index("table.save")
    assert taken.index("table.end_claim") < told_at < taken.index("topic.publish")


def test_claim_is_ended_after_the_result_is_saved(world: World) -> None:
    die_at(world, "table.save")
    with pytest.raises(ExecutionDiedError):
        world.ask()

    assert world.user().claim is not None


def test_last_unknown_outcome_is_saved_before_limiter_is_told() -> None:
    world = World(Settings(max_attempts=1))
    world.api.script("u1", answers(500))
    world.ask()

    taken = world.steps.taken
    assert taken.index("table.save") < len(taken) - 1 - taken[::-1].index("table.limiter")


def test_death_between_save_and_end_of_claim_loses_no_count(world: World) -> None:
    die_at(world, "table.end_claim")
    with pytest.raises(ExecutionDiedError):
        world.ask("u1", "r1")
    assert world.user().sent_count == 0

    assert in_short(world.deliver(world.message(), receive_count=2)) == "sent: invited"
    user = world.user()
    assert (user.sent_count, user.maybe_sent_count, user.claim) == (1, 0, None)
    assert user.window_ends_at == START + 0.5 + WINDOW


def test_second_finder_of_stored_result_counts_nothing(world: World) -> None:
    die_at(world, "table.end_claim")
    with pytest.raises(ExecutionDiedError):
        world.ask("u1", "r1")
    for _ in range(2):
        world.deliver(world.message(), receive_count=2)

    assert world.user().sent_count == 1


def test_death_between_save_and_end_of_claim_keeps_count_of_next_request(world: World) -> None:
    die_at(world, "table.end_claim")
    with pytest.raises(ExecutionDiedError):
        world.ask("u1", "r1")
    world.clock.advance(EXECUTION_SECONDS + WINDOW + LONGER + SKEW)
    world.ask("u1", "r2")
    world.deliver(world.message(), receive_count=2)

    user = world.user()
    assert (user.sent_count, user.maybe_sent_count) == (1, 1)


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS_TO_EMAIL)
def test_death_at_any_step_to_email_loses_nothing(
    world: World, step: str, after_effect: bool
) -> None:
    die_at(world, step, after_effect=after_effect)
    with pytest.raises(ExecutionDiedError):
        world.ask()
    world.deliver(world.message(), receive_count=2)
    world.deliver_all_copies()

    assert in_short(world.published[-1]) == "sent: invited"
    assert len(set(world.published)) == 1
    user = world.user()
    assert user.sent_count + user.maybe_sent_count >= len(world.api.calls)
    assert user.sent_count == 1


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS_TO_DEFERRAL)
def test_death_at_any_step_to_deferral_loses_nothing(
    world: World, step: str, after_effect: bool
) -> None:
    world.api.script("u1", not_sent())
    die_at(world, step, after_effect=after_effect)
    with pytest.raises(ExecutionDiedError):
        world.ask()
    world.deliver(world.message(), receive_count=2)
    world.deliver_all_copies()

    assert in_short(world.published[-1]) == "sent: invited"
    assert len(set(world.published)) == 1


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS_TO_FAILURE)
def test_death_at_any_step_to_failure_loses_nothing(
    world: World, step: str, after_effect: bool
) -> None:
    late = world.message(not_after="2020-01-01")
    die_at(world, step, after_effect=after_effect)
    with pytest.raises(ExecutionDiedError):
        world.deliver(late)
    world.clock.advance(360)
    world.deliver(late, receive_count=2)

    assert in_short(world.published[-1]) == "failed: deadline_passed"
    assert len(set(world.published)) == 1
    assert world.dead[-1].body == late.body


def test_copy_is_on_queue_before_message_is_acknowledged(world: World) -> None:
    die_at(world, "queue.retry", after_effect=True)
    world.api.script("u1", not_sent())
    with pytest.raises(ExecutionDiedError):
        world.ask()

    assert len(world.deferred) == 1


def test_requests_of_one_user_in_one_batch_take_one_token(world: World) -> None:
    messages = [world.message("u1", f"r{number}") for number in range(10)]
    outcomes = world.deliver_together(*messages)

    assert sorted(map(in_short, outcomes)) == ["sent: invited"] + ["skipped: window_active"] * 9
    assert world.steps.taken.count("table.limiter") == 1
    assert len(world.api.calls) == 1


def test_requests_of_many_users_in_one_batch_are_carried_out(world: World) -> None:
    messages = [world.message(f"u{number}", f"r{number}") for number in range(10)]
    outcomes = world.deliver_together(*messages)

    assert list(map(in_short, outcomes)) == ["sent: invited"] * 10


def test_waiting_token_is_waited_for() -> None:
    world = World(Settings(requests_per_minute=60))
    world.api.seconds = 0
    for number in range(4):
        world.ask(f"u{number}", f"r{number}")

    calls = [call.called_at for call in world.api.calls]
    assert calls[-1] - calls[0] > 1


def test_expired_token_is_not_used(world: World) -> None:
    world.steps.during("table.read_ending", lambda: world.clock.advance(0.6))

    assert in_short(world.ask()) == "deferred: token_expired"
    assert (world.api.calls, world.user().claim) == ([], None)
    assert world.user().active_window(world.clock()) is None
    assert in_short(world.deliver_copy()) == "sent: invited"
    assert world.published[0].attempts == 1


def test_token_that_is_slightly_late_is_used(world: World) -> None:
    world.steps.during("table.read_ending", lambda: world.clock.advance(0.4))

    assert in_short(world.ask()) == "sent: invited"


def test_pause_that_begins_while_token_is_waited_for_is_kept() -> None:
    world = World(Settings(requests_per_minute=60))
    world.api.seconds = 0
    for number in range(3):
        world.ask(f"u{number}", f"r{number}")

    def throttled_elsewhere() -> None:
        world.reinviter.limiter.report(judge(answers(429, "100")(world.clock())))

    world.steps.during("table.read_ending", throttled_elsewhere)
    calls = len(world.api.calls)

    assert in_short(world.ask("u9", "r9")) == "deferred: token_expired"
    assert (len(world.api.calls), world.user("u9").claim) == (calls, None)
    world.deliver_all_copies()
    assert world.calls_for("u9")[0] > START + 100


def test_waiting_request_returns_at_its_appointment() -> None:
    world = World(Settings(requests_per_minute=1))
    world.ask("u1", "r1")

    assert in_short(world.ask("u2", "r2")) == "deferred: quota"
    (copy,) = world.deferred
    assert copy.state.has_appointment
    assert in_short(world.deliver_copy()) == "sent: invited"
    (first,), (second,) = world.calls_for("u1"), world.calls_for("u2")
    assert 60 < second - first < 65
