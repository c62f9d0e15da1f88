"""The use case: ask the API when the key expires, at the call's turn."""

from dataclasses import dataclass
from typing import Protocol

from invitations import observability
from invitations.caller import Caller
from invitations.errors import DependencyUnavailableError
from invitations.expiry import Expiry, read_expiry
from invitations.models import Answered, CallOutcome, Status
from invitations.ports import Clock

_ABOUT = {"call": "GET /api_keys"}


class KeyList(Protocol):
    """Not among the ports, which the start of every function loads."""

    def list_keys(self, api_key: str) -> CallOutcome:
        """Ask once for the keys that are neither revoked nor expired, at most a hundred.

        Never raises for what the network or the API does.
        """


@dataclass(frozen=True, slots=True)
class KeyCheck:
    caller: Caller
    api: KeyList
    clock: Clock

    def check(self, deadline: float) -> Expiry:
        """Find out when the key expires, or why that is not known, and write it to the log.

        Ends by `deadline` (epoch seconds). Never raises for what the API, the table or the secret
        does: the next day brings another check.
        """
        try:
            expiry = self._ask(deadline)
        except DependencyUnavailableError as error:
            observability.log_dependency(_ABOUT, error)
            expiry = Expiry(reason=error.cause)
        observability.log_key_check(expiry)
        return expiry

    def _ask(self, deadline: float) -> Expiry:
        # Without a key, no place among the calls is taken from others.
        api_key = self.caller.keys.current()
        cause = self._wait_for_turn(deadline)
        if cause is not None:
            return Expiry(reason=cause)
        verdict, _, outcome = self.caller.call(self.api.list_keys, api_key, deadline, _ABOUT)
        if isinstance(outcome, Answered) and outcome.http_status == 200:
            return read_expiry(outcome.body, self.clock())
        reason = verdict.reason
        if verdict.status is Status.REJECTED:
            # What these statuses say of a user they do not say of a list.
            reason = "key_list_refused"
        elif verdict.status is not None:
            reason = "key_list_unreadable"
        return Expiry(reason=reason, http_status=verdict.http_status)

    def _wait_for_turn(self, deadline: float) -> str | None:
        """Why there is none in time, or None when the call may leave."""
        while True:
            admission = self.caller.admit(1)
            if any(self.caller.may_leave(leaves_at) for leaves_at in admission.leave_at):
                return None
            wait_seconds = max([0, *(each - self.clock() for each in admission.return_at)])
            if not self.caller.has_time(deadline - wait_seconds):
                return admission.cause or "paused"
            self.caller.sleep(wait_seconds)
