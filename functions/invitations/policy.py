"""The rules for the end of a request and for the window. No AWS, no clock.

Times are epoch seconds.
"""

from dataclasses import dataclass
from typing import NamedTuple

from jmespath.parser import ParsedResult

from invitations.ledger import UserRecord
from invitations.outcomes import Email, Outcome
from invitations.requests import Request
from invitations.results import Reason, Status

# A server may act on a call that its caller has given up. After such a call the window is longer by
# this time or by its own length, whichever is less.
_LATE_ACTION_SECONDS = 60.0
_DAY_SECONDS = 86_400.0


class End(NamedTuple):
    """How a request ends."""

    status: Status
    reason: Reason


@dataclass(frozen=True)
class Policy:
    """The rules that stack parameters configure."""

    window_seconds: float
    max_attempts: int
    user_daily_limit: int
    user_id_path: ParsedResult
    call_budget_seconds: float
    """Time that an execution must have left when it begins a call."""

    @property
    def unknown_window_seconds(self) -> float:
        """The length of the window after a call whose outcome is unknown."""
        return self.window_seconds + min(self.window_seconds, _LATE_ACTION_SECONDS)

    def end_without_call(self, request: Request, user: UserRecord, now: float) -> End | None:
        """Return how the request ends if it needs no call, else None."""
        user, state = user.with_open_claim_counted(), request.state
        if request.is_over(now):
            return End(Status.FAILED, Reason.DEADLINE_PASSED)
        if user.active_window(now) is not None:
            return End(Status.SKIPPED, Reason.WINDOW_ACTIVE)
        if state.criteria is not None and (
            state.unknown_outcomes or user.not_due(state.criteria, now)
        ):
            return End(Status.SKIPPED, Reason.NOT_DUE)
        if user.exceeds(self.user_daily_limit, now):
            return End(Status.SKIPPED, Reason.DAILY_LIMIT)
        if state.counted_attempts >= self.max_attempts:
            return End(Status.FAILED, Reason.ATTEMPTS_EXHAUSTED)
        return None

    def end_after_call(self, request: Request, outcome: Outcome) -> End | None:
        """Return how the request ends after a call, else None; its state counts the call."""
        if outcome.status is not None and outcome.reason is not None:
            return End(outcome.status, outcome.reason)
        if request.state.criteria is not None and outcome.email == Email.UNKNOWN:
            # The next sweep looks at the user again.
            return End(Status.SKIPPED, Reason.NOT_DUE)
        if outcome.counts and request.state.counted_attempts >= self.max_attempts:
            return End(Status.FAILED, Reason.ATTEMPTS_EXHAUSTED)
        return None

    def window_after(self, outcome: Outcome) -> float | None:
        """Return the end of the window after a call; None when no e-mail can have gone out."""
        if outcome.emailed_at is None:
            return None
        if outcome.email == Email.YES:
            return outcome.emailed_at + self.window_seconds
        return outcome.emailed_at + self.unknown_window_seconds

    def wait_after_unknown_seconds(self, request: Request) -> float:
        """Return the wait after an unknown outcome: it doubles each time, up to a day."""
        doublings = min(max(request.state.unknown_outcomes - 1, 0), 20)
        return min(self.window_seconds * 2.0**doublings, max(self.window_seconds, _DAY_SECONDS))
