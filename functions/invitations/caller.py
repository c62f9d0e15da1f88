"""How every call to the API is made: at its turn, with the key of the day, and with what it taught
told to all executions."""

from collections.abc import Callable, Mapping

from invitations import observability
from invitations.errors import KeyUnavailableError, LedgerUnavailableError
from invitations.gate import Admission, Gate, Pace
from invitations.models import CallOutcome, Verdict, judge
from invitations.ports import ApiKeys, Clock, GateKeeper

Call = Callable[[str], CallOutcome]
"""Makes one call with a key."""


class Caller:
    """`call_budget_seconds`: what a call and what belongs to it need at worst.

    With less left none is begun.
    """

    def __init__(
        self,
        gate: GateKeeper,
        keys: ApiKeys,
        clock: Clock,
        sleep: Callable[[float], None],
        pace: Pace,
        call_budget_seconds: float,
    ) -> None:
        self.gate = gate
        self.keys = keys
        self.clock = clock
        self.sleep = sleep
        self.pace = pace
        self.call_budget_seconds = call_budget_seconds

    def has_time(self, deadline: float) -> bool:
        return deadline - self.clock() >= self.call_budget_seconds

    def admit(self, calls: int) -> Admission:
        """Raises LedgerUnavailableError."""
        now = self.clock()
        return self.gate.change(lambda gate: gate.admit(self.pace, calls, now))

    def may_leave(self, leaves_at: float) -> bool:
        """Wait for the burst; whether the gate is still open by then.

        Raises LedgerUnavailableError.
        """
        wait_seconds = leaves_at - self.clock()
        if wait_seconds <= 0:
            return True
        self.sleep(wait_seconds)
        return not self.gate.read().is_closed_to_others(self.clock())

    def call(
        self, call: Call, api_key: str, deadline: float, about: Mapping[str, object]
    ) -> tuple[Verdict, int, CallOutcome]:
        """Make one call, or two when the key turns out to have been replaced meanwhile.

        Returns what the last one means, how many were made, and what came of the last.
        """
        asked_at = self.clock()
        verdict, outcome = self._call_once(call, api_key, about)
        if verdict.http_status != 401:
            self._tell_gate(verdict)
            return verdict, 1, outcome
        try:
            fresh_key = self.keys.refreshed(since=asked_at)
        except KeyUnavailableError as error:
            observability.log_dependency(about, error)
            fresh_key = api_key
        if fresh_key == api_key:
            self._change_gate(lambda gate: gate.refuse_key(self.clock()))
            return verdict, 1, outcome
        self._change_gate(Gate.succeed)
        if not self.has_time(deadline) or not self._finds_another_place():
            return verdict, 1, outcome
        verdict, outcome = self._call_once(call, fresh_key, about)
        if verdict.http_status == 401:
            self._change_gate(lambda gate: gate.refuse_key(self.clock()))
        else:
            self._tell_gate(verdict)
        return verdict, 2, outcome

    def _call_once(
        self, call: Call, api_key: str, about: Mapping[str, object]
    ) -> tuple[Verdict, CallOutcome]:
        began_at = self.clock()
        outcome = call(api_key)
        observability.log_call(about, outcome, self.clock() - began_at)
        return judge(outcome), outcome

    def _finds_another_place(self) -> bool:
        try:
            return any(self.may_leave(leaves_at) for leaves_at in self.admit(1).leave_at)
        except LedgerUnavailableError:
            return False

    def _tell_gate(self, verdict: Verdict) -> None:
        """Let everybody know of a pause or an outage, as soon as one call knows."""
        now = self.clock()
        if verdict.retry_after_seconds is not None:
            until = now + verdict.retry_after_seconds
            self._change_gate(lambda gate: gate.pause(until))
        elif verdict.is_outage:
            self._change_gate(lambda gate: gate.fail(now))
        elif self.gate.last_known.is_troubled:
            self._change_gate(Gate.succeed)

    def _change_gate(self, event: Callable[[Gate], Gate]) -> None:
        def change(gate: Gate) -> tuple[Gate, tuple[Gate, Gate]]:
            changed = event(gate)
            return changed, (gate, changed)

        try:
            before, after = self.gate.change(change)
        except LedgerUnavailableError as error:
            # The others will learn it from calls of their own.
            observability.log_gate_unavailable(error)
        else:
            observability.log_gate(before, after)
