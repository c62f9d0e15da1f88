"""When a request ends, and how long a window is: the rules that need no AWS and no clock.

Times are epoch seconds.
"""

from dataclasses import dataclass

from jmespath.parser import ParsedResult

from invitations.ledger import UserRecord
from invitations.messages import RetryState
from invitations.outcomes import Email, Outcome
from invitations.requests import Request
from invitations.results import Reason, Status

# A server may act on a call that its caller has given up: after one, the window is held for longer,
# by this or by the window again, whichever is less.
_LATE_ACTION_SECONDS = 60.0
_DAY_SECONDS = 86_400.0

End = tuple[Status, Reason]


@dataclass(frozen=True)
class Policy:
    """What the deployer chose."""

    window_seconds: float
    max_attempts: int
    user_daily_limit: int
    user_id_path: ParsedResult
    call_budget_seconds: float
    """What must be left of an execution before it begins a call."""

    @property
    def unknown_window_seconds(self) -> float:
        """The window after a call without an answer."""
        return self.window_seconds + min(self.window_seconds, _LATE_ACTION_SECONDS)

    def end_without_call(
        self, request: Request, state: RetryState, user: UserRecord, now: float
    ) -> End | None:
        """How the request ends if it needs no call."""
        user = user.with_open_claim_counted()
        if request.not_after is not None and now > request.not_after:
            return Status.FAILED, Reason.DEADLINE_PASSED
        if user.active_window(now) is not None:
            return Status.SKIPPED, Reason.WINDOW_ACTIVE
        if state.criteria is not None and (
            state.unknown_outcomes or user.not_due(state.criteria, now)
        ):
            return Status.SKIPPED, Reason.NOT_DUE
        if user.exceeds(self.user_daily_limit, now):
            return Status.SKIPPED, Reason.DAILY_LIMIT
        if state.counted_attempts >= self.max_attempts:
            return Status.FAILED, Reason.ATTEMPTS_EXHAUSTED
        return None

    def end_after_call(self, outcome: Outcome, state: RetryState) -> End | None:
        """How the request ends after a call, if it does; `state` counts the call."""
        if outcome.status is not None and outcome.reason is not None:
            return outcome.status, outcome.reason
        if state.criteria is not None and outcome.email == Email.UNKNOWN:
            # The next sweep looks at the user again.
            return Status.SKIPPED, Reason.NOT_DUE
        if outcome.counts and state.counted_attempts >= self.max_attempts:
            return Status.FAILED, Reason.ATTEMPTS_EXHAUSTED
        return None

    def window_after(self, outcome: Outcome) -> float | None:
        """When the window ends after a call; None when no e-mail can have gone out."""
        if outcome.ended_at is None:
            return None
        if outcome.email == Email.YES:
            return outcome.ended_at + self.window_seconds
        return outcome.ended_at + self.unknown_window_seconds

    def patience_seconds(self, state: RetryState) -> float:
        """How long to wait after a call without an answer: twice as long each time, up to a day."""
        doublings = min(max(state.unknown_outcomes - 1, 0), 20)
        return min(self.window_seconds * 2.0**doublings, max(self.window_seconds, _DAY_SECONDS))
