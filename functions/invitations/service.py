"""The use case: one request, at most one e-mail, one result. Only this file decides the order.

Each step is placed so that a crash after it loses nothing: the window is taken before the call,
the result is recorded before it is published, a copy is on the queue before the message is
acknowledged.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jmespath.parser import ParsedResult

from invitations import observability
from invitations.envelopes import read_progress, read_request
from invitations.errors import (
    DependencyUnavailableError,
    InvalidRequestError,
    KeyUnavailableError,
    LedgerUnavailableError,
)
from invitations.models import (
    CLOCK_SKEW_SECONDS,
    MAX_DELAY_SECONDS,
    AlreadyAnswered,
    AttemptsBehind,
    Claim,
    ConclusionRefusal,
    Delivery,
    InProgress,
    OnActiveWindow,
    Progress,
    Queued,
    Request,
    RequestIdReused,
    Result,
    Status,
    Tally,
    Unrecorded,
    Verdict,
    WindowActive,
    answer_invalid,
    answer_request,
    backoff_seconds,
    judge,
)
from invitations.ports import ApiKeys, Clock, InvitationApi, Ledger, RequestQueue, ResultTopic

# Doublings of the shortest wait, for what must not wait long.
_SOON = 2


@dataclass(frozen=True, slots=True)
class Policy:
    """What the deployer chose."""

    invite_window_seconds: float
    max_attempts: int
    call_budget_seconds: float
    """Time that a claim, a call and its record need at worst; with less left none is begun."""
    user_id_path: ParsedResult


@dataclass(frozen=True, slots=True)
class _Errand:
    """A request on its way: the message that brought it, and what is known of it."""

    delivery: Delivery
    request: Request
    progress: Progress

    @property
    def life_id(self) -> str:
        return self.progress.life_id or self.delivery.delivery_id

    @property
    def tally(self) -> Tally:
        return self.progress.tally


@dataclass(frozen=True, slots=True)
class ReinviteService:
    ledger: Ledger
    api: InvitationApi
    keys: ApiKeys
    topic: ResultTopic
    queue: RequestQueue
    clock: Clock
    new_id: Callable[[], str]
    dice: random.Random
    policy: Policy

    def reinvite(self, delivery: Delivery, deadline: float) -> Result | Queued:
        """Carry a message's request as far as it gets before `deadline` (epoch seconds).

        When this returns, the message may be acknowledged: its result is published, or a copy
        of it is on the queue. Raises DependencyUnavailableError when neither could be done.
        """
        try:
            progress = read_progress(delivery.notes)
            request = read_request(delivery, progress, self.policy.user_id_path)
        except InvalidRequestError as error:
            return self._refuse(delivery, error)
        errand = _Errand(delivery, request, _pinned(progress, request, delivery.delivery_id))
        try:
            return self._carry_out(errand, deadline)
        except InvalidRequestError as error:
            error.about(request.request_id, request.correlation_id, request.source)
            return self._refuse(delivery, error)
        except LedgerUnavailableError as error:
            return self._back_off(errand, error)

    def _carry_out(self, errand: _Errand, deadline: float) -> Result | Queued:
        if errand.progress.unrecorded is not None:
            return self._finish(errand, errand.progress.unrecorded)
        if self._identity_would_be_lost(errand):
            return self._defer(errand, "identity_pinned", 0)
        failure = self._reason_to_give_up(errand)
        if failure is not None:
            return self._conclude(errand, Status.FAILED, failure, deadline)
        if not self._has_time_for_a_call(deadline):
            return self._defer(errand, "no_time_left", 0)
        try:
            api_key = self.keys.current()
        except KeyUnavailableError as error:
            return self._back_off(errand, error)
        return self._claim_and_call(errand, api_key, deadline)

    def _claim_and_call(self, errand: _Errand, api_key: str, deadline: float) -> Result | Queued:
        claim = Claim(self.new_id(), errand.request.request_id, errand.request.user_id)
        # Nothing of this execution runs after its deadline, so a call under this claim cannot
        # come later than that either: if it dies, the window is held from then.
        refusal = self.ledger.claim(
            claim,
            life_id=errand.life_id,
            tally=errand.tally,
            now=self.clock(),
            hold_until=deadline + self.policy.invite_window_seconds,
        )
        match refusal:
            case None:
                return self._call_and_record(errand, claim, api_key, deadline)
            case WindowActive(ends_at) if errand.request.on_active_window is OnActiveWindow.DEFER:
                return self._defer_until(errand, "window_active", ends_at)
            case WindowActive(ends_at):
                return self._conclude(
                    errand, Status.SKIPPED, "window_active", deadline, window_ends_at=ends_at
                )
            case _:
                return self._yield_to_record(errand, refusal, deadline)

    def _call_and_record(
        self, errand: _Errand, claim: Claim, api_key: str, deadline: float
    ) -> Result | Queued:
        verdict, calls = self._call(errand, api_key, deadline)
        pardons = calls if verdict.pardoned else calls - 1
        tally = Tally(errand.tally.attempts + calls, errand.tally.pardons + pardons)
        errand = _with(errand, tally=tally, http_status=verdict.http_status)
        status, reason = verdict.status, verdict.reason
        if status is None and tally.strikes >= self.policy.max_attempts:
            status, reason = Status.FAILED, "attempts_exhausted"
        window_ends_at = self._window_end(verdict)
        if status is None:
            return self._give_up_for_now(errand, claim, verdict, window_ends_at)
        answered_at = self.clock() if verdict.held_from is None else verdict.held_from
        result = answer_request(
            errand.request,
            status,
            reason,
            occurred_at=answered_at,
            attempts=tally.attempts,
            http_status=verdict.http_status,
            window_ends_at=window_ends_at,
        )
        return self._finish(errand, Unrecorded(claim, result, answered_at, window_ends_at))

    def _call(self, errand: _Errand, api_key: str, deadline: float) -> tuple[Verdict, int]:
        """Make one call, or two when the key turns out to have been replaced meanwhile."""
        asked_at = self.clock()
        verdict = self._call_once(errand, api_key)
        if verdict.http_status != 401:
            return verdict, 1
        try:
            fresh_key = self.keys.refreshed(since=asked_at)
        except KeyUnavailableError as error:
            observability.log_dependency(errand.request, error)
            return verdict, 1
        if fresh_key == api_key or not self._has_time_for_a_call(deadline):
            return verdict, 1
        return self._call_once(errand, fresh_key), 2

    def _call_once(self, errand: _Errand, api_key: str) -> Verdict:
        outcome = self.api.invite(errand.request.user_id, api_key)
        observability.log_call(errand.request, outcome)
        return judge(outcome)

    def _give_up_for_now(
        self, errand: _Errand, claim: Claim, verdict: Verdict, window_ends_at: float | None
    ) -> Queued:
        try:
            self.ledger.release(claim, tally=errand.tally, window_ends_at=window_ends_at)
        except LedgerUnavailableError as error:
            # The claim stands until its own end, which is later: no e-mail too many, only a wait.
            observability.log_dependency(errand.request, error)
        if window_ends_at is not None:
            return self._defer_until(errand, verdict.reason, window_ends_at)
        wait = verdict.retry_after_seconds
        if wait is None:
            wait = backoff_seconds(errand.progress.deferrals, self.dice)
        return self._defer(errand, verdict.reason, wait)

    def _finish(self, errand: _Errand, outcome: Unrecorded) -> Result | Queued:
        try:
            on_record = self.ledger.finish(
                outcome.claim,
                outcome.result,
                life_id=errand.life_id,
                answered_at=outcome.answered_at,
                window_ends_at=outcome.window_ends_at,
            )
        except LedgerUnavailableError as error:
            # What only this execution knows must outlive it: the message carries it on, and soon,
            # because until it is on record a duplicate of the message could call again.
            observability.log_dependency(errand.request, error)
            wait = backoff_seconds(min(errand.progress.deferrals, _SOON), self.dice)
            return self._defer(_with(errand, unrecorded=outcome), error.cause, wait)
        return self._announce(errand, on_record)

    def _conclude(
        self,
        errand: _Errand,
        status: Status,
        reason: str,
        deadline: float,
        *,
        window_ends_at: float | None = None,
    ) -> Result | Queued:
        now = self.clock()
        result = answer_request(
            errand.request,
            status,
            reason,
            occurred_at=now,
            attempts=errand.tally.attempts,
            http_status=errand.progress.http_status,
            window_ends_at=window_ends_at,
        )
        refusal = self.ledger.conclude(
            result, errand.request.user_id, life_id=errand.life_id, now=now
        )
        if refusal is None:
            return self._announce(errand, result)
        return self._yield_to_record(errand, refusal, deadline)

    def _yield_to_record(
        self, errand: _Errand, refusal: ConclusionRefusal, deadline: float
    ) -> Result | Queued:
        match refusal:
            case AlreadyAnswered(result):
                return self._announce(errand, result)
            case InProgress(ends_at, tally):
                return self._defer_until(_with(errand, tally=tally), "in_progress", ends_at)
            case AttemptsBehind(tally):
                return self._carry_out(_with(errand, tally=tally), deadline)
            case RequestIdReused():
                raise InvalidRequestError(
                    "request_id_reused",
                    f"request_id {errand.request.request_id!a} belongs to another user's request",
                )

    def _announce(self, errand: _Errand, result: Result) -> Result | Queued:
        settled = Progress(request_id=errand.request.request_id, source=errand.request.source)
        try:
            self._publish(errand.delivery, settled, result)
        except DependencyUnavailableError as error:
            return self._back_off(errand, error)
        return result

    def _refuse(self, delivery: Delivery, error: InvalidRequestError) -> Result:
        result = answer_invalid(delivery, error)
        self._publish(delivery, None, result)
        observability.log_invalid(result, error)
        return result

    def _publish(self, delivery: Delivery, progress: Progress | None, result: Result) -> None:
        self.topic.publish(result)
        if result.rests_in_dead_letter_queue:
            self.queue.park(delivery.body, progress, result)
        observability.log_result(result)

    def _back_off(self, errand: _Errand, error: DependencyUnavailableError) -> Queued:
        observability.log_dependency(errand.request, error)
        return self._defer(
            errand, error.cause, backoff_seconds(errand.progress.deferrals, self.dice)
        )

    def _defer_until(self, errand: _Errand, cause: str, ends_at: float) -> Queued:
        return self._defer(errand, cause, ends_at + CLOCK_SKEW_SECONDS - self.clock())

    def _defer(self, errand: _Errand, cause: str, wait_seconds: float) -> Queued:
        delay = min(max(math.ceil(wait_seconds), 0), MAX_DELAY_SECONDS)
        older = _with(errand, deferrals=errand.progress.deferrals + 1)
        self.queue.defer(errand.delivery.body, older.progress, delay)
        queued = Queued(errand.request.request_id, errand.request.user_id, cause, delay)
        observability.log_deferral(errand.request, queued, older.progress)
        return queued

    def _window_end(self, verdict: Verdict) -> float | None:
        if verdict.held_from is None:
            return None
        return verdict.held_from + self.policy.invite_window_seconds

    def _has_time_for_a_call(self, deadline: float) -> bool:
        return deadline - self.clock() >= self.policy.call_budget_seconds

    def _reason_to_give_up(self, errand: _Errand) -> str | None:
        not_after = errand.request.not_after
        if not_after is not None and self.clock() > not_after:
            return "deadline_passed"
        if errand.tally.strikes >= self.policy.max_attempts:
            return "attempts_exhausted"
        return None

    def _identity_would_be_lost(self, errand: _Errand) -> bool:
        """Whether a redrive would make another request of this message.

        A request without an id of its own is named after the message, and a message that the
        platform moves to the dead-letter queue comes back under another name. The first sign of
        trouble, a redelivery, is the time to write the name onto a copy.
        """
        return (
            errand.delivery.receive_count > 1
            and errand.request.request_id == errand.delivery.delivery_id
        )


def _pinned(progress: Progress, request: Request, delivery_id: str) -> Progress:
    return replace(
        progress,
        request_id=request.request_id,
        source=request.source,
        life_id=progress.life_id or delivery_id,
    )


def _with(errand: _Errand, **learnt: Any) -> _Errand:
    return replace(errand, progress=replace(errand.progress, **learnt))
