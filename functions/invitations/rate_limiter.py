"""The rate limiter: one DynamoDB item holds its state for all executions (limiter_state.py)."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from invitations.batcher import Batcher
from invitations.errors import TableUnavailableError
from invitations.limiter_state import MAX_LATENESS_SECONDS, LimiterState, Quota, Token, Wait
from invitations.messages import Pace
from invitations.observability import log_limiter
from invitations.outcomes import Cause, Outcome
from invitations.results import Status, known_fields
from invitations.table import ConflictError, Item, Key, Table

# After so many conflicts the request is deferred.
_TRIES = 20

Change = Callable[[LimiterState, float], tuple[LimiterState, Any]]

_KEY: Key = ("LIMITER", "LIMITER")


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
        self._batcher: Batcher[Change, Any] = Batcher(self._write, 100, sleep)
        self._has_failures = False

    def take_token(self, pace: Pace, *, has_appointment: bool = False) -> Token | Wait:
        """Take a token for one call, or return when to come back."""
        answer: Token | Wait = self._batcher.submit(
            lambda state, now: state.take_token(
                self._quota, pace, now, has_appointment=has_appointment
            )
        )
        if isinstance(answer, Token) or answer.has_appointment:
            return answer
        # Spread the return times, so that thousands of messages do not return together.
        seconds = (600.0, 900.0) if answer.cause == Cause.OPERATOR else (1.0, 60.0)
        return replace(answer, until=answer.until + self._rng.uniform(*seconds))

    def wait_for(self, token: Token) -> bool:
        """Wait for a token's time; return whether the call may begin then."""
        wait_seconds = token.leaves_at - self._clock()
        if wait_seconds > 0:
            self._sleep(wait_seconds)
            # A pause may have begun since the token was taken.
            state = _state(self._table.read([_KEY])[0])
            if self._clock() < state.paused_until:
                return False
        return self._clock() <= token.leaves_at + MAX_LATENESS_SECONDS

    def report(self, outcome: Outcome) -> None:
        """Change the shared state by what an outcome says of the API."""
        # Without failures before, a success changes nothing.
        if outcome.status != Status.SENT or self._has_failures:
            self._batcher.submit(lambda state, now: (state.after(outcome, now), None))

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
                self._sleep(0.01 * tries * self._rng.random())
            else:
                log_limiter(before, state, now)
                return answers
        raise TableUnavailableError("the limiter was changed by other executions all the time")


def _state(item: Item) -> LimiterState:
    return LimiterState(**known_fields(LimiterState, item))
