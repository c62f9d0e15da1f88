"""How executions share the limiter's state, and how searches and the list of keys are called.

tests/unit/test_limiter_state.py has the rules, tests/simulation/test_quota.py what they lead to.
"""

import random
from functools import partial
from typing import Any

import pytest

from invitations.limiter_state import MAX_TOKEN_WAIT_SECONDS, Quota, Token, Wait
from invitations.messages import Pace
from invitations.outcomes import Cause, Outcome, judge
from invitations.rate_limiter import RateLimiter
from tests.fakes import CALL_BUDGET_SECONDS, START, Settings
from tests.reinvite_world import World, answers

NO_ANSWER = Outcome(cause=Cause.NO_ANSWER, emailed_at=START)
SENT, UNAUTHORIZED = (judge(status, START) for status in (200, 401))
THROTTLED = judge(429, START, "60")
QUOTA = Quota(300)
EMPTIED_AT = START + QUOTA.capacity * QUOTA.interval
"""`full_at` of a bucket whose next token comes in an interval."""


@pytest.fixture
def world() -> World:
    world = World(Settings(requests_per_minute=QUOTA.per_minute))
    world.reinviter.calls.keys.current()
    return world


def limiter_of(world: World) -> RateLimiter:
    """The rate limiter of one more container."""
    return RateLimiter(world.table, 300, world.clock, world.clock.advance, random.Random(1))


def state_of(world: World) -> dict[str, Any]:
    return dict(world.table.items["LIMITER", "LIMITER"])


def test_state_of_a_newer_version_is_read(world: World) -> None:
    world.change_limiter(paused_until=START + 60, added_later=["a", 1])

    assert isinstance(limiter_of(world).take_token(Pace.EVENT), Wait)


def test_success_after_failures_of_another_container_is_shared(world: World) -> None:
    limiter = limiter_of(world)
    world.change_limiter(failures=9)
    limiter.take_token(Pace.EVENT)
    limiter.report(SENT)

    assert state_of(world)["failures"] == 0


def test_change_is_made_again_on_top_of_one_that_came_between(world: World) -> None:
    limiter, other = limiter_of(world), limiter_of(world)
    world.steps.during("table.limiter", lambda: other.report(NO_ANSWER))
    limiter.report(NO_ANSWER)

    assert state_of(world)["failures"] == 2


@pytest.mark.parametrize(("late", "may_call"), [(-2, True), (0, True), (0.49, True), (0.51, False)])
def test_token_is_waited_for_and_used_within_half_a_second(
    world: World, late: float, may_call: bool
) -> None:
    world.clock.advance(late)

    assert limiter_of(world).wait_for(Token(START)) is may_call
    assert world.clock() == START + max(late, 0)


@pytest.mark.parametrize(
    ("outcome", "seconds", "may_call"),
    [(THROTTLED, 59, False), (THROTTLED, 60, True), (UNAUTHORIZED, 14, False)],
)
def test_pause_that_began_during_the_wait_stops_the_call_until_its_end(
    world: World, outcome: Outcome, seconds: float, may_call: bool
) -> None:
    limiter_of(world).report(outcome)

    assert limiter_of(world).wait_for(Token(START + seconds)) is may_call


# Searches and the list of keys


def call(world: World, seconds: float = 300, *, has_appointment: bool = False) -> Any:
    """Make a call in an execution that may last `seconds`."""
    calls, invite = world.reinviter.calls, partial(world.api.invite, "u1")
    deadline = world.clock() + seconds
    return calls.wait_and_make("search", invite, deadline, has_appointment=has_appointment)


def test_call_behind_a_long_line_is_made_with_an_appointment_alone(world: World) -> None:
    world.change_limiter(line_at={Pace.EVENT: START + 60}, kept_at={Pace.EVENT: START + 60})
    wait = call(world)

    assert isinstance(wait, Wait)
    assert (wait.cause, wait.has_appointment) == (Cause.QUOTA, True)
    assert 60 <= wait.until - START <= 61
    assert (world.api.calls, world.clock()) == ([], START)
    call(world, has_appointment=True)
    assert world.calls_for() == [START]


def test_call_that_is_late_takes_another_token(world: World) -> None:
    world.change_limiter(full_at=EMPTIED_AT)
    world.steps.during("table.read_limiter", lambda: None)
    # When the execution looks for a pause after its wait.
    world.steps.during("table.read_limiter", lambda: world.clock.advance(0.6))
    call(world)

    assert len(world.api.calls) == 1
    assert state_of(world)["full_at"] == pytest.approx(EMPTIED_AT + 2 * QUOTA.interval)


def test_call_is_not_made_without_time_for_its_answer(world: World) -> None:
    enough = CALL_BUDGET_SECONDS + MAX_TOKEN_WAIT_SECONDS

    assert call(world, enough - 0.1) == Wait(START, False, Cause.TIME_BUDGET_EXHAUSTED)
    assert world.api.calls == []
    call(world, enough)
    assert len(world.api.calls) == 1


def test_replaced_key_ends_the_pause_and_is_used_with_a_token_of_its_own(world: World) -> None:
    world.change_limiter(pause_reason="key_refused", paused_until=START - 1, full_at=EMPTIED_AT)
    world.secret = "key-2"
    world.api.script("u1", answers(401))
    outcome = call(world)

    assert outcome.http_status == 200
    assert [each.api_key for each in world.api.calls] == ["key-1", "key-2"]
    assert state_of(world)["full_at"] == pytest.approx(EMPTIED_AT + 2 * QUOTA.interval, abs=0.5)
    assert state_of(world).get("pause_reason") is None


@pytest.mark.parametrize(
    ("secret", "unreadable", "calls"), [("key-1", 0, 1), ("key-2", 1, 1), ("key-2", 0, 2)]
)
def test_key_that_stays_refused_stops_all_calls(
    world: World, secret: str, unreadable: int, calls: int
) -> None:
    world.secret = secret
    world.steps.fail("secret.read", times=unreadable)
    world.api.script("u1", *[answers(401)] * 3)
    call(world)

    assert len(world.api.calls) == calls
    assert state_of(world)["pause_reason"] == "key_refused"


def test_refused_list_says_nothing_of_invitations(world: World) -> None:
    world.change_limiter(forbidden=3)
    world.api.script("u1", answers(403))
    call(world)

    assert state_of(world)["forbidden"] == 3
