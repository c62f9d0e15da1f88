"""The rate limiter: one DynamoDB item holds its state for all executions (limiter_state.py)."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from invitations.batcher import Batcher
from invitations.errors import TableUnavailableError
from invitations.limiter_state import MAX_LATENESS_SECONDS, LimiterState, Quota, Token, Wait
from invitations.messages import Pace
from invitations.outcomes import Cause, Outcome
from invitations.table import ConflictError, Item, Key, Table

_SPREAD_SECONDS = 60.0
_OPERATOR_SECONDS = (600.0, 900.0)
# A slow execution must not lose its turn to faster ones for ever.
_TRIES = 20
_PAUSE_SECONDS = 0.01

Change = Callable[[LimiterState, float], tuple[LimiterState, Any]]

_KEY: Key = ("LIMITER", "LIMITER")
_NAMES = [each.name for each in fields(LimiterState)]


class RateLimiter:
    """Changes the state that all executions share; threads of one container do so together.

    Every method raises TableUnavailableError when its effect is unknown or absent.
    """

    def __init__(
        self,
        table: Table,
        per_minute: int,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        rng: random.Random | None = None,
        on_change: Callable[[LimiterState, LimiterState, float], None] = lambda *_: None,
    ) -> None:
        self._table = table
        self._quota = Quota(per_minute)
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311  # spreads waits, guards nothing
        self._on_change = on_change
        self._batcher: Batcher[Change, Any] = Batcher(self._write, size=100)
        self._item: Item = {}

    def admit(self, pace: Pace, *, has_appointment: bool = False) -> Token | Wait:
        """A token for one call, or when to come back."""

        def change(state: LimiterState, now: float) -> tuple[LimiterState, Token | Wait]:
            return state.admit(self._quota, pace, now, has_appointment=has_appointment)

        answer: Token | Wait = self._batcher.ask(change)
        if isinstance(answer, Token) or answer.has_appointment:
            return answer
        # Thousands may wait for the same moment.
        if answer.cause == Cause.OPERATOR:
            return replace(answer, until=answer.until + self._rng.uniform(*_OPERATOR_SECONDS))
        return replace(answer, until=answer.until + self._rng.uniform(1, _SPREAD_SECONDS))

    def wait_for(self, token: Token) -> bool:
        """Wait for a token's time; whether the call may begin then."""
        wait_seconds = token.leaves_at - self._clock()
        if wait_seconds > 0:
            self._sleep(wait_seconds)
            if self.is_paused():
                return False
        return self._clock() <= token.leaves_at + MAX_LATENESS_SECONDS

    def report(self, outcome: Outcome) -> None:
        """Let all executions know what a call has found out about the API."""
        is_good = not outcome.is_outage and outcome.cause not in (
            Cause.THROTTLED,
            Cause.UNAUTHORIZED,
        )
        if is_good and not _state(self._item).failures:
            return
        self._batcher.ask(lambda state, now: (state.after(outcome, now), None))

    def key_replaced(self) -> None:
        """Let all executions know that the refused key was replaced."""
        self._batcher.ask(lambda state, now: (state.recovered(now), None))

    def is_paused(self) -> bool:
        """Whether a pause has begun since a token was given out."""
        self._item = self._table.read([_KEY])[0]
        return self._clock() < _state(self._item).paused_until

    def _write(self, changes: Sequence[Change]) -> Sequence[Any]:
        # A read costs a fifth of a write that loses, and an operator may have resumed.
        self._item = self._table.read([_KEY])[0]
        for tries in range(_TRIES):
            before, now = _state(self._item), self._clock()
            state, answers = before, []
            for change in changes:
                state, answer = change(state, now)
                answers.append(answer)
            if state == before:
                return answers
            try:
                self._item = self._table.write(_KEY, vars(state), self._item)
            except ConflictError as conflict:
                self._item = conflict.item
                self._sleep(_PAUSE_SECONDS * tries * self._rng.random())
            else:
                self._on_change(before, state, now)
                return answers
        raise TableUnavailableError("the limiter was changed by other executions all the time")


def _state(item: Item) -> LimiterState:
    return LimiterState(**{name: item[name] for name in _NAMES if name in item})
