"""One request, top to bottom. Only this file decides the order of the steps.

A crash after any step loses nothing: the window is claimed before the call, the result is saved
before it is published, and a copy is on a queue before the message is acknowledged.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock

from invitations.calls import ApiCalls
from invitations.errors import (
    DependencyUnavailableError,
    QueueUnavailableError,
    TableUnavailableError,
)
from invitations.exits import Exits
from invitations.ledger import CLOCK_SKEW_SECONDS, Ledger
from invitations.limiter_state import MAX_TOKEN_WAIT_SECONDS, Wait
from invitations.messages import ClaimEnd, Deferred, Message, Pace, RetryState, StoredResult
from invitations.observability import about, log_dependency
from invitations.outcomes import Cause, Email, Outcome
from invitations.partoo import PartooApi
from invitations.policy import Policy
from invitations.requests import (
    InvalidRequestError,
    OnActiveWindow,
    Order,
    Request,
    read_message,
)
from invitations.results import Reason, Result, Status, invalid_result, request_result

LARGEST_SMALL_ORDER = 10
"""Users of an order that one execution carries out side by side; a larger order is bulk."""


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
    exits: Exits
    policy: Policy
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())

    def carry_out(self, message: Message, execution: Execution) -> list[Result | Deferred]:
        """Carry out a message as far as possible before the execution's deadline.

        When this method returns, the message may be acknowledged: its result is published, or a
        copy is on a queue. An order has one answer for each user. Raises DependencyUnavailableError
        when the message must be delivered again.
        """
        try:
            request = read_message(message, self.policy.user_id_path)
        except InvalidRequestError as error:
            result = invalid_result(message, error)
            self.exits.publish_of(message, result)
            return [result]
        if isinstance(request, Order):
            return self._split(request)
        with execution.user_locks.setdefault(request.user_id, Lock()):
            try:
                return [self._reinvite(request, execution)]
            except QueueUnavailableError:
                # Deferring needs the queue, too.
                raise
            except DependencyUnavailableError as error:
                log_dependency(about(request), error)
                return [self.exits.back_off(request, error.cause)]

    def split_small_order(self, message: Message) -> list[Message]:
        """Return a message for each user of a small order; any other message as it is."""
        try:
            order = read_message(message, self.policy.user_id_path)
        except InvalidRequestError:
            return [message]
        if isinstance(order, Order) and len(order.user_ids) <= LARGEST_SMALL_ORDER:
            return [
                replace(message, message_id=state.request_id, body=body, retry_state=state)
                for body, state in order.requests()
            ]
        return [message]

    def _split(self, order: Order) -> list[Result | Deferred]:
        """Put a request for each user of an order on the queue of its pace."""
        message, user_ids = order.message, order.user_ids
        if message.receive_count > 1 and order.order_id == message.message_id:
            # As for a request: a redrive must not give the order another id.
            state = RetryState(order.order_id, order.source, message.asked_at)
            self.exits.retry_queue.defer(message, state, 0)
            return [Deferred(order.order_id, None, Cause.REQUEST_ID_PERSISTED, 0)]
        queue = self.exits.queue_of(
            Pace.BULK if len(user_ids) > LARGEST_SMALL_ORDER else Pace.EVENT
        )
        requests = order.requests()
        queue.send(requests, order=message)
        return [
            Deferred(
                state.request_id,
                user_id if isinstance(user_id, str) else None,
                Cause.ORDER_SPLIT,
                0,
            )
            for (_, state), user_id in zip(requests, user_ids, strict=True)
        ]

    def _reinvite(self, request: Request, execution: Execution) -> Result | Deferred:
        user_id, request_id, state = request.user_id, request.request_id, request.state
        policy, exits, now = self.policy, self.exits, self.clock()

        # A redrive gives a message another id. On the second receive, replace the message by a copy
        # that carries its request id, before SQS moves it to the dead-letter queue.
        message = request.message
        if message.receive_count > 1 and request_id == message.message_id:
            return exits.defer(request, Cause.REQUEST_ID_PERSISTED, now)

        # Save the result of an earlier delivery that the table did not take.
        if state.unsaved is not None:
            return exits.save_and_publish(request, state.unsaved, {})

        # Wait on, if this was one part of a long wait.
        if state.wait_until > now + MAX_TOKEN_WAIT_SECONDS:
            cause, has_appointment = state.cause or Cause.QUOTA, state.has_appointment
            return exits.defer(request, cause, state.wait_until, has_appointment=has_appointment)

        # Read what is known: a result, a claim, a window.
        known = self.ledger.read(user_id, request_id)
        user, stored = known.user, known.stored
        if stored is not None and stored.answers(state.asked_at):
            return exits.publish(request, stored.result)
        window_ends_at = user.active_window(now)
        look_again_at = user.look_again_at(now, policy.call_budget_seconds)
        lost_claim_id = None
        counted = request
        if user.has_claim_of(request_id):
            if window_ends_at is not None:
                return exits.defer(request, Cause.IN_PROGRESS, look_again_at)
            # The execution died during the call, or the table did not take the end of the claim: an
            # e-mail may have gone out. Only a new claim replaces the lost one; until then, the
            # request is deferred with the uncounted state.
            lost_claim_id = user.claim_id
            lost_call = Outcome(Email.UNKNOWN)
            counted = replace(request, state=state.with_call(lost_call))

        # End a request that needs no call.
        end = policy.end_without_call(counted, user, now)
        if end is not None:
            # A window that the request's own call holds is no reason to skip the request.
            is_own = user.window_request_id == request_id
            waits = is_own or request.on_active_window == OnActiveWindow.DEFER
            if end.reason == Reason.WINDOW_ACTIVE and waits:
                return exits.defer(request, Cause.WINDOW_ACTIVE, look_again_at)
            result = request_result(counted, *end, now, window_ends_at=window_ends_at)
            invited_at = None if lost_claim_id is None else user.claimed_at
            new = StoredResult(result, now, lost_claim_id, invited_at=invited_at)
            return exits.save_and_publish(counted, new, known.item)

        # Take a token, or wait for one.
        api_key = self.calls.keys.current()
        if execution.deadline - self.clock() < policy.call_budget_seconds + MAX_TOKEN_WAIT_SECONDS:
            return exits.back_off(request, Cause.TIME_BUDGET_EXHAUSTED)
        limiter = self.calls.limiter
        token = limiter.take_token(message.pace, has_appointment=state.has_appointment)
        if isinstance(token, Wait):
            return exits.defer(
                request, token.cause, token.until, has_appointment=token.has_appointment
            )

        # Claim the window. Every path from here ends the claim; while the table is down, the claim
        # stays open until its window is over.
        claim_id, claimed_at = self.new_id(), self.clock()
        claimed_until = execution.deadline + policy.unknown_window_seconds
        claimed = self.ledger.claim(
            user_id, user.claimed(request_id, claim_id, claimed_at, claimed_until)
        )
        if claimed is None:
            return exits.defer(request, Cause.CONTENDED, now)
        try:
            # The condition of the claim does not cover the result.
            stored, item = self.ledger.read_result(user_id, request_id)
            may_call = (
                limiter.wait_for(token)
                and not request.is_over(self.clock())
                and execution.deadline - self.clock() >= policy.call_budget_seconds
            )
        except TableUnavailableError as error:
            log_dependency(about(request), error)
            exits.end_claim(request, claim_id, claimed)
            return exits.back_off(counted, error.cause)
        if stored is not None and stored.answers(state.asked_at):
            # A duplicate of the request has saved a result since the ledger was read.
            exits.end_claim(request, claim_id, claimed)
            return exits.publish(counted, stored.result)
        if not may_call:
            exits.end_claim(request, claim_id, claimed)
            if state.cause != Cause.TOKEN_EXPIRED:
                # A slow start is over when the copy returns.
                return exits.defer(counted, Cause.TOKEN_EXPIRED, self.clock() + 1)
            return exits.back_off(counted, Cause.TOKEN_EXPIRED)

        # Call.
        _, outcome = self.calls.make(
            "invite", lambda: self.api.invite(user_id, api_key), about(request), user_id=user_id
        )
        called = replace(counted, state=counted.state.with_call(outcome))
        window_ends_at = policy.window_after(outcome)

        # Save the result, which ends the claim; then report the outcome, and publish.
        end = policy.end_after_call(called, outcome)
        if end is not None:
            ended_at = outcome.emailed_at or self.clock()
            sent_count = claimed.sent_count + 1 if end.status == Status.SENT else None
            result = request_result(
                called, *end, ended_at, window_ends_at=window_ends_at, sent_count=sent_count
            )
            new = StoredResult(result, ended_at, claim_id, window_ends_at, outcome.emailed_at)
            saved = exits.save(called, new, item, claimed)
            self.calls.report(outcome, about(request))
            return saved if isinstance(saved, Deferred) else exits.publish(called, saved)

        # Or end the claim, report the outcome, and defer.
        exits.end_claim(request, claim_id, claimed, ClaimEnd(window_ends_at, outcome.emailed_at))
        if outcome.cause == Cause.UNAUTHORIZED and self.calls.replacement(api_key, about(request)):
            return exits.defer(called, Cause.KEY_REPLACED, now)
        self.calls.report(outcome, about(request))
        cause = outcome.cause or Cause.NO_ANSWER
        if window_ends_at is not None and outcome.emailed_at is not None:
            wait_ends_at = outcome.emailed_at + policy.wait_after_unknown_seconds(called)
            return exits.defer(
                called, cause, max(window_ends_at + CLOCK_SKEW_SECONDS, wait_ends_at)
            )
        if outcome.retry_after_seconds is not None:
            return exits.defer(called, cause, self.clock() + outcome.retry_after_seconds)
        return exits.back_off(called, cause)
