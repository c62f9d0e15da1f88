"""Calls within the rate limit: tokens, waits, the second call after a 401, and what is reported."""

from collections.abc import Callable
from typing import Any

import pytest

from invitations.errors import KeyUnavailableError
from invitations.limited_call import LimitedCaller
from invitations.limiter_state import WAIT_SECONDS, LimiterState, Quota, Token, Wait
from invitations.outcomes import Answered, Cause, NotSent, Response
from invitations.rate_limiter import RateLimiter
from tests.sweep_world import CALL_BUDGET_SECONDS, START, Clock, FakeKeys, FakeTable, Steps


class World:
    def __init__(self, per_minute: int = 300) -> None:
        self.clock, self.steps, self.keys = Clock(), Steps(), FakeKeys()
        self.quota = Quota(per_minute)
        self.table = FakeTable(self.steps)
        self.limiter = RateLimiter(self.table, per_minute, self.clock, self.clock.advance)
        self.called: list[tuple[float, str]] = []
        self.statuses: list[int | None] = []
        """Of the next answers; None: not sent."""
        self.on_sleep: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.on_sleep()

    def set(self, **state: Any) -> None:
        kept_at = state.get("event_line_at", 0.0)
        item = {**vars(LimiterState(**state, event_kept_at=kept_at)), "revision": "set"}
        self.table.items["LIMITER", "LIMITER"] = item

    @property
    def state(self) -> dict[str, Any]:
        return dict(self.table.items["LIMITER", "LIMITER"])

    def call(self, seconds: float = 300.0, *, has_appointment: bool = False) -> Any:
        caller = LimitedCaller(self.limiter, self.keys, CALL_BUDGET_SECONDS, self.clock, self.sleep)
        return caller.call(
            "search",
            self._answer,
            {"sweep_id": "s1"},
            self.clock() + seconds,
            has_appointment=has_appointment,
        )

    def _answer(self, api_key: str) -> Response:
        self.called.append((self.clock(), api_key))
        status = self.statuses.pop(0) if self.statuses else 200
        if status is None:
            return NotSent("refused")
        return Answered(status, self.clock(), retry_after="17")


@pytest.fixture
def world() -> World:
    return World()


def test_call_takes_a_token_of_an_event(world: World) -> None:
    world.set(bulk_line_at=START + 900)

    response, outcome = world.call()

    assert (response.http_status, outcome.http_status) == (200, 200)
    assert world.called == [(START, "key-1")]
    assert world.state["full_at"] == START + world.quota.interval


def test_call_waits_for_its_token(world: World) -> None:
    world.set(full_at=START + world.quota.capacity * world.quota.interval)

    world.call()

    assert world.called[0][0] == pytest.approx(START + world.quota.interval)


def test_call_waits_for_an_appointment_that_is_near(world: World) -> None:
    world.set(event_line_at=START + 20, full_at=START + 20)

    world.call()

    assert 20 <= world.called[0][0] - START <= 25


def test_call_keeps_its_appointment_while_the_line_grows(world: World) -> None:
    world.set(event_line_at=START + 20, full_at=START + 20)
    world.on_sleep = lambda: world.set(event_line_at=START + 200, full_at=START + 20)

    world.call()

    assert 20 <= world.called[0][0] - START <= 25


def test_call_behind_a_long_line_returns_with_an_appointment(world: World) -> None:
    world.set(event_line_at=START + 60, full_at=START + 60)

    wait = world.call()

    assert (wait.cause, wait.has_appointment) == (Cause.QUOTA, True)
    assert 60 <= wait.until - START <= 61
    assert (world.called, world.clock()) == ([], START)


def test_call_at_its_appointment_waits_in_no_line(world: World) -> None:
    world.set(event_line_at=START + 60, full_at=START)

    world.call(has_appointment=True)

    assert world.called[0][0] == START


def test_call_that_is_late_takes_another_token(world: World) -> None:
    world.set(full_at=START + world.quota.capacity * world.quota.interval)
    waits: list[float] = []

    def oversleep(seconds: float) -> None:
        waits.append(seconds)
        world.clock.advance(seconds + 0.6 * (len(waits) == 1))

    world.limiter._sleep = oversleep
    before = world.state["full_at"]

    world.call()

    assert len(world.called) == 1
    assert world.state["full_at"] == pytest.approx(before + 2 * world.quota.interval)


def test_call_is_not_made_in_a_pause_that_began_during_its_wait(world: World) -> None:
    world.set(full_at=START + world.quota.capacity * world.quota.interval)

    def pause(seconds: float) -> None:
        world.clock.advance(seconds)
        world.set(paused_until=START + 100, pause_reason="throttled", full_at=START + 100)

    world.limiter._sleep = pause

    wait = world.call()

    assert isinstance(wait, Wait)
    assert (wait.cause, world.called) == (Cause.THROTTLED, [])


@pytest.mark.parametrize(
    ("seconds", "calls"), [(22 + WAIT_SECONDS - 0.1, 0), (22 + WAIT_SECONDS, 1)]
)
def test_call_is_not_made_without_time_for_its_answer(
    world: World, seconds: float, calls: int
) -> None:
    result = world.call(seconds)

    assert len(world.called) == calls
    if not calls:
        assert result == Wait(START, False, Cause.TIME_BUDGET_EXHAUSTED)


def test_second_call_with_a_replaced_key_has_a_token_of_its_own(world: World) -> None:
    world.keys.secret, world.statuses = "key-2", [401]

    _, outcome = world.call()

    assert outcome.http_status == 200
    assert [key for _, key in world.called] == ["key-1", "key-2"]
    assert world.state["full_at"] == pytest.approx(START + 2 * world.quota.interval)
    assert world.state.get("pause_reason") is None


def test_second_call_waits_for_its_token_too(world: World) -> None:
    world.keys.secret, world.statuses = "key-2", [401]
    world.set(full_at=START + world.quota.capacity * world.quota.interval)

    world.call()

    first, second = (at for at, _ in world.called)
    assert second - first >= world.quota.interval - 0.01


def test_key_that_was_not_replaced_stops_all_calls(world: World) -> None:
    world.statuses = [401]

    _, outcome = world.call()

    assert outcome.cause == Cause.UNAUTHORIZED
    assert len(world.called) == 1
    assert world.state["pause_reason"] == "key_refused"


def test_refused_key_stops_all_calls_although_the_secret_cannot_be_read(world: World) -> None:
    world.statuses = [401]

    def fail(refused: str) -> str | None:
        raise KeyUnavailableError("the fake secret is unavailable")

    world.keys.replacement = fail  # type: ignore[method-assign]

    _, outcome = world.call()

    assert outcome.cause == Cause.UNAUTHORIZED
    assert world.state["pause_reason"] == "key_refused"


def test_second_401_stops_all_calls(world: World) -> None:
    world.keys.secret, world.statuses = "key-2", [401, 401]

    _, outcome = world.call()

    assert outcome.cause == Cause.UNAUTHORIZED
    assert len(world.called) == 2
    assert world.state["pause_reason"] == "key_refused"


def test_secret_that_changes_all_the_time_brings_no_third_call(world: World) -> None:
    world.statuses = [401] * 5
    secrets = iter(["key-2", "key-3", "key-4"])
    world.keys.replacement = lambda refused: next(secrets)  # type: ignore[method-assign]

    world.call()

    assert len(world.called) == 2
    assert world.state["pause_reason"] == "key_refused"


def test_replaced_key_ends_the_pause_of_the_refused_one(world: World) -> None:
    world.set(pause_reason="key_refused", paused_until=START - 1, failures=10)
    world.keys.secret, world.statuses = "key-2", [401]

    world.call()

    assert [key for _, key in world.called] == ["key-1", "key-2"]
    assert world.clock() < START + 5


def test_429_stops_all_calls_for_as_long(world: World) -> None:
    world.statuses = [429]

    _, outcome = world.call()

    assert outcome.retry_after_seconds == 17
    assert world.state["paused_until"] == START + 17


@pytest.mark.parametrize("status", [503, None])
def test_outage_is_reported(world: World, status: int | None) -> None:
    world.statuses = [status] * 2

    world.call()
    world.call()

    assert world.state["failures"] == 2


def test_outage_of_the_table_after_the_call_loses_no_answer(world: World) -> None:
    world.statuses = [503]
    answer = world._answer

    def answer_and_fail(api_key: str) -> Response:
        world.steps.failures["table"] = 10
        return answer(api_key)

    world._answer = answer_and_fail  # type: ignore[method-assign]

    _, outcome = world.call()

    assert outcome.http_status == 503


def test_wait_for_a_token_says_whether_the_call_may_begin(world: World) -> None:
    assert world.limiter.wait_for(Token(START))
    assert world.limiter.wait_for(Token(START - 0.5))
    assert not world.limiter.wait_for(Token(START - 0.51))
    assert world.limiter.wait_for(Token(START + 2))
    assert world.clock() == START + 2
