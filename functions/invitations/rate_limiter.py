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
from invitations.observability import log_limiter
from invitations.outcomes import Cause, Outcome
from invitations.results import Reason
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
    ) -> None:
        self._table = table
        self._quota = Quota(per_minute)
        self._clock = clock
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311  # spreads waits, guards nothing
        self._batcher: Batcher[Change, Any] = Batcher(self._write, size=100)
        self._has_failures = False

    def take_token(self, pace: Pace, *, has_appointment: bool = False) -> Token | Wait:
        """Take a token for one call, or return when to come back."""

        def change(state: LimiterState, now: float) -> tuple[LimiterState, Token | Wait]:
            return state.take_token(self._quota, pace, now, has_appointment=has_appointment)

        answer: Token | Wait = self._batcher.submit(change)
        if isinstance(answer, Token) or answer.has_appointment:
            return answer
        # Spread the return times, so that thousands of messages do not return together.
        if answer.cause == Cause.OPERATOR:
            return replace(answer, until=answer.until + self._rng.uniform(*_OPERATOR_SECONDS))
        return replace(answer, until=answer.until + self._rng.uniform(1, _SPREAD_SECONDS))

    def wait_for(self, token: Token) -> bool:
        """Wait for a token's time; return whether the call may begin then."""
        wait_seconds = token.leaves_at - self._clock()
        if wait_seconds > 0:
            self._sleep(wait_seconds)
            # A pause may have begun since the token was taken.
            if self.is_paused():
                return False
        return self._clock() <= token.leaves_at + MAX_LATENESS_SECONDS

    def is_paused(self) -> bool:
        """Return whether calls are paused now."""
        return self._clock() < _state(self._table.read([_KEY])[0]).paused_until

    def report(self, outcome: Outcome) -> None:
        """Change the shared state by what an outcome says of the API."""
        is_good = not outcome.is_outage and outcome.cause not in (
            Cause.THROTTLED,
            Cause.UNAUTHORIZED,
        )
        # Without failures before, a success changes nothing: it needs no write.
        if is_good and outcome.reason != Reason.FORBIDDEN and not self._has_failures:
            return
        self._batcher.submit(lambda state, now: (state.after(outcome, now), None))

    def key_replaced(self) -> None:
        """End the pause after a refused key."""
        self._batcher.submit(lambda state, now: (state.recovered(now), None))

    def _write(self, changes: Sequence[Change]) -> Sequence[Any]:
        # Read for each write rather than keep the latest item: a failed write costs five reads.
        item = self._table.read([_KEY])[0]
        for tries in range(_TRIES):
            before, now = _state(item), self._clock()
            state, answers = before, []
            for change in changes:
                state, answer = change(state, now)
                answers.append(answer)
            self._has_failures = bool(state.failures or state.forbidden)
            if state == before:
                return answers
            try:
                self._table.write(_KEY, vars(state), item)
            except ConflictError as conflict:
                item = conflict.item
                self._sleep(_PAUSE_SECONDS * tries * self._rng.random())
            else:
                log_limiter(before, state, now)
                return answers
        raise TableUnavailableError("the limiter was changed by other executions all the time")


def _state(item: Item) -> LimiterState:
    return LimiterState(**{name: item[name] for name in _NAMES if name in item})
