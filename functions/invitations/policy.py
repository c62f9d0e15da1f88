"""The rules for the end of a request and for the window. No AWS, no clock.

Times are epoch seconds.
"""

from dataclasses import dataclass

from jmespath.parser import ParsedResult

from invitations.ledger import CLOCK_SKEW_SECONDS, UserRecord
from invitations.outcomes import Outcome
from invitations.requests import Request
from invitations.results import Reason, Status

# A server may act on a call that its caller has given up. After such a call the window is longer by
# this time or by its own length, whichever is less.
_LATE_ACTION_SECONDS = 60.0
_DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class Policy:
    """The rules that stack parameters configure."""

    window_seconds: float
    max_attempts: int
    user_daily_limit: int
    user_id_path: ParsedResult

    @property
    def unknown_window_seconds(self) -> float:
        """The length of the window after a call whose outcome is unknown."""
        return self.window_seconds + min(self.window_seconds, _LATE_ACTION_SECONDS)

    def end_without_call(self, request: Request, user: UserRecord, now: float) -> Reason | None:
        """Return why the request ends if it needs no call, else None."""
        user, state = user.with_open_claim_counted(), request.state
        if request.is_over(now):
            return Reason.DEADLINE_PASSED
        if user.active_window(now) is not None:
            return Reason.WINDOW_ACTIVE
        if state.max_invites is not None and (
            state.unknown_outcomes or user.not_due(state.max_invites, state.min_age_seconds, now)
        ):
            return Reason.NOT_DUE
        latest = [at for at in user.invited_at if at > now - _DAY_SECONDS]
        if 0 < self.user_daily_limit <= len(latest):
            return Reason.DAILY_LIMIT
        if state.counted_attempts >= self.max_attempts:
            return Reason.ATTEMPTS_EXHAUSTED
        return None

    def end_after_call(self, request: Request, outcome: Outcome) -> Reason | None:
        """Return why the request ends after a call, else None; its state counts the call."""
        if outcome.reason is not None:
            return outcome.reason
        if request.state.max_invites is not None and outcome.is_unknown:
            # The next sweep looks at the user again.
            return Reason.NOT_DUE
        if outcome.counts and request.state.counted_attempts >= self.max_attempts:
            return Reason.ATTEMPTS_EXHAUSTED
        return None

    def window_after(self, outcome: Outcome) -> float | None:
        """Return the end of the window after a call; None when no e-mail can have gone out."""
        if outcome.emailed_at is None:
            return None
        if outcome.status == Status.SENT:
            return outcome.emailed_at + self.window_seconds
        return outcome.emailed_at + self.unknown_window_seconds

    def wait_after_unknown_seconds(self, request: Request) -> float:
        """Return the wait after an unknown outcome: the window, doubled each time up to a day."""
        doublings = min(request.state.unknown_outcomes - 1, 20)
        return max(
            self.unknown_window_seconds + CLOCK_SKEW_SECONDS,
            min(self.window_seconds * 2.0**doublings, _DAY_SECONDS),
        )
