"""What happens while the table, the topic, a queue or the secret is down: nothing is lost."""

import pytest

from invitations.errors import QueueUnavailableError, TopicUnavailableError
from tests.fakes import (
    EXECUTION_SECONDS,
    START,
    ExecutionDiedError,
    Settings,
    World,
    answers,
    in_short,
    no_answer,
    not_sent,
)

WINDOW = 300.0
LONGER = 60.0
SKEW = 2.0

LATE = {"not_after": "2020-01-01"}
"""Makes a request that fails at once."""


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    "step", ["table.read", "table.limiter", "table.claim", "table.read_ending"]
)
def test_table_down_before_call_defers_without_call(world: World, step: str) -> None:
    world.steps.fail(step)

    assert in_short(world.ask()) == "deferred: ledger_unavailable"
    assert (world.api.calls, world.user().claim) == ([], None)
    assert in_short(world.deliver_copy()) == "sent: invited"


def test_lost_reply_to_claim_makes_request_wait_for_its_own_claim(world: World) -> None:
    world.steps.fail("table.claim", after_effect=True)
    world.ask()

    assert in_short(world.deliver_copy()) == "deferred: in_progress"
    world.deliver_all_copies()
    assert in_short(world.published[-1]) == "sent: invited"


def test_table_down_while_end_is_read_keeps_attempt_of_dead_execution() -> None:
    world = World(Settings(max_attempts=2))
    world.steps.fail("api.invite", error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.ask()
    world.clock.advance(EXECUTION_SECONDS + WINDOW + LONGER + SKEW)
    world.steps.fail("table.read_ending")
    world.deliver(world.message())
    world.api.script("u1", answers(500))
    world.deliver_all_copies()

    (result,) = world.published
    assert (in_short(result), result.attempts) == ("failed: attempts_exhausted", 2)


def test_unsaved_result_travels_with_message(world: World) -> None:
    world.steps.fail("table.save")

    assert in_short(world.ask()) == "deferred: ledger_unavailable"
    unsaved = world.deferred[0].state.unsaved
    assert unsaved is not None
    assert in_short(unsaved.result) == "sent: invited"
    assert world.published == []


def test_unsaved_result_returns_within_20_seconds(world: World) -> None:
    world.steps.fail("table.save", times=20)
    world.ask()
    for _ in range(19):
        assert 0 < world.deferred[0].due_at - world.clock() <= 20
        world.deliver_copy()


@pytest.mark.parametrize("after_effect", [False, True], ids=["absent", "unknown"])
def test_unsaved_result_causes_no_second_call(world: World, after_effect: bool) -> None:
    world.steps.fail("table.save", times=3, after_effect=after_effect)
    world.ask()
    world.deliver_all_copies()

    assert len(world.api.calls) == 1
    assert [in_short(result) for result in world.published] == ["sent: invited"]
    assert world.user().sent_count == 1


def test_unsaved_result_is_saved_before_anything_else(world: World) -> None:
    world.steps.fail("table.save")
    world.ask()
    before = len(world.steps.taken)
    world.deliver_copy()

    assert world.steps.taken[before:] == [
        "table.save",
        "table.read_user",
        "table.end_claim",
        "topic.publish",
    ]


def test_unsaved_result_is_published_unchanged(world: World) -> None:
    undisturbed = World().ask()
    world.steps.fail("table.save", times=3)
    world.ask()
    world.deliver_all_copies()

    assert world.published == [undisturbed]


def test_unsaved_result_holds_window_meanwhile(world: World) -> None:
    world.steps.fail("table.save")
    world.ask("u1", "r1")

    assert in_short(world.ask("u1", "r2")) == "skipped: window_active"


def test_unsaved_result_is_saved_after_days(world: World) -> None:
    world.steps.fail("table.save")
    world.ask()
    world.clock.advance(3 * 86_400)
    world.deliver_all_copies()

    assert len(world.api.calls) == 1
    assert world.user().sent_count == 1


def test_unsaved_rejection_keeps_its_reason(world: World) -> None:
    world.api.script("u1", answers(404))
    world.steps.fail("table.save")
    world.ask()

    assert in_short(world.deliver_copy()) == "rejected: user_not_found"


def test_unsaved_result_outlives_not_after(world: World) -> None:
    world.steps.fail("table.save")
    world.ask(not_after="2027-01-15T08:00:00Z")

    assert in_short(world.deliver_copy()) == "sent: invited"


def test_unsaved_result_needs_no_key_and_little_time(world: World) -> None:
    world.steps.fail("table.save")
    world.ask()
    world.steps.fail("secret.read")
    (copy,) = world.deferred

    assert in_short(world.deliver(copy, seconds=5)) == "sent: invited"


def test_unsaved_sent_replaces_failure_that_was_stored_meanwhile(world: World) -> None:
    world.steps.fail("table.save")
    message = world.message(not_after="2027-01-15T08:03:00Z")
    world.deliver(message)
    world.clock.advance(EXECUTION_SECONDS + WINDOW + LONGER + SKEW)
    assert in_short(world.deliver(message, receive_count=2)) == "failed: deadline_passed"
    world.deliver_copy()

    ending = world.ending()
    assert ending is not None
    assert in_short(ending.result) == "sent: invited"
    user = world.user()
    assert user.sent_count + user.maybe_sent_count == 1


def test_unsaved_rejection_gives_way_to_stored_sent(world: World) -> None:
    world.api.script("u1", answers(404))
    world.steps.fail("table.save")
    world.ask()
    world.clock.advance(EXECUTION_SECONDS + WINDOW + LONGER + SKEW)
    assert in_short(world.deliver(world.message(), receive_count=2)) == "sent: invited"
    world.deliver_copy()

    first, second = world.published
    assert first == second


def test_table_down_at_end_of_claim_defers_all_the_same(world: World) -> None:
    world.api.script("u1", not_sent())
    world.steps.fail("table.end_claim")

    assert in_short(world.ask()) == "deferred: connection_failed"


def test_claim_that_was_not_ended_holds_window_until_its_own_end(world: World) -> None:
    world.api.script("u1", no_answer())
    world.steps.fail("table.end_claim")
    world.ask()
    world.deliver_all_copies()

    first, second = world.calls_for("u1")
    assert second - first >= EXECUTION_SECONDS + WINDOW + LONGER
    assert in_short(world.published[0]) == "sent: invited"


def test_table_down_at_end_without_call_defers(world: World) -> None:
    world.steps.fail("table.save")

    assert in_short(world.ask(**LATE)) == "deferred: ledger_unavailable"
    assert world.deferred[0].state.unsaved is None
    assert in_short(world.deliver_copy()) == "failed: deadline_passed"


def test_table_down_at_skip_defers(world: World) -> None:
    world.ask("u1", "r1")
    world.steps.fail("table.save")

    assert in_short(world.ask("u1", "r2")) == "deferred: ledger_unavailable"
    assert in_short(world.deliver_copy()) == "skipped: window_active"


def test_limiter_that_cannot_be_told_delays_nothing(world: World) -> None:
    world.api.script("u1", not_sent())
    world.ask("u1", "r1")
    world.steps.during("table.save", lambda: world.steps.fail("table.limiter"))

    assert in_short(world.ask("u2", "r2")) == "sent: invited"


def test_repeated_failures_defer_for_longer_each_time(world: World) -> None:
    world.steps.fail("table.read", times=20)
    world.ask()
    waits = []
    for _ in range(15):
        waits.append(world.deferred[0].state.wait_until - world.clock())
        world.deliver_copy()

    assert 2.5 <= waits[0] <= 5 <= waits[2] <= 20
    assert max(waits) <= 900
    assert min(waits[9:]) >= 450


def test_unreadable_secret_defers_without_call(world: World) -> None:
    world.steps.fail("secret.read")

    assert in_short(world.ask("u1", "r1")) == "deferred: key_unavailable"
    assert (world.api.calls, world.user().claim) == ([], None)
    assert in_short(world.ask("u1", "r2")) == "sent: invited"


def test_unreadable_secret_delays_result_only(world: World) -> None:
    world.steps.fail("secret.read", times=20)
    world.ask()
    world.deliver_all_copies()

    (result,) = world.published
    assert (in_short(result), result.attempts) == ("sent: invited", 1)


def test_topic_down_defers_publication(world: World) -> None:
    world.steps.fail("topic.publish", times=3)

    assert in_short(world.ask()) == "deferred: topic_unavailable"
    world.deliver_all_copies()
    assert len(world.api.calls) == 1
    assert world.published == [World().ask()]


def test_topic_down_keeps_failed_message_from_dead_letter_queue(world: World) -> None:
    world.steps.fail("topic.publish")
    world.ask(**LATE)
    assert world.dead == []

    world.deliver_copy()
    assert len(world.dead) == 1


def test_topic_down_returns_invalid_message_to_its_queue(world: World) -> None:
    world.steps.fail("topic.publish")

    with pytest.raises(TopicUnavailableError):
        world.deliver(world.raw("no JSON"))
    assert world.sqs.messages == []


def test_retry_queue_down_returns_message_to_its_queue(world: World) -> None:
    world.api.script("u1", not_sent())
    world.steps.fail("queue.retry")

    with pytest.raises(QueueUnavailableError):
        world.ask()
    assert in_short(world.deliver(world.message(), receive_count=2)) == "sent: invited"


def test_retry_queue_down_after_unknown_outcome_still_waits_for_window(world: World) -> None:
    world.api.script("u1", no_answer())
    world.steps.fail("queue.retry")
    with pytest.raises(QueueUnavailableError):
        world.ask()
    world.deliver(world.message(), receive_count=2)
    world.deliver_all_copies()

    first, second = world.calls_for("u1")
    assert second - first > WINDOW + LONGER
    assert [in_short(result) for result in world.published] == ["sent: invited"]


def test_lost_reply_of_retry_queue_makes_one_copy_too_many(world: World) -> None:
    world.api.script("u1", not_sent())
    world.steps.fail("queue.retry", after_effect=True)
    with pytest.raises(QueueUnavailableError):
        world.ask()
    world.deliver(world.message(), receive_count=2)
    world.deliver_all_copies()

    assert len(world.api.calls) == 2
    assert len(set(world.published)) == 1


def test_dead_letter_queue_down_defers_and_changes_no_result(world: World) -> None:
    world.steps.fail("queue.dead")

    assert in_short(world.ask(**LATE)) == "deferred: queue_unavailable"
    assert in_short(world.deliver_copy()) == "failed: deadline_passed"
    first, second = world.published
    assert (first, len(world.dead)) == (second, 1)


def test_dead_letter_queue_down_returns_invalid_message_to_its_queue(world: World) -> None:
    world.steps.fail("queue.dead")

    with pytest.raises(QueueUnavailableError):
        world.deliver(world.raw("no JSON"))


def test_table_and_queue_down_lose_neither_window_nor_message(world: World) -> None:
    world.steps.fail("table.save")
    world.steps.fail("queue.retry")
    with pytest.raises(QueueUnavailableError):
        world.ask()

    assert in_short(world.deliver(world.message(), receive_count=2)) == "deferred: in_progress"
    assert world.user().window_ends_at >= START + EXECUTION_SECONDS + WINDOW
