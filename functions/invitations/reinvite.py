"""One request, top to bottom. Only this file decides the order of the steps.

A crash after any step loses nothing: the window is claimed before the call, the result is saved
before it is published, and a copy is on a queue before the message is acknowledged.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock

from invitations.api_key import ApiKeys
from invitations.errors import (
    DependencyUnavailableError,
    KeyUnavailableError,
    QueueUnavailableError,
    TableUnavailableError,
)
from invitations.exits import Exits
from invitations.ledger import CLOCK_SKEW_SECONDS, Claim, Ledger
from invitations.limiter_state import WAIT_SECONDS, Wait
from invitations.messages import Deferred, Ending, Message, RetryState
from invitations.observability import about, log_call, log_dependency, traced_call
from invitations.orders import parts_of
from invitations.outcomes import Cause, Email, Outcome, judge
from invitations.partoo import PartooApi
from invitations.policy import Policy
from invitations.rate_limiter import RateLimiter
from invitations.requests import (
    InvalidRequestError,
    OnActiveWindow,
    Order,
    Request,
    read_message,
)
from invitations.results import Reason, Result, Status, invalid_result, request_result

MOST_AT_ONCE = 10
"""Requests that an execution carries out side by side; a larger order is bulk."""


@dataclass(frozen=True)
class Execution:
    """One invocation of the function; nothing of it runs after `deadline` (epoch seconds)."""

    deadline: float
    user_locks: dict[str, Lock] = field(default_factory=dict)
    """Requests of one user are carried out one after another: only the first needs a token."""


@dataclass(frozen=True)
class Reinviter:
    """Carries out messages. Made once for each container; several threads use it."""

    ledger: Ledger
    limiter: RateLimiter
    keys: ApiKeys
    api: PartooApi
    exits: Exits
    policy: Policy
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())

    def carry_out(self, message: Message, execution: Execution) -> list[Result | Deferred]:
        """Carry a message as far as it gets before the execution's deadline.

        When this returns, the message may be acknowledged: its result is published, or what is left
        to do is on a queue. Raises DependencyUnavailableError when neither is the case. An order
        for many users has an answer for each.
        """
        try:
            request = read_message(message, self.policy.user_id_path)
        except InvalidRequestError as error:
            return [self.exits.publish(message, invalid_result(message, error))]
        if isinstance(request, Order):
            return self._split(message, request)
        state = message.retry_state or RetryState(
            request.request_id, request.source, message.asked_at
        )
        with execution.user_locks.setdefault(request.user_id, Lock()):
            try:
                return [self._reinvite(message, request, state, execution)]
            except QueueUnavailableError:
                raise
            except DependencyUnavailableError as error:
                log_dependency(about(request), error)
                return [self.exits.back_off(message, request, state, error.cause)]

    def parts(self, message: Message) -> list[Message]:
        """A message for each user, if the message is an order for few; else the message itself."""
        try:
            order = read_message(message, self.policy.user_id_path)
        except InvalidRequestError:
            return [message]
        if isinstance(order, Order) and len(order.user_ids) <= MOST_AT_ONCE:
            return parts_of(message, order)
        return [message]

    def _split(self, message: Message, order: Order) -> list[Result | Deferred]:
        """Put each user's request of an order on the queue of its pace."""
        if message.receive_count > 1 and order.order_id == message.message_id:
            # As for a request: a redrive must not give the order another name.
            state = RetryState(order.order_id, order.source, message.asked_at)
            self.exits.retry_queue.defer(message, state, 0)
            return [Deferred(order.order_id, None, Cause.REQUEST_ID_PERSISTED, 0)]
        parts = parts_of(message, order)
        is_bulk = len(parts) > MOST_AT_ONCE
        queue = self.exits.bulk_queue if is_bulk else self.exits.retry_queue
        queue.send([(part.body, part.retry_state) for part in parts if part.retry_state])
        return [
            Deferred(
                part.message_id, user_id if isinstance(user_id, str) else None, Cause.ORDER_SPLIT, 0
            )
            for part, user_id in zip(parts, order.user_ids, strict=True)
        ]

    def _reinvite(
        self, message: Message, request: Request, state: RetryState, execution: Execution
    ) -> Result | Deferred:
        user_id, policy, exits, now = request.user_id, self.policy, self.exits, self.clock()

        # A redelivery is the first sign of trouble. Write the request's name down, before SQS moves
        # the message to the dead-letter queue and a redrive gives it another.
        if message.receive_count > 1 and request.request_id == message.message_id:
            return exits.defer(message, request, state, Cause.REQUEST_ID_PERSISTED, now)

        # Save the end of an earlier delivery that the table did not take.
        if state.unsaved is not None:
            saved = exits.save(message, request, state, state.unsaved, {}, None)
            return exits.publish(message, saved, request, state)

        # Wait on, if this was one hop of a long wait.
        if state.wait_until > now + WAIT_SECONDS:
            return exits.defer(
                message,
                request,
                state,
                state.cause or Cause.QUOTA,
                state.wait_until,
                has_appointment=state.has_appointment,
            )

        # Read what is known: a result, a claim, a window.
        known = self.ledger.read(user_id, request.request_id)
        own_claim = known.user.claim_of(request.request_id)
        if known.ending is not None and known.ending.answers(state.asked_at):
            if own_claim is not None and own_claim.claim_id == known.ending.claim_id:
                # The execution that saved it died before it could end its claim.
                exits.end_claim_of(known.ending, request, known.user)
            return exits.publish(message, known.ending.result, request, state)
        window_ends_at = known.user.active_window(now)
        # While a call is under way, the window ends later than it will when the call has ended.
        look_again_at = known.user.claimed_at + policy.call_budget_seconds
        over_at = known.user.window_ends_at + CLOCK_SKEW_SECONDS
        until = look_again_at if look_again_at > now else over_at
        if own_claim is not None and window_ends_at is not None:
            return exits.defer(message, request, state, Cause.IN_PROGRESS, until)
        counted = state
        if own_claim is not None:
            # An execution that died under a claim may have sent an e-mail.
            counted = state.counting(Outcome(Email.UNKNOWN, counts=True))

        # End what needs no call.
        end = policy.end_without_call(request, counted, known.user, now)
        if end is not None:
            # A window that the request's own call holds is no reason to skip it.
            is_own = known.user.window_request_id == request.request_id
            waits = is_own or request.on_active_window == OnActiveWindow.DEFER
            if end[1] == Reason.WINDOW_ACTIVE and waits:
                return exits.defer(message, request, state, Cause.WINDOW_ACTIVE, until)
            result = request_result(request, counted, *end, now, window_ends_at=window_ends_at)
            ending = Ending(result, now)
            if own_claim is not None:
                ending = replace(
                    ending, claim_id=own_claim.claim_id, invited_at=own_claim.claimed_at
                )
            saved = exits.save(message, request, counted, ending, known.item, None)
            return exits.publish(message, saved, request, counted)

        # Take a token, or wait for one.
        api_key = self.keys.current()
        if execution.deadline - self.clock() < policy.call_budget_seconds + WAIT_SECONDS:
            return exits.back_off(message, request, state, Cause.TIME_BUDGET_EXHAUSTED)
        token = self.limiter.admit(message.pace, has_appointment=state.has_appointment)
        if isinstance(token, Wait):
            return exits.defer(
                message,
                request,
                state,
                token.cause,
                token.until,
                has_appointment=token.has_appointment,
            )

        # Claim the window. From here on each way out ends the claim.
        claim = Claim(self.new_id(), request.request_id, self.clock())
        hold_until = execution.deadline + policy.unknown_window_seconds
        claimed = self.ledger.claim(user_id, known.user, claim, hold_until)
        if claimed is None:
            return exits.defer(message, request, state, Cause.CONTENDED, now)
        try:
            meanwhile = self.ledger.read_ending(user_id, request.request_id)
            may_leave = self.limiter.wait_for(token)
        except TableUnavailableError as error:
            log_dependency(about(request), error)
            exits.end_claim(request, claim.claim_id, claimed)
            return exits.back_off(message, request, counted, error.cause)
        if meanwhile.ending is not None and meanwhile.ending.answers(state.asked_at):
            # Another execution ended the request after this one had looked.
            exits.end_claim(request, claim.claim_id, claimed)
            return exits.publish(message, meanwhile.ending.result, request, counted)
        if not may_leave:
            exits.end_claim(request, claim.claim_id, claimed)
            return exits.back_off(message, request, counted, Cause.TOKEN_EXPIRED)

        # Call.
        began_at = self.clock()
        with traced_call("invite", user_id=user_id) as note:
            response = self.api.invite(user_id, api_key)
            note(response)
        log_call(about(request), response, self.clock() - began_at)
        outcome = judge(response)
        counted = counted.counting(outcome)
        window_ends_at = policy.window_after(outcome)

        # Save the result and end the window; only then let other executions know, and publish.
        end = policy.end_after_call(outcome, counted)
        if end is not None:
            ended_at = outcome.ended_at or self.clock()
            result = request_result(
                request,
                counted,
                *end,
                ended_at,
                window_ends_at=window_ends_at,
                sent_count=claimed.sent_count + 1 if end[0] == Status.SENT else None,
            )
            ending = Ending(result, ended_at, claim.claim_id, window_ends_at, outcome.ended_at)
            saved = exits.save(message, request, counted, ending, meanwhile.item, claimed)
            self._report(request, outcome)
            return exits.publish(message, saved, request, counted)

        # Or end the window, and defer.
        exits.end_claim(request, claim.claim_id, claimed, window_ends_at, outcome.ended_at)
        if outcome.cause == Cause.UNAUTHORIZED and self._key_was_replaced(request, api_key):
            return exits.defer(message, request, counted, Cause.KEY_REPLACED, now)
        self._report(request, outcome)
        cause = outcome.cause or Cause.NO_ANSWER
        if window_ends_at is not None and outcome.ended_at is not None:
            until = max(
                window_ends_at + CLOCK_SKEW_SECONDS,
                outcome.ended_at + policy.patience_seconds(counted),
            )
            return exits.defer(message, request, counted, cause, until)
        if outcome.retry_after_seconds is not None:
            until = self.clock() + outcome.retry_after_seconds
            return exits.defer(message, request, counted, cause, until)
        return exits.back_off(message, request, counted, cause)

    def _key_was_replaced(self, request: Request, refused: str) -> bool:
        try:
            if self.keys.replacement(refused) is None:
                return False
            self.limiter.key_replaced()
        except KeyUnavailableError as error:
            log_dependency(about(request), error)
            return False
        except TableUnavailableError as error:
            log_dependency(about(request), error)
        return True

    def _report(self, request: Request, outcome: Outcome) -> None:
        try:
            self.limiter.report(outcome)
        except TableUnavailableError as error:
            # Other executions find it out by calls of their own.
            log_dependency(about(request), error)
