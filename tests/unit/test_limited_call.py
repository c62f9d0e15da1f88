"""Calls within the rate limit: tokens, waits, the second call after a 401, and what is reported."""

from collections.abc import Callable
from typing import Any

import pytest

from invitations.calls import ApiCalls
from invitations.errors import KeyUnavailableError
from invitations.limited_call import LimitedCaller
from invitations.limiter_state import WAIT_SECONDS, LimiterState, Quota, Wait
from invitations.outcomes import Answered, Cause, NotSent, Response
from invitations.rate_limiter import RateLimiter
from tests.fakes import CALL_BUDGET_SECONDS, START
from tests.reinvite_world import Clock
from tests.sweep_world import FakeKeys, FakeTable, Steps


class World:
    """One caller of an API that answers as a test says."""

    def __init__(self) -> None:
        self.clock, self.steps, self.keys = Clock(), Steps(), FakeKeys()
        self.quota = Quota(300)
        self.table = FakeTable(self.steps)
        self.called: list[tuple[float, str]] = []
        self.statuses: list[int | None] = []
        """Of the next answers; None: not sent."""
        self.during_first_sleep: Callable[[], None] = lambda: None
        self.during_call: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds)
        happens, self.during_first_sleep = self.during_first_sleep, lambda: None
        happens()

    def set(self, **state: Any) -> None:
        kept_at = state.get("event_line_at", 0.0)
        item = {**vars(LimiterState(**state, event_kept_at=kept_at)), "revision": "set"}
        self.table.items["LIMITER", "LIMITER"] = item

    @property
    def state(self) -> dict[str, Any]:
        return dict(self.table.items["LIMITER", "LIMITER"])

    def call(self, seconds: float = 300.0, *, has_appointment: bool = False) -> Any:
        limiter = RateLimiter(self.table, self.quota.per_minute, self.clock, self.sleep)
        caller = LimitedCaller(
            ApiCalls(limiter, self.keys, self.clock),
            CALL_BUDGET_SECONDS,
            self.clock,
            self.sleep,
        )
        return caller.call(
            "search",
            self._answer,
            {"sweep_id": "s1"},
            self.clock() + seconds,
            has_appointment=has_appointment,
        )

    def _answer(self, api_key: str) -> Response:
        self.during_call()
        self.called.append((self.clock(), api_key))
        status = self.statuses.pop(0) if self.statuses else 200
        if status is None:
            return NotSent("refused")
        return Answered(status, self.clock(), retry_after="17")


@pytest.fixture
def world() -> World:
    return World()


def test_call_waits_for_a_token_of_an_event(world: World) -> None:
    full_at = START + world.quota.capacity * world.quota.interval
    world.set(bulk_line_at=START + 900, full_at=full_at)

    response, outcome = world.call()

    assert (response.http_status, outcome.http_status) == (200, 200)
    [(called_at, api_key)] = world.called
    assert called_at == pytest.approx(START + world.quota.interval)
    assert api_key == "key-1"
    assert world.state["full_at"] == pytest.approx(full_at + world.quota.interval)


def test_call_keeps_an_appointment_that_is_near_while_the_line_grows(world: World) -> None:
    world.set(event_line_at=START + 20, full_at=START + 20)
    world.during_first_sleep = lambda: world.set(event_line_at=START + 200, full_at=START + 20)

    world.call()

    assert 20 <= world.called[0][0] - START <= 25


def test_call_behind_a_long_line_returns_with_an_appointment_and_waits_in_no_line_then(
    world: World,
) -> None:
    world.set(event_line_at=START + 60, full_at=START + 60)

    wait = world.call()
    assert (wait.cause, wait.has_appointment) == (Cause.QUOTA, True)
    assert 60 <= wait.until - START <= 61
    assert (world.called, world.clock()) == ([], START)

    world.set(event_line_at=START + 60, full_at=START)
    world.call(has_appointment=True)
    assert world.called[0][0] == START


def test_call_that_is_late_takes_another_token(world: World) -> None:
    world.set(full_at=START + world.quota.capacity * world.quota.interval)
    world.during_first_sleep = lambda: world.clock.advance(0.6)
    before = world.state["full_at"]

    world.call()

    assert len(world.called) == 1
    assert world.state["full_at"] == pytest.approx(before + 2 * world.quota.interval)


def test_call_is_not_made_in_a_pause_that_began_during_its_wait(world: World) -> None:
    world.set(full_at=START + world.quota.capacity * world.quota.interval)
    world.during_first_sleep = lambda: world.set(
        paused_until=START + 100, pause_reason="throttled", full_at=START + 100
    )

    wait = world.call()

    assert isinstance(wait, Wait)
    assert (wait.cause, world.called) == (Cause.THROTTLED, [])


def test_call_is_not_made_without_time_for_its_answer(world: World) -> None:
    enough = CALL_BUDGET_SECONDS + WAIT_SECONDS

    assert world.call(enough - 0.1) == Wait(START, False, Cause.TIME_BUDGET_EXHAUSTED)
    assert world.called == []
    world.call(enough)
    assert len(world.called) == 1


def test_second_call_with_a_replaced_key_waits_for_a_token_of_its_own(world: World) -> None:
    world.keys.secret, world.statuses = "key-2", [401]
    full_at = START + world.quota.capacity * world.quota.interval
    world.set(full_at=full_at)

    _, outcome = world.call()

    assert outcome.http_status == 200
    (first, _), (second, _) = world.called
    assert [key for _, key in world.called] == ["key-1", "key-2"]
    assert second - first >= world.quota.interval - 0.01
    assert world.state["full_at"] == pytest.approx(full_at + 2 * world.quota.interval)
    assert world.state.get("pause_reason") is None


def unavailable(refused: str) -> str | None:
    raise KeyUnavailableError("the fake secret is unavailable")


@pytest.mark.parametrize(
    ("replacement", "calls"),
    [
        pytest.param(lambda _: None, 1, id="same key"),
        pytest.param(unavailable, 1, id="no key"),
        pytest.param(lambda refused: f"{refused}-2", 2, id="another key each time"),
    ],
)
def test_key_that_stays_refused_stops_all_calls(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    replacement: Callable[[str], str | None],
    calls: int,
) -> None:
    world.statuses = [401] * 5
    monkeypatch.setattr(world.keys, "replacement", replacement)

    _, outcome = world.call()

    assert outcome.cause == Cause.UNAUTHORIZED
    assert len(world.called) == calls
    assert world.state["pause_reason"] == "key_refused"


def test_replaced_key_ends_the_pause_of_the_refused_one(world: World) -> None:
    world.set(pause_reason="key_refused", paused_until=START - 1, failures=10)
    world.keys.secret, world.statuses = "key-2", [401]

    world.call()

    assert [key for _, key in world.called] == ["key-1", "key-2"]
    assert world.clock() < START + 5


@pytest.mark.parametrize(
    ("status", "state"),
    [(429, {"paused_until": START + 17}), (503, {"failures": 1}), (None, {"failures": 1})],
)
def test_outcome_is_shared_with_all_executions(
    world: World, status: int | None, state: dict[str, float]
) -> None:
    world.statuses = [status]

    world.call()

    assert world.state.items() >= state.items()


def test_outage_of_the_table_after_the_call_loses_no_answer(world: World) -> None:
    world.statuses = [503]
    world.during_call = lambda: world.steps.failures.update(table=10)

    _, outcome = world.call()

    assert outcome.http_status == 503


def test_refused_list_is_no_refused_invitation(world: World) -> None:
    world.set(forbidden=3)
    world.statuses = [403, 200]
    world.call()
    world.call()

    assert world.state["forbidden"] == 3
