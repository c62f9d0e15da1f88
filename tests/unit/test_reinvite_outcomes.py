"""What each outcome of a call means for the window, the counts and the request."""

import pytest

from invitations.limiter_state import WAIT_SECONDS
from invitations.results import Result
from tests.fakes import CALL_BUDGET_SECONDS, EXECUTION_SECONDS, START, ExecutionDiedError, Settings
from tests.reinvite_world import Script, World, answers, in_short, no_answer, not_sent

WINDOW = 300.0
LONGER = 60.0
SKEW = 2.0
ANSWERED_AT = START + 0.5


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("outcome", "in_words"),
    [
        pytest.param(answers(404), "rejected: user_not_found", id="404"),
        pytest.param(answers(302), "deferred: redirected", id="302"),
        pytest.param(answers(401), "deferred: unauthorized", id="401"),
        pytest.param(answers(408), "deferred: try_later", id="408"),
        pytest.param(answers(429), "deferred: throttled", id="429"),
        pytest.param(not_sent(), "deferred: connection_failed", id="not sent"),
    ],
)
def test_call_without_email_frees_the_window_and_counts_no_invitation(
    world: World, outcome: Script, in_words: str
) -> None:
    world.api.script("u1", outcome)

    assert in_short(world.ask()) == in_words
    user = world.user()
    assert user.active_window(world.clock()) is None
    assert (user.sent_count, user.maybe_sent_count, user.invited_at) == (0, 0, ())


@pytest.mark.parametrize("outcome", [answers(500), no_answer()], ids=["500", "no answer"])
def test_unknown_outcome_holds_the_window_a_minute_longer_and_defers_to_its_end(
    world: World, outcome: Script
) -> None:
    world.api.script("u1", outcome)
    world.ask()

    user = world.user()
    assert (user.window_ends_at, user.claim_id) == (ANSWERED_AT + WINDOW + LONGER, None)
    assert (user.sent_count, user.maybe_sent_count, user.invited_at) == (0, 1, (ANSWERED_AT,))
    assert world.deferred[0].state.wait_until == ANSWERED_AT + WINDOW + LONGER + SKEW
    assert in_short(world.deliver_copy()) == "sent: invited"


def test_success_holds_the_window_from_the_answer_and_is_counted(world: World) -> None:
    world.ask("u1", "r1")
    world.clock.now = ANSWERED_AT + WINDOW + SKEW - 0.001
    assert in_short(world.ask("u1", "r2")) == "skipped: window_active"
    world.clock.now = ANSWERED_AT + WINDOW + SKEW
    world.ask("u1", "r3")

    first, _, second = world.published
    assert (first.occurred_at, first.window_ends_at) == (
        "2027-01-15T08:00:00.500Z",
        "2027-01-15T08:05:00.500Z",
    )
    assert (first.http_status, first.attempts) == (200, 1)
    assert (first.sent_count, second.sent_count) == (1, 2)
    assert world.sqs.messages == []


def test_refusal_is_published_without_window_and_count(world: World) -> None:
    world.api.script("u1", answers(415))
    result = world.ask()

    assert isinstance(result, Result)
    assert (result.http_status, result.attempts) == (415, 1)
    assert (result.window_ends_at, result.sent_count) == (None, None)
    assert world.sqs.messages == []


def test_throttled_request_is_deferred_for_retry_after_and_others_wait_too(world: World) -> None:
    world.api.script("u1", answers(429, "3600"))
    world.ask("u1", "r1")

    assert world.deferred[0].state.wait_until == ANSWERED_AT + 3600
    assert in_short(world.ask("u2", "r2")) == "deferred: throttled"


def test_replaced_key_is_read_afresh_and_tried_again_at_once(world: World) -> None:
    world.reinviter.calls.keys.current()
    world.secrets.secret = "key-2"
    world.api.script("u1", answers(401))

    assert in_short(world.ask("u1", "r1")) == "deferred: key_replaced"
    assert world.deferred[0].due_at == world.clock()
    assert in_short(world.ask("u2", "r2")) == "sent: invited"
    world.deliver_copy()
    assert [call.api_key for call in world.api.calls] == ["key-1", "key-2", "key-2"]
    assert world.published[1].attempts == 2


@pytest.mark.parametrize("readable", [True, False])
def test_refused_key_without_a_replacement_stops_the_others(world: World, readable: bool) -> None:
    world.reinviter.calls.keys.current()
    world.steps.fail("secret.read", times=int(not readable))
    world.api.script("u1", answers(401))

    assert in_short(world.ask("u1", "r1")) == "deferred: unauthorized"
    assert in_short(world.ask("u2", "r2")) == "deferred: key_refused"


def die_during_the_call(world: World) -> None:
    world.steps.fail("api.invite", after_effect=True, error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.ask("u1", "r1")


def test_death_during_the_call_holds_the_window_from_the_last_moment_of_a_call(
    world: World,
) -> None:
    die_during_the_call(world)

    over_at = START + EXECUTION_SECONDS + WINDOW + LONGER + SKEW
    world.clock.now = over_at - 0.001
    assert in_short(world.ask("u1", "r2")) == "skipped: window_active"
    world.clock.now = over_at
    assert in_short(world.ask("u1", "r3")) == "sent: invited"
    assert (world.user().sent_count, world.user().maybe_sent_count) == (1, 1)


def test_request_of_a_dead_execution_calls_again_after_the_window(world: World) -> None:
    die_during_the_call(world)
    world.deliver(world.message(), receive_count=2)
    world.deliver_all_copies()

    first, second = world.calls_for("u1")
    assert second - first > WINDOW
    (result,) = world.published
    assert (in_short(result), result.attempts) == ("sent: invited", 2)


def test_death_during_the_call_counts_as_an_attempt() -> None:
    world = World(Settings(max_attempts=1))
    die_during_the_call(world)
    world.deliver(world.message(), receive_count=2)
    world.deliver_all_copies()

    (result,) = world.published
    assert (in_short(result), result.attempts) == ("failed: attempts_exhausted", 1)


def test_too_little_time_for_a_call_defers_without_one(world: World) -> None:
    enough = CALL_BUDGET_SECONDS + WAIT_SECONDS

    late = world.deliver(world.message(), seconds=enough - 0.1)
    assert in_short(late) == "deferred: time_budget_exhausted"
    assert (world.api.calls, world.user().window_ends_at) == ([], None)
    (copy,) = world.deferred
    assert in_short(world.deliver(copy, seconds=enough)) == "sent: invited"
    assert world.published[0].attempts == 1
