"""The ways in which an execution ends its work on a request: save, publish, defer."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from invitations.errors import DependencyUnavailableError, TableUnavailableError
from invitations.ledger import Ledger, UserRecord
from invitations.messages import (
    ClaimEnd,
    Deferred,
    Message,
    Pace,
    StoredResult,
    backoff_seconds,
    delay_seconds,
)
from invitations.observability import about, log_deferral, log_dependency, log_result
from invitations.queues import MessageQueue
from invitations.requests import Request
from invitations.results import Result
from invitations.table import Item
from invitations.topic import ResultTopic

_MAX_BACKOFF_SECONDS = 900.0
# The table must have the result before the claim's window is over: a duplicate could call then.
_MAX_UNSAVED_BACKOFF_SECONDS = 20.0

_FREE_AT_ONCE = ClaimEnd()


@dataclass(frozen=True)
class Exits:
    """Every method raises DependencyUnavailableError when the message must not be acknowledged."""

    ledger: Ledger
    topic: ResultTopic
    retry_queue: MessageQueue
    bulk_queue: MessageQueue
    dead_letter_queue: MessageQueue
    clock: Callable[[], float]
    rng: random.Random = field(default_factory=random.Random)

    def queue_of(self, pace: Pace) -> MessageQueue:
        return self.bulk_queue if pace == Pace.BULK else self.retry_queue

    def save_and_publish(
        self, request: Request, new: StoredResult, item: Item
    ) -> Result | Deferred:
        """Store a result without a call of this execution, and publish the stored result."""
        saved = self.save(request, new, item, None)
        return saved if isinstance(saved, Deferred) else self.publish(request, saved)

    def save(
        self, request: Request, new: StoredResult, item: Item, claimed: UserRecord | None
    ) -> Result | Deferred:
        """Store a request's result, which ends its claim; return the stored result.

        `item` is the result's item as it was read, `claimed` the user's record with the claim;
        empty and None when they were not read.
        While the table is down, the result of a call travels with the deferred message.
        """
        # Lambda's clock can lag SQS's: a duplicate must not look like a redriven request.
        new = replace(new, ended_at=max(new.ended_at, request.state.asked_at))
        try:
            stored = self.ledger.save(request.user_id, new, request.state.asked_at, item)
        except TableUnavailableError as error:
            if new.claim_id is None:
                raise
            log_dependency(about(request), error)
            request = replace(request, state=replace(request.state, unsaved=new))
            return self.back_off(request, error.cause, _MAX_UNSAVED_BACKOFF_SECONDS)
        if new.claim_id not in (None, stored.claim_id):
            # Another result was stored first, and ends no claim of this execution.
            self.end_claim(request, new.claim_id, claimed, new.claim_end)
        return stored.result

    def end_claim(
        self,
        request: Request,
        claim_id: str,
        claimed: UserRecord | None,
        end: ClaimEnd = _FREE_AT_ONCE,
    ) -> None:
        """End a claim; while the table is down, the claim stays open until its window is over."""
        try:
            self.ledger.end_claim(request.user_id, claim_id, claimed, end)
        except TableUnavailableError as error:
            log_dependency(about(request), error)

    def publish(self, request: Request, result: Result) -> Result | Deferred:
        """Publish a result; the message of a failed request goes to the dead-letter queue, too."""
        try:
            self.publish_of(request.message, result)
        except DependencyUnavailableError as error:
            log_dependency(about(request), error)
            return self.back_off(request, error.cause)
        return result

    def publish_of(self, message: Message, result: Result) -> None:
        """Publish a result of a message; a failed or invalid message goes to the dead letters."""
        self.topic.publish(result)
        if result.goes_to_dead_letter_queue:
            self.dead_letter_queue.send_dead_letter(message, result)
        log_result(result, self.clock() - message.asked_at)

    def back_off(
        self, request: Request, cause: str, most_seconds: float = _MAX_BACKOFF_SECONDS
    ) -> Deferred:
        """Defer for longer each time, with jitter, for `most_seconds` at most."""
        state = request.state
        until = self.clock() + backoff_seconds(state.failures, most_seconds, self.rng)
        request = replace(request, state=replace(state, failures=state.failures + 1))
        return self.defer(request, cause, until)

    def defer(
        self, request: Request, cause: str, until: float, *, has_appointment: bool = False
    ) -> Deferred:
        """Put a copy of the message on the queue of its pace, to return at `until`."""
        now, state = self.clock(), request.state
        if request.not_after is not None and not request.is_over(now):
            # The request fails as soon as `not_after` is over, whatever it waits for.
            until = min(until, math.nextafter(request.not_after, math.inf))
        delay = delay_seconds(until - now, self.rng)
        waiting = replace(state, wait_until=until, cause=cause, has_appointment=has_appointment)
        pace = request.message.pace
        self.queue_of(pace).defer(request.message, waiting, delay)
        deferred = Deferred(request.request_id, request.user_id, cause, delay)
        log_deferral(deferred, waiting, None if pace == Pace.BULK else now - state.asked_at)
        return deferred
