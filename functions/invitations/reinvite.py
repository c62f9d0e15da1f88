"""One request, top to bottom. Only this file decides the order of the steps.

A crash after any step loses nothing: the window is claimed before the call, the result is saved
before it is published, and a copy is on a queue before the message is acknowledged.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from threading import Lock

from invitations.calls import ApiCalls
from invitations.errors import (
    DependencyUnavailableError,
    KeyUnavailableError,
    TableUnavailableError,
)
from invitations.ledger import Ledger
from invitations.limiter_state import MAX_TOKEN_WAIT_SECONDS, Wait
from invitations.messages import (
    MAX_DELAY_SECONDS,
    ClaimEnd,
    Deferred,
    Message,
    Pace,
    StoredResult,
    backoff_seconds,
    delay_seconds,
)
from invitations.observability import log_deferral, log_dependency, log_result, logger
from invitations.outcomes import Cause, Outcome
from invitations.partoo import PartooApi
from invitations.policy import Policy
from invitations.queues import MessageQueue
from invitations.requests import Order, Request, read_message
from invitations.results import Reason, Result, request_result
from invitations.topic import ResultTopic

# The table must have the result before the claim's window is over: a duplicate could call then.
_MAX_UNSAVED_BACKOFF_SECONDS = 20.0


@dataclass(frozen=True)
class Execution:
    """One invocation of the function; nothing of it runs after `deadline` (epoch seconds)."""

    deadline: float
    user_locks: dict[str, Lock] = field(default_factory=dict)
    """Requests for one user run one at a time: the later ones find the window and need no token."""


@dataclass(frozen=True)
class Reinviter:
    """Carries out messages. Made once for each container; several threads use it."""

    ledger: Ledger
    calls: ApiCalls
    api: PartooApi
    topic: ResultTopic
    retry_queue: MessageQueue
    bulk_queue: MessageQueue
    dead_letter_queue: MessageQueue
    policy: Policy
    clock: Callable[[], float] = time.time
    rng: random.Random = field(default_factory=random.Random)

    def carry_out(self, message: Message, execution: Execution) -> list[Result | Deferred]:
        """Carry out a message as far as possible before the execution's deadline.

        When this method returns, the message may be acknowledged: its result is published, or a
        copy is on a queue. An order that is split has one answer for each user. Raises
        DependencyUnavailableError when the message must be delivered again.
        """
        logger.thread_safe_clear_keys()
        request = read_message(message, self.policy.user_id_path)
        if isinstance(request, Order):
            return self._split(request)
        logger.thread_safe_append_keys(
            request_id=request.request_id,
            user_id=request.user_id,
            correlation_id=request.correlation_id,
        )
        if isinstance(request, Result):
            self._publish(message, request)
            return [request]
        with execution.user_locks.setdefault(request.user_id, Lock()):
            try:
                return [self._reinvite(request, execution)]
            except (KeyUnavailableError, TableUnavailableError) as error:
                log_dependency(error)
                return [self._back_off(request, error.cause)]

    def split_small_order(self, message: Message) -> list[Message]:
        """Return a message for each user of a small order; any other message as it is."""
        order = read_message(message, self.policy.user_id_path)
        if isinstance(order, Order) and order.is_small:
            return order.messages()
        return [message]

    def _split(self, order: Order) -> list[Result | Deferred]:
        """Put a request for each user of an order on the queue of its pace."""
        message, messages = order.message, order.messages()
        if message.loses_request_id:
            # As for a request: a redrive must not give the order another id.
            self.retry_queue.defer(message, 0)
            return [Deferred(message.request_id, None, Cause.REQUEST_ID_PERSISTED, 0)]
        queue = self.retry_queue if order.is_small else self.bulk_queue
        queue.send_all(messages)
        return [
            Deferred(
                each.request_id, user_id if isinstance(user_id, str) else None, Cause.ORDER_SPLIT, 0
            )
            for each, user_id in zip(messages, order.user_ids, strict=True)
        ]

    def _reinvite(self, request: Request, execution: Execution) -> Result | Deferred:
        """Carry out one request, step by step; return its result or its deferral."""
        user_id, request_id, state = request.user_id, request.request_id, request.state
        policy, now = self.policy, self.clock()

        # Write the request's id down before SQS moves the message to the dead-letter queue.
        if request.message.loses_request_id:
            return self._defer(request, Cause.REQUEST_ID_PERSISTED, now)

        # Save the result of an earlier delivery that the table did not take.
        if state.unsaved is not None:
            return self._save_and_publish(request, state.unsaved)

        # Wait on, if this was one part of a long wait.
        if state.wait_until > now + MAX_TOKEN_WAIT_SECONDS:
            return self._defer(
                request, state.cause, state.wait_until, has_appointment=state.has_appointment
            )

        # Read what is known: a result, a claim, a window.
        user, stored = self.ledger.read(user_id, request_id)
        if stored is not None and stored.holds_for(state.asked_at):
            return self._publish_stored(request, stored.result)
        window_ends_at = user.active_window(now)
        look_again_at = user.look_again_at(now, self.calls.call_budget_seconds)
        is_own, uncounted = user.window_request_id == request_id, request
        if is_own and user.claim_id is not None:
            if window_ends_at is not None:
                return self._defer(request, Cause.IN_PROGRESS, look_again_at)
            # The execution died during the call, or the table did not take the end of the claim: an
            # e-mail may have gone out. Only a new claim replaces the lost one; until then, the
            # request is deferred `uncounted`.
            request = request.with_state(state.with_call(Outcome(cause=Cause.NO_ANSWER)))

        # End a request that needs no call.
        end = policy.end_without_call(request, user, now)
        if end is not None:
            # A window that the request's own call holds is no reason to skip the request.
            waits = is_own or request.on_active_window == "defer"
            if end == Reason.WINDOW_ACTIVE and waits:
                return self._defer(request, Cause.WINDOW_ACTIVE, look_again_at)
            result = request_result(request, end, now, window_ends_at=window_ends_at)
            new = StoredResult(result, now)
            if is_own:
                # The result ends the lost claim, if there is one.
                new = replace(new, claim_id=user.claim_id, invited_at=user.claimed_at)
            return self._save_and_publish(request, new)

        # Take a token, or wait for one. Without a key, take none.
        api_key = self.calls.keys.current()
        latest_call_at = execution.deadline - self.calls.call_budget_seconds
        if self.clock() + MAX_TOKEN_WAIT_SECONDS > latest_call_at:
            return self._back_off(uncounted, Cause.TIME_BUDGET_EXHAUSTED)
        limiter = self.calls.limiter
        token = limiter.take_token(request.message.pace, has_appointment=state.has_appointment)
        if isinstance(token, Wait):
            return self._defer(
                uncounted, token.cause, token.until, has_appointment=token.has_appointment
            )

        # Claim the window. Every path from here ends the claim; while the table is down, the claim
        # stays open until its window is over.
        claimed_until = execution.deadline + policy.unknown_window_seconds
        claim_id = self.ledger.claim(user_id, user, request_id, claimed_until)
        if claim_id is None:
            return self._defer(uncounted, Cause.CONTENDED, now)
        try:
            # The condition of the claim does not cover the result.
            stored = self.ledger.read_result(user_id, request_id)
            may_call = (
                limiter.wait_for(token)
                and not request.is_over(self.clock())
                and self.clock() <= latest_call_at
            )
        except TableUnavailableError as error:
            log_dependency(error)
            self._end_claim(request, claim_id, ClaimEnd())
            return self._back_off(request, error.cause)
        if stored is not None and stored.holds_for(state.asked_at):
            # A duplicate of the request has saved a result since the ledger was read.
            self._end_claim(request, claim_id, ClaimEnd())
            return self._publish_stored(request, stored.result)
        if not may_call:
            self._end_claim(request, claim_id, ClaimEnd())
            return self._back_off(request, Cause.TOKEN_EXPIRED)

        # Call.
        outcome = self.calls.make("invite", lambda: self.api.invite(user_id, api_key))
        request = request.with_state(request.state.with_call(outcome))
        window_ends_at = policy.window_after(outcome)

        # Save the result, which ends the claim, and publish it; then report the outcome.
        end = policy.end_after_call(request, outcome)
        if end is not None:
            ended_at = outcome.emailed_at or self.clock()
            sent_count = user.sent_count + 1 if end == Reason.INVITED else None
            result = request_result(
                request, end, ended_at, window_ends_at=window_ends_at, sent_count=sent_count
            )
            new = StoredResult(result, ended_at, claim_id, window_ends_at, outcome.emailed_at)
            try:
                return self._save_and_publish(request, new)
            finally:
                self.calls.report(outcome, api_key)

        # Or end the claim, report the outcome, and defer.
        self._end_claim(request, claim_id, ClaimEnd(window_ends_at, outcome.emailed_at))
        cause = self.calls.report(outcome, api_key).cause or Cause.NO_ANSWER
        if cause == Cause.KEY_REPLACED:
            return self._defer(request, cause, now)
        if outcome.emailed_at is not None:
            wait_seconds = policy.wait_after_unknown_seconds(request)
            return self._defer(request, cause, outcome.emailed_at + wait_seconds)
        if outcome.retry_after_seconds is not None:
            return self._defer(request, cause, self.clock() + outcome.retry_after_seconds)
        return self._back_off(request, cause)

    def _save_and_publish(self, request: Request, new: StoredResult) -> Result | Deferred:
        """Store a request's result, which ends its claim, and publish the stored result.

        While the table is down, the result of a call travels with the deferred message.
        """
        # Lambda's clock can lag SQS's: a duplicate must not look like a redriven request.
        new = replace(new, ended_at=max(new.ended_at, request.state.asked_at))
        try:
            stored = self.ledger.save(request.user_id, new, request.state.asked_at)
        except TableUnavailableError as error:
            if new.claim_id is None:
                raise
            log_dependency(error)
            request = request.with_state(replace(request.state, unsaved=new))
            return self._back_off(request, error.cause, _MAX_UNSAVED_BACKOFF_SECONDS)
        return self._publish_stored(request, stored.result)

    def _end_claim(self, request: Request, claim_id: str, end: ClaimEnd) -> None:
        """End a claim; while the table is down, the claim stays open until its window is over."""
        try:
            self.ledger.end_claim(request.user_id, claim_id, end)
        except TableUnavailableError as error:
            log_dependency(error)

    def _publish_stored(self, request: Request, result: Result) -> Result | Deferred:
        """Publish a result; the message of a failed request goes to the dead-letter queue, too."""
        try:
            self._publish(request.message, result)
        except DependencyUnavailableError as error:
            log_dependency(error)
            return self._back_off(request, error.cause)
        return result

    def _publish(self, message: Message, result: Result) -> None:
        """Publish a result of a message; a failed or invalid message goes to the dead letters."""
        self.topic.publish(asdict(result), result.source)
        if result.goes_to_dead_letter_queue:
            self.dead_letter_queue.send_dead_letter(message, result)
        log_result(result, self.clock() - message.state.asked_at)

    def _back_off(
        self, request: Request, cause: str, most_seconds: float = MAX_DELAY_SECONDS
    ) -> Deferred:
        """Defer for longer each time, with jitter, for `most_seconds` at most."""
        state = request.state
        until = self.clock() + backoff_seconds(state.failures, most_seconds, self.rng)
        request = request.with_state(replace(state, failures=state.failures + 1))
        return self._defer(request, cause, until)

    def _defer(
        self, request: Request, cause: str, until: float, *, has_appointment: bool = False
    ) -> Deferred:
        """Put a copy of the message on the queue of its pace, to return at `until`."""
        now, state = self.clock(), request.state
        if request.not_after is not None and not request.is_over(now):
            # The request fails as soon as `not_after` is over, whatever it waits for.
            until = min(until, math.nextafter(request.not_after, math.inf))
        delay = delay_seconds(until - now, self.rng)
        waiting = replace(state, wait_until=until, cause=cause, has_appointment=has_appointment)
        is_bulk = request.message.pace == Pace.BULK
        queue = self.bulk_queue if is_bulk else self.retry_queue
        queue.defer(request.with_state(waiting).message, delay)
        deferred = Deferred(request.request_id, request.user_id, cause, delay)
        log_deferral(deferred, waiting, None if is_bulk else now - state.asked_at)
        return deferred
