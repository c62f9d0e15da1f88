"""Calls Partoo within the rate limit: searches and lists of keys, each as an event.

The key is read afresh once after a 401, and all executions learn of pauses and outages.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from invitations.api_key import ApiKeys
from invitations.errors import KeyUnavailableError, TableUnavailableError
from invitations.limiter_state import WAIT_SECONDS, Token, Wait
from invitations.messages import Pace
from invitations.observability import log_call, log_dependency, traced_call
from invitations.outcomes import Cause, Outcome, Response, judge
from invitations.rate_limiter import RateLimiter

MAX_WAIT_SECONDS = 25.0
"""For a token, inside an execution; a longer wait is the caller's to spend elsewhere."""


@dataclass(frozen=True)
class LimitedCaller:
    limiter: RateLimiter
    keys: ApiKeys
    call_budget_seconds: float
    """What must be left of an execution before it begins a call."""
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def call(
        self,
        name: str,
        call: Callable[[str], Response],
        about: Mapping[str, object],
        deadline: float,
        *,
        has_appointment: bool = False,
        **annotations: str | int,
    ) -> tuple[Response, Outcome] | Wait:
        """Make a call with the API key, and a second one if the key was replaced.

        Returns when to come back if there is no token soon. Nothing runs after `deadline` (epoch
        seconds). Raises KeyUnavailableError, and TableUnavailableError when there can be no token.
        """
        give_up_at = deadline - self.call_budget_seconds - WAIT_SECONDS
        give_up_at = min(give_up_at, self.clock() + MAX_WAIT_SECONDS)
        api_key, is_first = self.keys.current(), True
        while True:
            wait = self._wait_for_token(give_up_at, has_appointment=has_appointment)
            if wait is not None:
                return wait
            began_at = self.clock()
            with traced_call(name, **annotations) as note:
                response = call(api_key)
                note(response)
            log_call(about, response, self.clock() - began_at)
            outcome, replacement = judge(response), None
            if outcome.cause == Cause.UNAUTHORIZED and is_first:
                try:
                    replacement = self.keys.replacement(api_key)
                except KeyUnavailableError as error:
                    log_dependency(about, error)
            try:
                if replacement is None:
                    self.limiter.report(outcome)
                else:
                    self.limiter.key_replaced()
            except TableUnavailableError as error:
                # Other executions find it out by calls of their own.
                log_dependency(about, error)
            if replacement is None:
                return response, outcome
            api_key, is_first = replacement, False

    def _wait_for_token(self, give_up_at: float, *, has_appointment: bool) -> Wait | None:
        """Return None when the call may begin, or why it may not by `give_up_at`."""
        while self.clock() <= give_up_at:
            token = self.limiter.admit(Pace.EVENT, has_appointment=has_appointment)
            if isinstance(token, Token):
                if self.limiter.wait_for(token):
                    return None
            elif token.until > give_up_at:
                return token
            else:
                self.sleep(max(token.until - self.clock(), 0))
                has_appointment = token.has_appointment
        return Wait(self.clock(), has_appointment=False, cause=Cause.TIME_BUDGET_EXHAUSTED)
