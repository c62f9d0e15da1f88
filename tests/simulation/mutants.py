"""Faults that a hand might put into the functions, each of which must be noticed.

`make mutants` lists them with what notices each: the simulation's violation, or a unit test where
the fault breaks no promise that the simulation judges.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from invitations import observability, rate_limiter, reinvite
from invitations.api_key import ApiKeys
from invitations.errors import QueueUnavailableError
from invitations.exits import Exits
from invitations.ledger import Claim, Known, Ledger, UserRecord
from invitations.messages import Deferred, Ending, RetryState
from invitations.outcomes import Answered, Cause, Email, Outcome, Response, judge
from invitations.policy import Policy
from invitations.rate_limiter import RateLimiter
from invitations.results import Result
from invitations.table import Item, Key
from tests.fakes import World
from tests.memory_table import InMemoryTable
from tests.simulation.machine import HISTORY_STEPS, Simulation
from tests.unit import test_reinvite_once as once
from tests.unit import test_reinvite_orders as orders
from tests.unit import test_reinvite_outages as outages
from tests.unit import test_reinvite_outcomes as outcomes
from tests.unit import test_reinvite_rules as rules

MOST_HISTORIES = 2_000

Patch = Callable[[pytest.MonkeyPatch], None]


def silence(patch: pytest.MonkeyPatch) -> None:
    """Write no log and no metrics."""
    patch.setattr(observability.logger, "info", lambda *_, **__: None)
    patch.setattr(observability.logger, "warning", lambda *_, **__: None)
    patch.setattr(observability.logger, "error", lambda *_, **__: None)
    patch.setattr(observability, "count", lambda *_, **__: None)
    patch.setattr(observability, "count_by", lambda *_, **__: None)


def window_not_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(UserRecord, "active_window", lambda self, now: None)


def window_compared_without_skew(patch: pytest.MonkeyPatch) -> None:
    def active_window(self: UserRecord, now: float) -> float | None:
        return self.window_ends_at if self.window_ends_at > now else None

    patch.setattr(UserRecord, "active_window", active_window)


def window_held_from_the_claim(patch: pytest.MonkeyPatch) -> None:
    real = Ledger.claim

    def claim(
        self: Ledger, user_id: str, seen: UserRecord, claim: Claim, hold_until: float
    ) -> UserRecord | None:
        return real(self, user_id, seen, claim, hold_until - 60)

    patch.setattr(Ledger, "claim", claim)


def window_freed_without_an_answer(patch: pytest.MonkeyPatch) -> None:
    real = Policy.window_after

    def window_after(self: Policy, outcome: Outcome) -> float | None:
        return None if outcome.http_status is None else real(self, outcome)

    patch.setattr(Policy, "window_after", window_after)


def window_freed_after_a_server_error(patch: pytest.MonkeyPatch) -> None:
    def judge_as_sure(response: Response) -> Outcome:
        outcome = judge(response)
        if isinstance(response, Answered) and outcome.email == Email.UNKNOWN:
            return replace(outcome, email=Email.NO, ended_at=None)
        return outcome

    patch.setattr(reinvite, "judge", judge_as_sure)


def window_not_held_longer_after_an_unknown_outcome(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Policy, "unknown_window_seconds", property(lambda self: self.window_seconds))


def written_on_any_revision(patch: pytest.MonkeyPatch) -> None:
    real = InMemoryTable.write

    def write(self: InMemoryTable, key: Key, item: Item, seen: Item) -> Item:
        return real(self, key, item, self.items.get(key, {}))

    patch.setattr(InMemoryTable, "write", write)


def any_claim_ended(patch: pytest.MonkeyPatch) -> None:
    real = Ledger.end_claim

    def end_claim(self: Ledger, user_id: str, claim_id: str, *args: Any, **options: Any) -> None:
        user = self.read(user_id, "").user
        claim_id = user.claim.claim_id if user.claim else claim_id
        real(self, user_id, claim_id, user, *args[1:], **options)

    patch.setattr(Ledger, "end_claim", end_claim)


def ending_not_read_after_the_claim(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "read_ending", lambda *_: Known(UserRecord(), None))


def open_claim_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(UserRecord, "with_open_claim_counted", lambda self: replace(self, claim=None))


def unknown_outcome_not_counted(patch: pytest.MonkeyPatch) -> None:
    real = UserRecord.invited

    def invited(self: UserRecord, at: float, *, sent: bool) -> UserRecord:
        return real(self, at, sent=True) if sent else self

    patch.setattr(UserRecord, "invited", invited)


def daily_limit_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(UserRecord, "exceeds", lambda *_: False)


def result_not_stored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "save", lambda self, user_id, ending, *_: ending)


def stored_result_not_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ending, "answers", lambda *_: False)


def known_sent_replaces_nothing(patch: pytest.MonkeyPatch) -> None:
    real = Ledger.save

    def save(self: Ledger, user_id: str, ending: Ending, *args: Any) -> Ending:
        stored = self.read_ending(user_id, ending.result.request_id).ending
        return stored or real(self, user_id, ending, *args)

    patch.setattr(Ledger, "save", save)


def skip_not_stored(patch: pytest.MonkeyPatch) -> None:
    real = Ledger.save

    def save(self: Ledger, user_id: str, ending: Ending, *args: Any) -> Ending:
        return ending if ending.claim_id is None else real(self, user_id, ending, *args)

    patch.setattr(Ledger, "save", save)


def result_published_before_it_is_saved(patch: pytest.MonkeyPatch) -> None:
    real = Exits.save

    def save(self: Exits, *args: Any) -> Result | Deferred:
        self.topic.publish(args[3].result)
        return real(self, *args)

    patch.setattr(Exits, "save", save)


def result_saved_after_the_limiter_is_told(patch: pytest.MonkeyPatch) -> None:
    real_save, real_publish = Exits.save, Exits.publish
    unsaved: list[Any] = []

    def save(self: Exits, *args: Any) -> Result:
        unsaved.append(args)
        result: Result = args[3].result
        return result

    def publish(self: Exits, message: Any, result: Any, *args: Any) -> Result | Deferred:
        while unsaved:
            result = real_save(self, *unsaved.pop())
        return real_publish(self, message, result, *args)

    patch.setattr(Exits, "save", save)
    patch.setattr(Exits, "publish", publish)


def claim_ended_before_the_result_is_saved(patch: pytest.MonkeyPatch) -> None:
    real = Exits.save

    def save(self: Exits, *args: Any) -> Result | Deferred:
        _, request, _, ending, _, claimed = args
        self.end_claim_of(ending, request, claimed)
        return real(self, *args)

    patch.setattr(Exits, "save", save)


def unsaved_result_waits_long(patch: pytest.MonkeyPatch) -> None:
    real = Exits.back_off

    def back_off(
        self: Exits, message: Any, request: Any, state: Any, cause: str, _: float = 0
    ) -> Deferred:
        return real(self, message, request, state, cause)

    patch.setattr(Exits, "back_off", back_off)


def acknowledged_before_it_is_deferred(patch: pytest.MonkeyPatch) -> None:
    real = Exits.defer

    def defer(self: Exits, message: Any, request: Any, *args: Any, **options: Any) -> Deferred:
        try:
            return real(self, message, request, *args, **options)
        except QueueUnavailableError:
            return Deferred(request.request_id, request.user_id, "queue_unavailable", 0)

    patch.setattr(Exits, "defer", defer)


def _deferred_with(patch: pytest.MonkeyPatch, change: Callable[[RetryState], RetryState]) -> None:
    real = Exits.defer

    def defer(self: Exits, *args: Any, **options: Any) -> Deferred:
        message, request, state, *others = args
        return real(self, message, request, change(state), *others, **options)

    patch.setattr(Exits, "defer", defer)


def deferred_under_a_new_request_id(patch: pytest.MonkeyPatch) -> None:
    _deferred_with(patch, lambda state: replace(state, request_id=state.request_id + "-again"))


def unsaved_result_not_carried(patch: pytest.MonkeyPatch) -> None:
    _deferred_with(patch, lambda state: replace(state, unsaved=None))


def retry_state_lost_on_a_hop(patch: pytest.MonkeyPatch) -> None:
    def forget(state: RetryState) -> RetryState:
        return RetryState(state.request_id, state.source, state.asked_at)

    _deferred_with(patch, forget)


def request_id_not_persisted(patch: pytest.MonkeyPatch) -> None:
    real = Exits.defer

    def defer(self: Exits, *args: Any, **options: Any) -> Deferred:
        if Cause.REQUEST_ID_PERSISTED in args:
            raise QueueUnavailableError("never written down")
        return real(self, *args, **options)

    patch.setattr(Exits, "defer", defer)


def own_window_taken_for_another(patch: pytest.MonkeyPatch) -> None:
    real = Ledger.read

    def read(self: Ledger, user_id: str, request_id: str) -> Known:
        known = real(self, user_id, request_id)
        return replace(known, user=replace(known.user, window_request_id=None))

    patch.setattr(Ledger, "read", read)


def failure_stops_a_redriven_request(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ending, "answers", lambda *_: True)


def criteria_ignored(patch: pytest.MonkeyPatch) -> None:
    real = Policy.end_without_call

    def end_without_call(self: Policy, request: Any, state: RetryState, *args: Any) -> Any:
        return real(self, request, replace(state, criteria=None), *args)

    patch.setattr(Policy, "end_without_call", end_without_call)


def sweep_request_repeated(patch: pytest.MonkeyPatch) -> None:
    real = Policy.end_after_call

    def end_after_call(self: Policy, outcome: Outcome, state: RetryState) -> Any:
        return real(self, outcome, replace(state, criteria=None))

    patch.setattr(Policy, "end_after_call", end_after_call)


def not_after_ignored(patch: pytest.MonkeyPatch) -> None:
    real = Policy.end_without_call

    def end_without_call(self: Policy, request: Any, *args: Any) -> Any:
        return real(self, replace(request, not_after=None), *args)

    patch.setattr(Policy, "end_without_call", end_without_call)


def attempts_not_limited(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RetryState, "counting", lambda self, outcome: self)


def patience_does_not_grow(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Policy, "patience_seconds", lambda self, _: self.window_seconds)


def token_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RateLimiter, "wait_for", lambda *_: True)


def late_token_used(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rate_limiter, "MAX_LATENESS_SECONDS", 60.0)


def pause_during_the_wait_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RateLimiter, "is_paused", lambda _: False)


def key_not_read_afresh(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ApiKeys, "replacement", lambda *_: None)


def refused_key_pauses_nobody(patch: pytest.MonkeyPatch) -> None:
    real = RateLimiter.report

    def report(self: RateLimiter, outcome: Outcome) -> None:
        if outcome.cause != Cause.UNAUTHORIZED:
            real(self, outcome)

    patch.setattr(RateLimiter, "report", report)


def large_order_not_bulk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reinvite, "MOST_AT_ONCE", 1_000)


def dead_letter_not_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Result, "goes_to_dead_letter_queue", property(lambda _: False))


@dataclass(frozen=True)
class Mutant:
    """One thing done wrong, and the unit test that notices it if the simulation does not."""

    patch: Patch
    test: Callable[..., None] | None = None

    @property
    def name(self) -> str:
        return self.patch.__name__.replace("_", " ")

    def noticed_by(self, most_histories: int = MOST_HISTORIES) -> str | None:
        """What the simulation or the unit test says of the mutant; None when nothing does."""
        with pytest.MonkeyPatch.context() as patch:
            silence(patch)
            self.patch(patch)
            if self.test is None:
                return _violation(most_histories)
            return self.test.__name__ if _fails(self.test) else None


MUTANTS = [
    Mutant(window_not_read),
    Mutant(window_compared_without_skew, outcomes.test_success_holds_window_from_answer),
    Mutant(window_held_from_the_claim),
    Mutant(window_freed_without_an_answer),
    Mutant(window_freed_after_a_server_error),
    Mutant(window_not_held_longer_after_an_unknown_outcome),
    Mutant(
        own_window_taken_for_another,
        rules.test_duplicate_of_request_with_unknown_outcome_waits_for_its_own_window,
    ),
    Mutant(written_on_any_revision),
    Mutant(any_claim_ended),
    Mutant(
        ending_not_read_after_the_claim,
        once.test_stalled_duplicate_finds_result_that_was_stored_after_it_had_read,
    ),
    Mutant(open_claim_not_counted),
    Mutant(unknown_outcome_not_counted),
    Mutant(daily_limit_ignored),
    Mutant(result_not_stored),
    Mutant(stored_result_not_believed),
    Mutant(
        known_sent_replaces_nothing,
        outages.test_unsaved_sent_replaces_failure_that_was_stored_meanwhile,
    ),
    Mutant(skip_not_stored),
    Mutant(result_published_before_it_is_saved, once.test_result_is_saved_before_it_is_published),
    Mutant(
        result_saved_after_the_limiter_is_told, once.test_result_is_saved_before_limiter_is_told
    ),
    Mutant(
        claim_ended_before_the_result_is_saved,
        once.test_claim_is_ended_after_the_result_is_saved,
    ),
    Mutant(unsaved_result_not_carried, outages.test_unsaved_result_travels_with_message),
    Mutant(unsaved_result_waits_long, outages.test_unsaved_result_returns_within_20_seconds),
    Mutant(acknowledged_before_it_is_deferred),
    Mutant(deferred_under_a_new_request_id),
    Mutant(retry_state_lost_on_a_hop, rules.test_hop_keeps_retry_state),
    Mutant(request_id_not_persisted, rules.test_first_redelivery_writes_request_id_down),
    Mutant(
        failure_stops_a_redriven_request,
        rules.test_redriven_request_gets_new_attempts_under_its_name,
    ),
    Mutant(criteria_ignored, rules.test_sweeps_request_is_skipped_when_user_was_invited_meanwhile),
    Mutant(
        sweep_request_repeated,
        rules.test_sweeps_request_with_unknown_outcome_is_skipped_and_not_repeated,
    ),
    Mutant(not_after_ignored, rules.test_request_past_not_after_fails_without_call),
    Mutant(attempts_not_limited, rules.test_death_during_call_counts_as_attempt),
    Mutant(
        patience_does_not_grow,
        rules.test_nth_unknown_outcome_is_followed_by_two_to_the_n_windows,
    ),
    Mutant(token_not_waited_for, once.test_waiting_token_is_waited_for),
    Mutant(late_token_used, once.test_expired_token_is_not_used),
    Mutant(
        pause_during_the_wait_ignored,
        once.test_pause_that_begins_while_token_is_waited_for_is_kept,
    ),
    Mutant(key_not_read_afresh, outcomes.test_replaced_key_is_read_afresh_and_tried_again),
    Mutant(refused_key_pauses_nobody, outcomes.test_second_refused_key_pauses_others),
    Mutant(large_order_not_bulk, orders.test_large_order_on_queue_goes_to_bulk_queue),
    Mutant(dead_letter_not_kept, rules.test_failed_message_is_kept_with_body_untouched_and_reason),
]


def _violation(most_histories: int) -> str | None:
    class MutatedSimulation(Simulation):
        """Hypothesis keeps what it knows of a machine by its class."""

    try:
        run_state_machine_as_test(
            MutatedSimulation,
            settings=settings(
                max_examples=most_histories,
                stateful_step_count=HISTORY_STEPS,
                deadline=None,
                derandomize=True,
                database=None,
                # Found is enough: the shortest history would take longer than the search.
                phases=[Phase.generate],
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            ),
        )
    except AssertionError as violation:
        return str(violation).splitlines()[0]
    return None


def _fails(test: Callable[..., None]) -> bool:
    try:
        test(*[World() for _ in signature(test).parameters])
    except (Exception, pytest.fail.Exception):  # noqa: BLE001  # a mutant may raise anything
        return True
    return False


def main() -> None:
    width = max(len(mutant.name) for mutant in MUTANTS)
    for mutant in MUTANTS:
        print(f"{mutant.name:{width}}  {(mutant.noticed_by() or 'NOT NOTICED')[:90]}")


if __name__ == "__main__":
    main()
