"""The order of the steps, and what each outcome of a call, an outage or a death leads to.

The simulation kills executions at every step; here each way out has one test.
"""

import threading

import pytest

from invitations.errors import QueueUnavailableError
from invitations.ledger import UserRecord
from invitations.limiter_state import MAX_TOKEN_WAIT_SECONDS
from invitations.messages import RetryState, StoredResult
from invitations.outcomes import Cause
from invitations.results import Reason, Result, request_result
from tests.fakes import CALL_BUDGET_SECONDS, EXECUTION_SECONDS, START, Settings, a_request
from tests.reinvite_world import Script, World, answers, in_short, no_answer, not_sent

WINDOW, LONGER = 300.0, 60.0
ANSWERED_AT = START + 0.5
CLAIMED_UNTIL = START + EXECUTION_SECONDS + WINDOW + LONGER
SENT = "sent: invited"
TO_THE_CALL = [
    "table.read",
    "secret.read",
    "table.read_limiter",
    "table.limiter",
    "table.claim",
    "table.read_result",
    "api.invite",
]
END_CLAIM = ["table.read_user", "table.end_claim"]
REPORT = ["table.read_limiter", "table.limiter"]


@pytest.fixture
def world() -> World:
    return World()


# The order of the steps.


def expire_token(world: World) -> None:
    """Let the next token expire between the claim and the call."""
    world.steps.during("table.read_result", lambda: world.clock.advance(0.6))


@pytest.mark.parametrize(
    ("response", "steps"),
    [
        pytest.param(answers(200), ["table.save", "topic.publish"], id="sent"),
        pytest.param(answers(403), ["table.save", "topic.publish", *REPORT], id="rejected"),
        pytest.param(
            answers(500), ["table.save", "topic.publish", "queue.dead", *REPORT], id="failed"
        ),
        pytest.param(not_sent(), [*END_CLAIM, *REPORT, "queue.retry"], id="deferred"),
    ],
)
def test_result_is_saved_or_claim_ended_before_anything_is_reported_or_published(
    response: Script, steps: list[str]
) -> None:
    world = World(Settings(max_attempts=1))
    world.api.script("u1", response)
    world.ask()

    assert world.steps.taken == [*TO_THE_CALL, *steps]


def test_request_that_needs_no_call_takes_no_token_and_no_claim(world: World) -> None:
    world.ask("u1", "r1")
    world.steps.taken.clear()
    world.ask("u1", "r1")
    world.ask("u1", "r2")
    world.ask("u1", "r3", on_active_window="defer")
    world.ask("u2", "r4", not_after="2020-01-01")

    assert {"table.limiter", "table.claim"}.isdisjoint(world.steps.taken)


def test_requests_of_one_user_in_one_batch_take_one_token(world: World) -> None:
    other_has_read = threading.Event()
    world.steps.during("table.read", lambda: None)
    world.steps.during("table.read", other_has_read.set)
    # Time enough for the other request, if it does not wait.
    world.steps.during("table.limiter", lambda: other_has_read.wait(0.1))
    outcomes = world.deliver_together(world.message("u1", "r1"), world.message("u1", "r2"))

    assert sorted(map(in_short, outcomes)) == [SENT, "skipped: window_active"]
    assert world.steps.taken.count("table.limiter") == 1


def test_duplicate_during_the_call_looks_again_after_the_call_budget(world: World) -> None:
    world.steps.during("api.invite", lambda: world.deliver(world.message(), receive_count=2))
    world.ask()

    (waiting,) = world.deferred
    assert waiting.state.cause == Cause.IN_PROGRESS
    assert waiting.state.wait_until == START + CALL_BUDGET_SECONDS
    assert world.deliver_all_copies() == [SENT]
    assert len(world.api.calls) == 1


def test_stalled_duplicate_finds_the_result_that_was_stored_after_it_had_read(world: World) -> None:
    # An end without a call leaves the user's item as it was.
    late = world.message(not_after="2027-01-15T07:59:59Z")
    world.steps.during("table.claim", lambda: world.deliver(late))

    assert in_short(world.ask()) == "failed: deadline_passed"
    assert (world.api.calls, world.user().claim_id, world.user().window_ends_at) == ([], None, None)


def test_limiter_learns_of_a_call_whose_result_nobody_could_take(world: World) -> None:
    world.api.script("u1", answers(403))
    world.steps.fail("topic.publish")
    world.steps.fail("queue.retry")
    with pytest.raises(QueueUnavailableError):
        world.ask("u1", "r1")

    assert world.table.items["LIMITER", "LIMITER"]["forbidden"] == 1


def test_result_of_an_execution_that_died_before_it_published_is_published(world: World) -> None:
    world.deliver_and_die(world.message(), after="table.save")
    assert (world.user().sent_count, world.published) == (1, [])

    assert in_short(world.deliver(world.message())) == SENT
    user = world.user()
    assert (user.sent_count, user.maybe_sent_count, user.claim_id) == (1, 0, None)
    assert user.window_ends_at == ANSWERED_AT + WINDOW
    assert len(world.api.calls) == 1


def test_call_of_a_request_that_another_execution_ended_frees_the_window(world: World) -> None:
    ledger = world.reinviter.ledger
    skipped, rejected = (
        request_result(a_request(), reason, START) for reason in (Reason.NOT_DUE, Reason.FORBIDDEN)
    )
    claim_id = ledger.claim("u1", UserRecord(), "r1", CLAIMED_UNTIL)
    ledger.save("u1", StoredResult(skipped, START), START)
    unsaved = StoredResult(rejected, START, claim_id)

    assert world.deliver(world.bulk_message(RetryState(START, unsaved=unsaved))) == skipped
    assert (world.user().claim_id, world.user().window_ends_at) == (None, None)


def test_expired_token_is_not_used_and_asked_for_again_less_and_less_often(world: World) -> None:
    expire_token(world)

    assert in_short(world.ask()) == "deferred: token_expired"
    assert (world.api.calls, world.user().claim_id, world.user().window_ends_at) == ([], None, None)
    assert world.deferred[0].due_at - world.clock() <= 5
    expire_token(world)
    state = RetryState(START, cause=Cause.TOKEN_EXPIRED, failures=4)
    world.deliver(world.bulk_message(state))
    assert 40 <= world.deferred[1].due_at - world.clock() <= 81


def test_call_does_not_begin_with_too_little_time_left_for_its_record(world: World) -> None:
    seconds = CALL_BUDGET_SECONDS + 6
    world.steps.during("table.read_limiter", lambda: world.clock.advance(9))

    assert in_short(world.deliver(world.message(), seconds=seconds)) == "deferred: token_expired"
    assert (world.api.calls, world.user().claim_id) == ([], None)


# Outcomes of a call.


@pytest.mark.parametrize(
    ("response", "outcomes", "window", "counts"),
    [
        (answers(200), [SENT], WINDOW, (1, 0)),
        (answers(404), ["rejected: user_not_found"], None, (0, 0)),
        (answers(302), ["deferred: redirected", SENT], None, (0, 0)),
        (answers(401), ["deferred: unauthorized", "deferred: key_refused", SENT], None, (0, 0)),
        (answers(408), ["deferred: try_later", SENT], None, (0, 0)),
        (answers(429), ["deferred: throttled", SENT], None, (0, 0)),
        (not_sent(), ["deferred: connection_failed", SENT], None, (0, 0)),
        (answers(500), ["deferred: server_error", SENT], WINDOW + LONGER, (0, 1)),
        (no_answer(), ["deferred: no_answer", SENT], WINDOW + LONGER, (0, 1)),
    ],
)
def test_window_is_held_and_the_call_counted_when_an_email_may_have_gone_out(
    world: World,
    response: Script,
    outcomes: list[str],
    window: float | None,
    counts: tuple[int, int],
) -> None:
    world.api.script("u1", response)
    first, user = in_short(world.ask()), world.user()

    assert (user.window_ends_at, user.claim_id) == (window and ANSWERED_AT + window, None)
    assert (user.sent_count, user.maybe_sent_count) == counts
    assert user.invited_at == (ANSWERED_AT,) * sum(counts)
    assert [first, *world.deliver_all_copies()] == outcomes
    assert world.published[0].attempts == len(world.api.calls)


def test_result_says_what_the_call_came_to(world: World) -> None:
    result = world.ask()

    assert isinstance(result, Result)
    assert (result.http_status, result.occurred_at) == (200, "2027-01-15T08:00:00.500Z")
    assert (result.window_ends_at, result.sent_count) == ("2027-01-15T08:05:00.500Z", 1)
    assert (world.published, world.messages) == ([result], [])


def test_replaced_key_is_read_afresh_and_tried_again_at_once(world: World) -> None:
    world.reinviter.calls.keys.current()
    world.secret = "key-2"
    world.api.script("u1", answers(401))

    assert world.play() == ["deferred: key_replaced", SENT]
    assert [call.api_key for call in world.api.calls] == ["key-1", "key-2"]
    assert world.clock() < START + 2


@pytest.mark.parametrize(("max_attempts", "end"), [(2, SENT), (1, "failed: attempts_exhausted")])
def test_request_of_a_dead_execution_goes_on_after_the_window_with_one_attempt_less(
    max_attempts: int, end: str
) -> None:
    world = World(Settings(max_attempts=max_attempts))
    world.deliver_and_die(world.message(), after="api.invite")

    assert world.play()[-1] == end
    assert world.published[0].attempts == max_attempts
    assert world.clock() > CLAIMED_UNTIL


def test_too_little_time_for_a_call_defers_without_one(world: World) -> None:
    enough = CALL_BUDGET_SECONDS + MAX_TOKEN_WAIT_SECONDS

    late = world.deliver(world.message(), seconds=enough - 0.1)
    assert in_short(late) == "deferred: time_budget_exhausted"
    assert (world.api.calls, world.user().window_ends_at) == ([], None)
    assert in_short(world.deliver(world.message(), seconds=enough)) == SENT


@pytest.mark.parametrize(
    ("step", "outcomes"),
    [
        *[
            (f"table.{step}", ["deferred: ledger_unavailable", SENT])
            for step in ("read", "limiter", "claim", "read_result", "save")
        ],
        ("secret.read", ["deferred: key_unavailable", SENT]),
        ("topic.publish", ["deferred: topic_unavailable", SENT]),
    ],
)
def test_outage_defers_what_is_left_to_do(world: World, step: str, outcomes: list[str]) -> None:
    world.steps.fail(step)

    assert world.play() == outcomes
    (result,) = world.published
    assert (result.sent_count, result.attempts, len(world.api.calls)) == (1, 1, 1)


def test_result_that_the_table_did_not_take_is_saved_before_anything_else(world: World) -> None:
    world.steps.fail("table.save")
    # Its `not_after` stops no request whose e-mail has gone out.
    world.ask(not_after="2027-01-15T08:00:01Z")
    assert (world.published, world.user().window_ends_at) == ([], CLAIMED_UNTIL)
    world.steps.taken.clear()
    world.deliver_copy()

    assert world.steps.taken == ["table.save", "topic.publish"]
    assert world.published == [World().ask()]
    assert world.user().sent_count == 1


def test_unsaved_result_returns_within_20_seconds(world: World) -> None:
    world.steps.fail("table.save")
    world.deliver(world.bulk_message(RetryState(START, failures=9)))

    assert 10 <= world.deferred[0].due_at - world.clock() <= 20
