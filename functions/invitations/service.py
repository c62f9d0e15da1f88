"""The use case: one request, at most one e-mail, one result. Only this file decides the order.

Each step is placed so that a crash after it loses nothing: the window is taken before the call,
the result is recorded before it is published, a copy is on the queue before the message is
acknowledged.
"""

import random
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

from jmespath.parser import ParsedResult

from invitations import observability
from invitations.caller import Caller
from invitations.envelopes import read_progress, read_request
from invitations.errors import (
    DependencyUnavailableError,
    InvalidRequestError,
    KeyUnavailableError,
    LedgerUnavailableError,
)
from invitations.gate import LATENESS_SECONDS, Admission
from invitations.ledger import (
    AlreadyAnswered,
    AttemptsBehind,
    ClaimRefusal,
    InProgress,
    Ledger,
    NotDue,
    Standing,
    Subject,
    WindowActive,
)
from invitations.models import (
    CLOCK_SKEW_SECONDS,
    Claim,
    Copy,
    Delivery,
    OnActiveWindow,
    Progress,
    Queued,
    Request,
    Result,
    Status,
    Tally,
    Unrecorded,
    Verdict,
    answer_invalid,
    answer_request,
    backoff_seconds,
    queue_delay,
)
from invitations.ports import (
    Clock,
    InvitationApi,
    RequestQueue,
    ResultTopic,
    SideBySide,
)

# Doublings of the shortest wait, for what must not wait long.
_SOON = 2


class Policy(NamedTuple):
    """What the deployer chose."""

    invite_window_seconds: float
    max_attempts: int
    user_id_path: ParsedResult


class _Errand(NamedTuple):
    """A request on its way: the message that brought it, and what is known of it."""

    delivery: Delivery
    request: Request
    progress: Progress
    seen: Standing | None = None
    """What the ledger said of it; None when it has not been asked, or did not answer."""

    @property
    def subject(self) -> Subject:
        return Subject(self.request.user_id, self.request.request_id)

    @property
    def life_id(self) -> str:
        return self.progress.life_id or self.delivery.delivery_id

    @property
    def tally(self) -> Tally:
        return self.progress.tally


class _Answer(NamedTuple):
    """A request's final result, to be published."""

    delivery: Delivery
    result: Result
    errand: _Errand | None = None
    """None when the message holds no request."""
    error: InvalidRequestError | None = None

    @property
    def asked_at(self) -> float:
        known = None if self.errand is None else self.errand.progress.asked_at
        return self.delivery.asked_at if known is None else known

    @property
    def settled(self) -> Progress | None:
        if self.errand is None:
            return None
        request = self.errand.request
        return Progress(request_id=request.request_id, source=request.source)


Outcome = Result | Queued | Exception
"""What became of a message: its result is published, a copy is on the queue, or neither."""

_Reached = _Answer | Queued | Exception


class ReinviteService:
    def __init__(
        self,
        *,
        ledger: Ledger,
        caller: Caller,
        api: InvitationApi,
        topic: ResultTopic,
        queue: RequestQueue,
        clock: Clock,
        new_id: Callable[[], str],
        dice: random.Random,
        policy: Policy,
    ) -> None:
        self.ledger = ledger
        self.caller = caller
        self.api = api
        self.topic = topic
        self.queue = queue
        self.clock = clock
        self.new_id = new_id
        self.dice = dice
        self.policy = policy

    def reinvite(
        self, deliveries: Sequence[Delivery], deadline: float, side_by_side: SideBySide
    ) -> list[Outcome]:
        """Carry each message's request as far as it gets before `deadline` (epoch seconds).

        Returns what became of them, in order. A message may be acknowledged unless that is an
        exception: then neither is its result out nor a copy of it on the queue.
        """
        errands = self._look_up([self._read(delivery) for delivery in deliveries])
        admitted, turned_away = self._admit_all(errands, deadline)

        def carry_out(index: int) -> _Reached:
            errand = errands[index]
            if isinstance(errand, _Answer):
                return errand
            if index in turned_away:
                return turned_away[index]
            return self._attempt(errand, admitted.get(index), deadline)

        reached = side_by_side(carry_out, range(len(errands)))
        untaken = self._publish(reached)

        def settle(index: int) -> Outcome:
            answer = reached[index]
            return self._settle(answer, untaken[index]) if isinstance(answer, _Answer) else answer

        return side_by_side(settle, range(len(reached)))

    def _read(self, delivery: Delivery) -> _Errand | _Answer:
        try:
            progress = read_progress(delivery.notes)
            request = read_request(delivery, progress, self.policy.user_id_path)
        except InvalidRequestError as error:
            return _refuse(delivery, error)
        return _Errand(delivery, request, _pinned(progress, request, delivery))

    def _look_up(self, errands: Sequence[_Errand | _Answer]) -> list[_Errand | _Answer]:
        """Ask the ledger about all of them at once."""
        asked = [errand for errand in errands if isinstance(errand, _Errand)]
        try:
            standings = iter(self.ledger.look_up([errand.subject for errand in asked]))
        except LedgerUnavailableError:
            # Each finds out by itself.
            return list(errands)
        return [
            _with_standing(errand, next(standings)) if isinstance(errand, _Errand) else errand
            for errand in errands
        ]

    def _admit_all(
        self, errands: Sequence[_Errand | _Answer], deadline: float
    ) -> tuple[dict[int, float], dict[int, Queued | Exception]]:
        """One reservation for all who may call.

        Returns by index when each leaves, and what became of those who were sent away.
        """
        callers = {
            index: errand
            for index, errand in enumerate(errands)
            if isinstance(errand, _Errand) and self._may_call(errand, deadline)
        }
        if not callers:
            return {}, {}
        try:
            admission = self.caller.admit(len(callers))
        except LedgerUnavailableError:
            # Without a place, each finds out by itself, and waits for longer each time.
            return {}, {}
        admitted = dict(zip(callers, admission.leave_at, strict=False))
        others = {index: callers[index] for index in callers if index not in admitted}
        return admitted, dict(zip(others, self._send_away(others.values(), admission), strict=True))

    def _send_away(
        self, errands: Collection[_Errand], admission: Admission
    ) -> list[Queued | Exception]:
        """Together, so that they come back together."""
        cause, now = admission.cause or "", self.clock()
        copies = [
            Copy(errand.delivery.body, errand.progress, queue_delay(at - now))
            for errand, at in zip(errands, admission.return_at, strict=True)
        ]
        errors = self.queue.defer(copies) if copies else []
        return [
            error or _queued(errand, cause, copy)
            for errand, copy, error in zip(errands, copies, errors, strict=True)
        ]

    def _may_call(self, errand: _Errand, deadline: float) -> bool:
        return (
            errand.progress.unrecorded is None
            and not self._identity_would_be_lost(errand)
            and self._reason_to_give_up(errand) is None
            and self.caller.has_time(deadline)
            and errand.seen is not None
            and self._refusal(errand, errand.seen) is None
        )

    def _refusal(self, errand: _Errand, seen: Standing) -> ClaimRefusal | None:
        return seen.refuses(errand.life_id, errand.tally, self.clock(), errand.progress.cap)

    def _attempt(self, errand: _Errand, leaves_at: float | None, deadline: float) -> _Reached:
        try:
            try:
                return self._carry_out(errand, leaves_at, deadline)
            except LedgerUnavailableError as error:
                return self._back_off(errand, error)
        except Exception as error:  # noqa: BLE001  # whatever it is, the batch goes on
            return error

    def _carry_out(
        self, errand: _Errand, leaves_at: float | None, deadline: float
    ) -> _Answer | Queued:
        if errand.progress.unrecorded is not None:
            return self._finish(errand, errand.progress.unrecorded)
        if self._identity_would_be_lost(errand):
            return self._defer(errand, "identity_pinned", 0)
        failure = self._reason_to_give_up(errand)
        if failure is not None:
            return self._conclude(errand, Status.FAILED, failure, leaves_at, deadline)
        if not self.caller.has_time(deadline):
            return self._defer(errand, "no_time_left", 0)
        if leaves_at is None:
            return self._do_without_call(errand, deadline)
        if not self.caller.may_leave(leaves_at):
            return self._defer(errand, "paused", 0)
        try:
            api_key = self.caller.keys.current()
        except KeyUnavailableError as error:
            return self._back_off(errand, error)
        return self._claim_and_call(errand, api_key, leaves_at, deadline)

    def _do_without_call(self, errand: _Errand, deadline: float) -> _Answer | Queued:
        """For who needs no place in a burst, or could not get one."""
        if errand.seen is not None:
            refusal = self._refusal(errand, errand.seen)
            if refusal is not None:
                return self._yield_to_record(errand, refusal, None, deadline)
        raise LedgerUnavailableError("no place in a burst could be reserved")

    def _claim_and_call(
        self, errand: _Errand, api_key: str, leaves_at: float, deadline: float
    ) -> _Answer | Queued:
        claim = Claim(self.new_id(), errand.request.request_id, errand.request.user_id)
        # Nothing of this execution runs after its deadline, so a call under this claim cannot
        # come later than that either: if it dies, the window is held from then.
        standing = self.ledger.claim(
            claim,
            errand.seen,
            life_id=errand.life_id,
            tally=errand.tally,
            now=self.clock(),
            hold_until=deadline + self.policy.invite_window_seconds,
            cap=errand.progress.cap,
        )
        if isinstance(standing, Standing):
            errand = errand._replace(seen=standing)
            return self._call_and_record(errand, claim, api_key, leaves_at, deadline)
        return self._yield_to_record(errand, standing, leaves_at, deadline)

    def _call_and_record(
        self, errand: _Errand, claim: Claim, api_key: str, leaves_at: float, deadline: float
    ) -> _Answer | Queued:
        if self.clock() > leaves_at + LATENESS_SECONDS:
            self._release(errand, claim, window_ends_at=None)
            return self._defer(errand, "place_missed", 0)
        verdict, calls, _ = self.caller.call(
            partial(self.api.invite, errand.request.user_id),
            api_key,
            deadline,
            observability.about(errand.request),
        )
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
        sent_before = 0 if errand.seen is None else errand.seen.user.sent_count
        result = answer_request(
            errand.request,
            status,
            reason,
            occurred_at=answered_at,
            attempts=tally.attempts,
            http_status=verdict.http_status,
            window_ends_at=window_ends_at,
            sent_count=sent_before + 1 if status is Status.SENT else None,
        )
        return self._finish(errand, Unrecorded(claim, result, answered_at, window_ends_at))

    def _release(self, errand: _Errand, claim: Claim, *, window_ends_at: float | None) -> None:
        try:
            self.ledger.release(
                claim, errand.seen, tally=errand.tally, window_ends_at=window_ends_at
            )
        except LedgerUnavailableError as error:
            # The claim stands until its own end, which is later: no e-mail too many, only a wait.
            observability.log_dependency(observability.about(errand.request), error)

    def _give_up_for_now(
        self, errand: _Errand, claim: Claim, verdict: Verdict, window_ends_at: float | None
    ) -> Queued:
        self._release(errand, claim, window_ends_at=window_ends_at)
        if window_ends_at is not None:
            return self._defer_until(errand, verdict.reason, window_ends_at)
        if verdict.retry_after_seconds is not None:
            return self._defer(errand, verdict.reason, verdict.retry_after_seconds)
        return self._defer_longer(errand, verdict.reason)

    def _finish(self, errand: _Errand, outcome: Unrecorded) -> _Answer | Queued:
        try:
            on_record = self.ledger.finish(
                outcome.claim,
                errand.seen,
                outcome.result,
                life_id=errand.life_id,
                answered_at=outcome.answered_at,
                window_ends_at=outcome.window_ends_at,
            )
        except LedgerUnavailableError as error:
            # What only this execution knows must outlive it: the message carries it on, and soon,
            # because until it is on record a duplicate of the message could call again.
            observability.log_dependency(observability.about(errand.request), error)
            return self._defer_longer(_with(errand, unrecorded=outcome), error.cause, _SOON)
        return _Answer(errand.delivery, on_record, errand)

    def _conclude(
        self,
        errand: _Errand,
        status: Status,
        reason: str,
        leaves_at: float | None,
        deadline: float,
        *,
        window_ends_at: float | None = None,
    ) -> _Answer | Queued:
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
        on_record = self.ledger.conclude(
            result, errand.subject, errand.seen, life_id=errand.life_id, now=now
        )
        if isinstance(on_record, Standing):
            return _Answer(errand.delivery, result, errand)
        return self._yield_to_record(errand, on_record, leaves_at, deadline)

    def _yield_to_record(
        self, errand: _Errand, refusal: ClaimRefusal, leaves_at: float | None, deadline: float
    ) -> _Answer | Queued:
        match refusal:
            case AlreadyAnswered(result):
                return _Answer(errand.delivery, result, errand)
            case InProgress(ends_at, tally):
                return self._defer_until(_with(errand, tally=tally), "in_progress", ends_at)
            case AttemptsBehind(tally):
                return self._carry_out(_with(errand, tally=tally), leaves_at, deadline)
            case WindowActive(ends_at) if errand.request.on_active_window is OnActiveWindow.DEFER:
                return self._defer_until(errand, "window_active", ends_at)
            case WindowActive(ends_at):
                return self._conclude(
                    errand,
                    Status.SKIPPED,
                    "window_active",
                    leaves_at,
                    deadline,
                    window_ends_at=ends_at,
                )
            case NotDue():
                return self._conclude(errand, Status.SKIPPED, "not_due", leaves_at, deadline)

    def _publish(self, reached: Sequence[_Reached]) -> dict[int, DependencyUnavailableError | None]:
        """Publish all results together; returns by index why one was not taken."""
        answers = {index: each for index, each in enumerate(reached) if isinstance(each, _Answer)}
        if not answers:
            return {}
        errors = self.topic.publish([answer.result for answer in answers.values()])
        return dict(zip(answers, errors, strict=True))

    def _settle(self, answer: _Answer, untaken: DependencyUnavailableError | None) -> Outcome:
        """Nothing is left to do for the message, or a copy of it goes out to be answered again."""
        try:
            if untaken is not None:
                raise untaken
            if answer.result.rests_in_dead_letter_queue:
                self.queue.park(answer.delivery.body, answer.settled, answer.result)
        except DependencyUnavailableError as error:
            if answer.errand is None:
                # A copy would know nothing that the message itself does not.
                return error
            try:
                return self._back_off(answer.errand, error)
            except DependencyUnavailableError as failure:
                return failure
        observability.log_result(answer.result, answer.error, self.clock() - answer.asked_at)
        return answer.result

    def _back_off(self, errand: _Errand, error: DependencyUnavailableError) -> Queued:
        observability.log_dependency(observability.about(errand.request), error)
        return self._defer_longer(errand, error.cause)

    def _defer_longer(
        self, errand: _Errand, cause: str, most_doublings: int | None = None
    ) -> Queued:
        """Longer each time, up to so many doublings."""
        before = errand.progress.deferrals
        doublings = before if most_doublings is None else min(before, most_doublings)
        older = _with(errand, deferrals=before + 1)
        return self._defer(older, cause, backoff_seconds(doublings, self.dice))

    def _defer_until(self, errand: _Errand, cause: str, ends_at: float) -> Queued:
        return self._defer(errand, cause, ends_at + CLOCK_SKEW_SECONDS - self.clock())

    def _defer(self, errand: _Errand, cause: str, wait_seconds: float) -> Queued:
        copy = Copy(errand.delivery.body, errand.progress, queue_delay(wait_seconds))
        (error,) = self.queue.defer([copy])
        if error is not None:
            raise error
        return _queued(errand, cause, copy)

    def _window_end(self, verdict: Verdict) -> float | None:
        if verdict.held_from is None:
            return None
        return verdict.held_from + self.policy.invite_window_seconds

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


def _queued(errand: _Errand, cause: str, copy: Copy) -> Queued:
    queued = Queued(errand.request.request_id, errand.request.user_id, cause, copy.delay_seconds)
    observability.log_deferral(errand.request, queued, copy.progress)
    return queued


def _refuse(delivery: Delivery, error: InvalidRequestError) -> _Answer:
    return _Answer(delivery, answer_invalid(delivery, error), error=error)


def _pinned(progress: Progress, request: Request, delivery: Delivery) -> Progress:
    return progress._replace(
        request_id=request.request_id,
        source=request.source,
        life_id=progress.life_id or delivery.delivery_id,
        asked_at=progress.asked_at or delivery.asked_at,
    )


def _with(errand: _Errand, **learnt: Any) -> _Errand:
    return errand._replace(progress=errand.progress._replace(**learnt))


def _with_standing(errand: _Errand, seen: Standing) -> _Errand:
    return _with(errand, tally=seen.known(errand.tally))._replace(seen=seen)
