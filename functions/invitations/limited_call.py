"""Calls Partoo within the rate limit, at an event's pace: searches and the list of keys."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from invitations.calls import ApiCalls
from invitations.limiter_state import MAX_TOKEN_WAIT_SECONDS, Token, Wait
from invitations.messages import Pace
from invitations.outcomes import Cause, Outcome, Response

MAX_WAIT_SECONDS = 25.0
"""The longest that a search or a key check waits for a token, appointments included; instead of a
longer wait, `call` returns a `Wait`."""


@dataclass(frozen=True)
class LimitedCaller:
    calls: ApiCalls
    call_budget_seconds: float
    """Time that an execution must have left when it begins a call."""
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def call(
        self,
        name: str,
        call: Callable[[str], Response],
        fields: Mapping[str, object],
        deadline: float,
        *,
        has_appointment: bool = False,
        **annotations: str | int,
    ) -> tuple[Response, Outcome] | Wait:
        """Make a call with the API key, and a second one if the key was replaced.

        Returns when to come back if there is no token soon. Nothing runs after `deadline` (epoch
        seconds). Raises KeyUnavailableError, and TableUnavailableError when there can be no token.
        """
        give_up_at = min(
            deadline - self.call_budget_seconds - MAX_TOKEN_WAIT_SECONDS,
            self.clock() + MAX_WAIT_SECONDS,
        )
        api_key, is_first = self.calls.keys.current(), True
        while True:
            wait = self._wait_for_token(give_up_at, has_appointment=has_appointment)
            if wait is not None:
                return wait
            response, outcome = self.calls.make(name, partial(call, api_key), fields, **annotations)
            replacement = None
            if outcome.cause == Cause.UNAUTHORIZED and is_first:
                replacement = self.calls.replacement(api_key, fields)
            if replacement is None:
                # A refused list says nothing of invitations.
                self.calls.report(replace(outcome, reason=None), fields)
                return response, outcome
            api_key, is_first = replacement, False

    def _wait_for_token(self, give_up_at: float, *, has_appointment: bool) -> Wait | None:
        """Return None when the call may begin, or why it may not by `give_up_at`."""
        limiter = self.calls.limiter
        while self.clock() <= give_up_at:
            token = limiter.take_token(Pace.EVENT, has_appointment=has_appointment)
            if isinstance(token, Token):
                if limiter.wait_for(token):
                    return None
            elif token.until > give_up_at:
                return token
            else:
                self.sleep(max(token.until - self.clock(), 0))
                has_appointment = token.has_appointment
        return Wait(self.clock(), has_appointment=False, cause=Cause.TIME_BUDGET_EXHAUSTED)
