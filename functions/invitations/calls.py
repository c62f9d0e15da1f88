"""The steps that surround each call to the API: trace, log, judge, report, read the key afresh."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from invitations.api_key import ApiKeys
from invitations.errors import KeyUnavailableError, TableUnavailableError
from invitations.observability import log_call, log_dependency, traced_call
from invitations.outcomes import Outcome, Response, judge
from invitations.rate_limiter import RateLimiter


@dataclass(frozen=True)
class ApiCalls:
    limiter: RateLimiter
    keys: ApiKeys
    clock: Callable[[], float] = time.time

    def make(
        self,
        name: str,
        call: Callable[[], Response],
        fields: Mapping[str, object],
        **annotations: str | int,
    ) -> tuple[Response, Outcome]:
        """Make a call and log it with `fields`; the caller has a token."""
        began_at = self.clock()
        with traced_call(name, **annotations) as note:
            response = call()
            note(response)
        log_call(fields, response, self.clock() - began_at)
        return response, judge(response)

    def report(self, outcome: Outcome, fields: Mapping[str, object]) -> None:
        """Share with all executions what an outcome says of the API."""
        try:
            self.limiter.report(outcome)
        except TableUnavailableError as error:
            # Other executions will observe the same failure.
            log_dependency(fields, error)

    def replacement(self, refused: str, fields: Mapping[str, object]) -> str | None:
        """Read the key afresh; return it, and end the pause, if it is not the refused one."""
        try:
            replacement = self.keys.replacement(refused)
            if replacement is not None:
                self.limiter.key_replaced()
        except KeyUnavailableError as error:
            log_dependency(fields, error)
            return None
        except TableUnavailableError as error:
            log_dependency(fields, error)
        return replacement
