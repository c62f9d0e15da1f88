"""The steps that surround each call to the API, and calls that wait for their token.

reinvite.py takes the tokens of invitations; searches and the list of keys use `wait_and_make`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from invitations.api_key import ApiKeys
from invitations.errors import KeyUnavailableError, TableUnavailableError
from invitations.limiter_state import MAX_TOKEN_WAIT_SECONDS, Wait
from invitations.messages import Pace
from invitations.observability import log_call, log_dependency, traced_call
from invitations.outcomes import Cause, Outcome
from invitations.rate_limiter import RateLimiter

_MAX_WAIT_SECONDS = 25.0
"""The longest that a search or a key check waits for a token, appointments included."""


@dataclass(frozen=True)
class ApiCalls:
    limiter: RateLimiter
    keys: ApiKeys
    call_budget_seconds: float
    """Time that an execution must have left when it begins a call."""
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    def wait_and_make(
        self,
        name: str,
        call: Callable[[str], Outcome],
        deadline: float,
        *,
        has_appointment: bool = False,
    ) -> Outcome | Wait:
        """Take a token at an event's pace and make a call; make another if the key was replaced.

        Returns when to come back if there is no token soon. Nothing runs after `deadline` (epoch
        seconds). Raises KeyUnavailableError, and TableUnavailableError when there can be no token.
        """
        give_up_at = min(
            deadline - self.call_budget_seconds - MAX_TOKEN_WAIT_SECONDS,
            self.clock() + _MAX_WAIT_SECONDS,
        )
        while self.clock() <= give_up_at:
            api_key = self.keys.current()
            token = self.limiter.take_token(Pace.EVENT, has_appointment=has_appointment)
            if isinstance(token, Wait):
                if token.until > give_up_at:
                    return token
                # The first appointment of a line is earlier than its token.
                self.sleep(max(token.until - self.clock(), 1.0))
                has_appointment = token.has_appointment
            elif self.limiter.wait_for(token):
                outcome = self.make(name, partial(call, api_key))
                # A refused list says nothing of invitations.
                reported = self.report(replace(outcome, reason=None), api_key)
                if reported.cause != Cause.KEY_REPLACED:
                    return outcome
        return Wait(self.clock(), has_appointment=False, cause=Cause.TIME_BUDGET_EXHAUSTED)

    def make(self, name: str, call: Callable[[], Outcome]) -> Outcome:
        """Make a call and log it; the caller has a token."""
        began_at = self.clock()
        with traced_call(name):
            outcome = call()
        log_call(outcome, self.clock() - began_at)
        return outcome

    def report(self, outcome: Outcome, api_key: str) -> Outcome:
        """Share with all executions what an outcome says of the API and the key, and return it.

        The cause `unauthorized` becomes `key_replaced` if the secret has another key by now.
        """
        try:
            if outcome.cause == Cause.UNAUTHORIZED and self.keys.is_replaced(api_key):
                outcome = replace(outcome, cause=Cause.KEY_REPLACED)
        except KeyUnavailableError as error:
            log_dependency(error)
        try:
            self.limiter.report(outcome)
        except TableUnavailableError as error:
            # Other executions will observe the same failure.
            log_dependency(error)
        return outcome
