"""What each outcome of a call means for the window and for the request: design.md's table."""

import pytest

from invitations.limiter_state import WAIT_SECONDS
from invitations.results import Result
from tests.fakes import (
    CALL_BUDGET_SECONDS,
    EXECUTION_SECONDS,
    START,
    ExecutionDiedError,
    Script,
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
ANSWERED_AT = START + 0.5

WITHOUT_EMAIL = {
    "400": answers(400),
    "401": answers(401),
    "403": answers(403),
    "404": answers(404),
    "408": answers(408),
    "415": answers(415),
    "421": answers(421),
    "422": answers(422),
    "425": answers(425),
    "429": answers(429),
    "redirect": answers(302),
    "not sent": not_sent(),
}
UNKNOWN = {"500": answers(500), "503": answers(503), "no answer": no_answer()}
TRY_LATER = {
    "408": answers(408),
    "421": answers(421),
    "425": answers(425),
    "redirect": answers(302),
    "not sent": not_sent(),
}


def each_of(outcomes: dict[str, Script]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("outcome", outcomes.values(), ids=outcomes.keys())


@pytest.fixture
def world() -> World:
    return World()


@each_of(WITHOUT_EMAIL)
def test_call_without_email_frees_window(world: World, outcome: Script) -> None:
    world.api.script("u1", outcome)
    world.ask("u1", "r1")

    assert world.user().active_window(world.clock()) is None
    # After a 401 and a 429 nobody calls, for less than a window.
    world.clock.advance(100)
    assert in_short(world.ask("u1", "r2")) == "sent: invited"


@each_of(WITHOUT_EMAIL)
def test_call_without_email_is_not_counted_as_invitation(world: World, outcome: Script) -> None:
    world.api.script("u1", outcome)
    world.ask()

    user = world.user()
    assert (user.sent_count, user.maybe_sent_count, user.invited_at) == (0, 0, ())


def test_success_holds_window_from_answer(world: World) -> None:
    world.ask("u1", "r1")
    world.clock.now = ANSWERED_AT + WINDOW + SKEW - 0.001

    assert in_short(world.ask("u1", "r2")) == "skipped: window_active"


def test_success_holds_window_no_longer_than_needed(world: World) -> None:
    world.ask("u1", "r1")
    world.clock.now = ANSWERED_AT + WINDOW + SKEW

    assert in_short(world.ask("u1", "r2")) == "sent: invited"


@each_of(UNKNOWN)
def test_unknown_outcome_holds_window_a_minute_longer(world: World, outcome: Script) -> None:
    world.api.script("u1", outcome)
    world.ask("u1", "r1")
    world.clock.now = ANSWERED_AT + WINDOW + LONGER + SKEW - 0.001

    assert in_short(world.ask("u1", "r2")) == "skipped: window_active"
    world.clock.now = ANSWERED_AT + WINDOW + LONGER + SKEW
    assert in_short(world.ask("u1", "r3")) == "sent: invited"


def test_unknown_outcome_holds_short_window_twice_as_long() -> None:
    world = World(Settings(window_seconds=10))
    world.api.script("u1", no_answer())
    world.ask("u1", "r1")
    world.clock.now = ANSWERED_AT + 20 + SKEW - 0.001

    assert in_short(world.ask("u1", "r2")) == "skipped: window_active"
    world.clock.now = ANSWERED_AT + 20 + SKEW
    assert in_short(world.ask("u1", "r3")) == "sent: invited"


@each_of(UNKNOWN)
def test_unknown_outcome_counts_as_invitation_that_may_have_been_sent(
    world: World, outcome: Script
) -> None:
    world.api.script("u1", outcome)
    world.ask()

    user = world.user()
    assert (user.sent_count, user.maybe_sent_count, user.invited_at) == (0, 1, (ANSWERED_AT,))


@each_of(UNKNOWN)
def test_unknown_outcome_defers_to_end_of_window(world: World, outcome: Script) -> None:
    world.api.script("u1", outcome)
    world.ask()

    assert world.deferred[0].state.wait_until == ANSWERED_AT + WINDOW + LONGER + SKEW
    assert in_short(world.deliver_copy()) == "sent: invited"


def test_sent_result_says_what_happened_and_when(world: World) -> None:
    result = world.ask(correlation_id="c1")

    assert isinstance(result, Result)
    assert result == Result(
        result_id=result.result_id,
        request_id="r1",
        user_id="u1",
        correlation_id="c1",
        source="sqs",
        status="sent",
        reason="invited",
        detail=None,
        http_status=200,
        attempts=1,
        occurred_at="2027-01-15T08:00:00.500Z",
        window_ends_at="2027-01-15T08:05:00.500Z",
        invitation_expires_at="2027-01-18T08:00:00.500Z",
        sent_count=1,
    )
    assert world.published == [result]


def test_sent_request_is_on_no_queue(world: World) -> None:
    world.ask()

    assert world.sqs.messages == []


def test_next_invitation_says_how_many_the_user_got(world: World) -> None:
    world.ask("u1", "r1")
    world.clock.advance(WINDOW + 3)
    world.ask("u1", "r2")

    assert [result.sent_count for result in world.published] == [1, 2]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (400, "bad_request"),
        (403, "forbidden"),
        (404, "user_not_found"),
        (415, "unsupported_media_type"),
        (422, "client_error"),
    ],
)
def test_refusal_ends_request_as_rejected(world: World, code: int, reason: str) -> None:
    world.api.script("u1", answers(code))
    result = world.ask()

    assert isinstance(result, Result)
    assert in_short(result) == f"rejected: {reason}"
    assert (result.http_status, result.attempts) == (code, 1)
    assert (result.window_ends_at, result.invitation_expires_at, result.sent_count) == (None,) * 3
    assert world.sqs.messages == []


@each_of(TRY_LATER)
def test_call_without_effect_is_deferred_for_some_seconds(world: World, outcome: Script) -> None:
    world.api.script("u1", outcome)
    world.ask()

    assert 2.5 <= world.deferred[0].state.wait_until - world.clock() <= 5


@each_of(TRY_LATER)
def test_repeated_call_without_effect_is_deferred_for_longer(world: World, outcome: Script) -> None:
    world.api.script("u1", outcome, outcome)
    world.ask()
    world.deliver_copy()

    assert 5 <= world.deferred[0].state.wait_until - world.clock() <= 10


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120),
        (None, 60),
        ("soon", 60),
        ("3600", 3_600),
        ("864000", 86_400),
    ],
)
def test_throttled_request_is_deferred_for_retry_after(
    world: World, retry_after: str | None, seconds: float
) -> None:
    world.api.script("u1", answers(429, retry_after))

    assert in_short(world.ask()) == "deferred: throttled"
    assert world.deferred[0].state.wait_until == pytest.approx(START + seconds, abs=1)


def test_throttled_call_pauses_other_requests(world: World) -> None:
    world.api.script("u1", answers(429, "100"))
    world.ask("u1", "r1")
    world.ask("u2", "r2")
    world.deliver_all_copies()

    assert min(world.calls_for("u2")) > START + 100


def test_refused_key_defers_request_and_pauses_others(world: World) -> None:
    world.api.script("u1", answers(401))

    assert in_short(world.ask("u1", "r1")) == "deferred: unauthorized"
    assert in_short(world.ask("u2", "r2")) == "deferred: key_refused"
    assert len(world.api.calls) == 1


def test_replaced_key_is_read_afresh_and_tried_again(world: World) -> None:
    world.reinviter.keys.current()
    world.secrets.secret = "key-2"
    world.api.script("u1", answers(401))

    assert in_short(world.ask()) == "deferred: key_replaced"
    assert world.deferred[0].due_at == world.clock()
    assert in_short(world.deliver_copy()) == "sent: invited"
    assert [call.api_key for call in world.api.calls] == ["key-1", "key-2"]
    assert world.published[0].attempts == 2


def test_call_with_replaced_key_takes_token_of_its_own() -> None:
    world = World(Settings(requests_per_minute=1))
    world.reinviter.keys.current()
    world.secrets.secret = "key-2"
    world.api.script("u1", answers(401))
    world.ask()
    world.deliver_all_copies()

    first, second = world.calls_for("u1")
    assert second - first > 60


def test_replaced_key_pauses_nobody(world: World) -> None:
    world.reinviter.keys.current()
    world.secrets.secret = "key-2"
    world.api.script("u1", answers(401))
    world.ask("u1", "r1")

    assert in_short(world.ask("u2", "r2")) == "sent: invited"


def test_second_refused_key_pauses_others(world: World) -> None:
    world.reinviter.keys.current()
    world.secrets.secret = "key-2"
    world.api.script("u1", answers(401), answers(401))
    world.ask("u1", "r1")

    assert in_short(world.deliver_copy()) == "deferred: unauthorized"
    assert in_short(world.ask("u2", "r2")) == "deferred: key_refused"


def test_refused_key_in_unreadable_secret_pauses_others(world: World) -> None:
    world.reinviter.keys.current()
    world.steps.fail("secret.read")
    world.api.script("u1", answers(401))

    assert in_short(world.ask("u1", "r1")) == "deferred: unauthorized"
    assert in_short(world.ask("u2", "r2")) == "deferred: key_refused"


def test_stored_key_ends_pause_of_refused_key(world: World) -> None:
    world.api.script("u1", answers(401))
    world.ask("u1", "r1")
    world.ask("u2", "r2")
    world.secrets.secret = "key-2"
    world.api.script("u1", answers(401))
    world.deliver_all_copies()

    assert [in_short(result) for result in world.published] == ["sent: invited"] * 2


def test_ten_failures_in_a_row_stop_all_calls(world: World) -> None:
    for number in range(10):
        world.api.script(f"u{number}", not_sent())
        world.ask(f"u{number}", f"r{number}")

    assert in_short(world.ask("u10", "r10")) == "deferred: outage"
    assert len(world.api.calls) == 10


def test_death_during_call_holds_window_until_last_moment_of_call_and_window(
    world: World,
) -> None:
    world.steps.fail("api.invite", error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.ask("u1", "r1")

    over_at = START + EXECUTION_SECONDS + WINDOW + LONGER + SKEW
    world.clock.now = over_at - 0.001
    assert in_short(world.ask("u1", "r2")) == "skipped: window_active"
    world.clock.now = over_at
    assert in_short(world.ask("u1", "r3")) == "sent: invited"


def test_request_of_dead_execution_looks_again_after_call_budget(world: World) -> None:
    world.steps.fail("api.invite", error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.ask()

    assert in_short(world.deliver(world.message(), receive_count=2)) == "deferred: in_progress"
    assert world.deferred[0].state.wait_until == START + CALL_BUDGET_SECONDS


def test_request_of_dead_execution_calls_again_after_window(world: World) -> None:
    world.steps.fail("api.invite", after_effect=True, error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.ask()
    world.deliver(world.message(), receive_count=2)
    world.deliver_all_copies()

    first, second = world.calls_for("u1")
    assert second - first > WINDOW
    (result,) = world.published
    assert (in_short(result), result.attempts) == ("sent: invited", 2)


def test_death_during_call_counts_as_invitation_that_may_have_been_sent(world: World) -> None:
    world.steps.fail("api.invite", error=ExecutionDiedError())
    with pytest.raises(ExecutionDiedError):
        world.ask("u1", "r1")
    world.clock.advance(1_000)
    world.ask("u1", "r2")

    user = world.user()
    assert (user.sent_count, user.maybe_sent_count) == (1, 1)
    assert user.invited_at == (START, START + 1_000.5)


def test_too_little_time_defers_without_call(world: World) -> None:
    outcome = world.deliver(world.message(), seconds=CALL_BUDGET_SECONDS)

    assert in_short(outcome) == "deferred: time_budget_exhausted"
    assert (world.api.calls, world.deferred[0].due_at) == ([], START + 5)
    assert (world.user().claim, world.user().window_ends_at) == (None, 0)
    assert in_short(world.deliver_copy()) == "sent: invited"
    assert world.published[0].attempts == 1


def test_just_enough_time_is_enough(world: World) -> None:
    outcome = world.deliver(world.message(), seconds=CALL_BUDGET_SECONDS + WAIT_SECONDS)

    assert in_short(outcome) == "sent: invited"
