"""What happens while the table, the topic, a queue or the secret is down: nothing is lost."""

import pytest

from invitations.errors import QueueUnavailableError, TopicUnavailableError
from tests.fakes import EXECUTION_SECONDS, START, ExecutionDiedError, Settings
from tests.reinvite_world import World, answers, in_short, no_answer, not_sent

CLAIMED_UNTIL = START + EXECUTION_SECONDS + 360

LATE = {"not_after": "2020-01-01"}
"""Makes a request that fails at once."""


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("step", "cause"),
    [
        ("table.read", "ledger_unavailable"),
        ("secret.read", "key_unavailable"),
        ("table.limiter", "ledger_unavailable"),
        ("table.claim", "ledger_unavailable"),
        ("table.read_ending", "ledger_unavailable"),
    ],
)
def test_outage_before_the_call_defers_without_call_and_claim(
    world: World, step: str, cause: str
) -> None:
    world.steps.fail(step)

    assert in_short(world.ask()) == f"deferred: {cause}"
    assert (world.api.calls, world.user().claim_id) == ([], None)
    assert in_short(world.deliver_copy()) == "sent: invited"
    assert world.published[0].attempts == 1


def test_outage_after_the_claim_keeps_the_attempt_of_a_dead_execution() -> None:
    world = World(Settings(max_attempts=2))
    world.steps.fail("api.invite", error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.ask()
    world.clock.now = CLAIMED_UNTIL + 2
    world.steps.fail("table.read_ending")
    world.deliver(world.message())
    world.api.script("u1", answers(500))
    world.deliver_all_copies()

    (result,) = world.published
    assert (in_short(result), result.attempts) == ("failed: attempts_exhausted", 2)


def test_result_that_the_table_did_not_take_travels_with_the_message(world: World) -> None:
    undisturbed = World().ask()
    world.steps.fail("table.save")

    assert in_short(world.ask()) == "deferred: ledger_unavailable"
    assert world.published == []
    assert world.user().window_ends_at == CLAIMED_UNTIL
    before = len(world.steps.taken)
    world.deliver_copy()
    # It is saved before anything else.
    assert world.steps.taken[before:] == [
        "table.save",
        "table.read_user",
        "table.end_claim",
        "topic.publish",
    ]
    assert world.published == [undisturbed]
    assert world.user().sent_count == 1


def test_unsaved_result_returns_within_20_seconds_each_time(world: World) -> None:
    world.steps.fail("table.save", times=20)
    world.ask()
    waits = []
    for _ in range(19):
        waits.append(world.deferred[0].due_at - world.clock())
        world.deliver_copy()

    assert 0 < min(waits) <= max(waits) <= 20


def test_unsaved_result_outlives_not_after(world: World) -> None:
    world.steps.fail("table.save")
    world.ask(not_after="2027-01-15T08:00:01Z")

    assert in_short(world.deliver_copy()) == "sent: invited"


def test_claim_that_could_not_be_ended_holds_the_window_until_its_own_end(world: World) -> None:
    world.api.script("u1", not_sent())
    world.steps.fail("table.end_claim")

    assert in_short(world.ask()) == "deferred: connection_failed"
    assert world.user().window_ends_at == CLAIMED_UNTIL


@pytest.mark.parametrize("fields", [LATE, {}], ids=["failed", "skipped"])
def test_result_without_a_call_that_the_table_did_not_take_is_found_anew(
    world: World, fields: dict[str, str]
) -> None:
    world.ask("u1", "r1")
    world.steps.fail("table.save")

    assert in_short(world.ask("u1", "r2", **fields)) == "deferred: ledger_unavailable"
    assert world.deferred[0].state.unsaved is None


def test_limiter_that_cannot_be_told_delays_nothing(world: World) -> None:
    world.api.script("u1", not_sent())
    world.ask("u1", "r1")
    world.steps.during("table.save", lambda: world.steps.fail("table.limiter"))

    assert in_short(world.ask("u2", "r2")) == "sent: invited"


def test_repeated_failures_defer_for_longer_each_time_up_to_15_minutes(world: World) -> None:
    world.steps.fail("table.read", times=20)
    world.ask()
    waits = []
    for _ in range(15):
        waits.append(world.deferred[0].state.wait_until - world.clock())
        world.deliver_copy()

    assert 2.5 <= waits[0] <= 5 <= waits[2] <= 20
    assert 450 <= min(waits[9:]) <= max(waits) <= 900


def test_topic_down_defers_the_publication_alone(world: World) -> None:
    world.steps.fail("topic.publish", times=3)

    assert in_short(world.ask()) == "deferred: topic_unavailable"
    world.deliver_all_copies()
    assert len(world.api.calls) == 1
    assert world.published == [World().ask()]


def test_failed_message_is_kept_after_its_result_is_published(world: World) -> None:
    world.steps.fail("topic.publish")
    assert in_short(world.ask(**LATE)) == "deferred: topic_unavailable"
    assert world.dead == []

    world.steps.fail("queue.dead")
    assert in_short(world.deliver_copy()) == "deferred: queue_unavailable"
    assert in_short(world.deliver_copy()) == "failed: deadline_passed"
    first, second = world.published
    assert (first, len(world.dead)) == (second, 1)


@pytest.mark.parametrize(
    ("step", "error"),
    [("topic.publish", TopicUnavailableError), ("queue.dead", QueueUnavailableError)],
)
def test_invalid_message_whose_result_is_not_taken_returns_to_its_queue(
    world: World, step: str, error: type[Exception]
) -> None:
    world.steps.fail(step)

    with pytest.raises(error):
        world.deliver(world.raw("no JSON"))
    assert world.sqs.messages == []


def test_message_that_the_retry_queue_does_not_take_returns_and_keeps_the_window(
    world: World,
) -> None:
    world.api.script("u1", no_answer())
    world.steps.fail("queue.retry")
    with pytest.raises(QueueUnavailableError):
        world.ask()

    assert in_short(world.deliver(world.message(), receive_count=2)) == "deferred: window_active"
