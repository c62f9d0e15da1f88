"""How an execution is done with a message: its result is published, or it waits on a queue."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from invitations.errors import DependencyUnavailableError, TableUnavailableError
from invitations.ledger import Ledger, UserRecord
from invitations.messages import Deferred, Ending, Message, Pace, RetryState, delay_seconds
from invitations.observability import about, log_deferral, log_dependency, log_result
from invitations.queues import MessageQueue
from invitations.requests import Request
from invitations.results import Result
from invitations.table import Item
from invitations.topic import ResultTopic

_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 5.0, 900.0
# Until its result is saved, a duplicate of the request could call again.
_MAX_UNSAVED_SECONDS = 20.0


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

    def save(
        self,
        message: Message,
        request: Request,
        state: RetryState,
        ending: Ending,
        seen: Item,
        claimed: UserRecord | None,
    ) -> Result | Deferred:
        """Save how the request ended, and end its claim; returns the result that counts.

        `seen` is the stored end as it was read, `claimed` the user's record with the claim; empty
        and None when they were not read. While the table is down, what a call brought is deferred.
        """
        # By a clock behind the queue's, a request may end before it was asked for. Its duplicate
        # would be taken for a redriven one.
        ending = replace(ending, ended_at=max(ending.ended_at, state.asked_at))
        try:
            saved = self.ledger.save(request.user_id, ending, state.asked_at, seen)
        except TableUnavailableError as error:
            if ending.claim_id is None:
                raise
            # What only this execution knows must outlive it: the message carries it on.
            log_dependency(about(request), error)
            unsaved = replace(state, unsaved=ending)
            return self.back_off(message, request, unsaved, error.cause, _MAX_UNSAVED_SECONDS)
        self.end_claim_of(ending, request, claimed)
        return saved.result

    def end_claim_of(self, ending: Ending, request: Request, claimed: UserRecord | None) -> None:
        """End the claim under which a request ended."""
        if ending.claim_id is not None:
            self.end_claim(
                request,
                ending.claim_id,
                claimed,
                ending.window_ends_at,
                ending.invited_at,
                sent=ending.sent,
            )

    def end_claim(
        self,
        request: Request,
        claim_id: str,
        claimed: UserRecord | None,
        window_ends_at: float | None = None,
        invited_at: float | None = None,
        *,
        sent: bool = False,
    ) -> None:
        """End a claim, as Ledger.end_claim does; while the table is down, it stays open."""
        try:
            self.ledger.end_claim(
                request.user_id, claim_id, claimed, window_ends_at, invited_at, sent=sent
            )
        except TableUnavailableError as error:
            # The claim holds until its own end: no e-mail too many, only a wait.
            log_dependency(about(request), error)

    def publish(
        self,
        message: Message,
        result: Result | Deferred,
        request: Request | None = None,
        state: RetryState | None = None,
    ) -> Result | Deferred:
        """Publish a result; a failed or invalid one's message goes to the dead-letter queue."""
        if isinstance(result, Deferred):
            return result
        try:
            self.topic.publish(result)
            if result.goes_to_dead_letter_queue:
                self.dead_letter_queue.keep(message, result)
        except DependencyUnavailableError as error:
            if request is None or state is None:
                # A copy would know nothing that the message itself does not.
                raise
            log_dependency(about(request), error)
            return self.back_off(message, request, replace(state, unsaved=None), error.cause)
        log_result(result, self.clock() - message.asked_at)
        return result

    def back_off(
        self,
        message: Message,
        request: Request,
        state: RetryState,
        cause: str,
        most_seconds: float = _MAX_BACKOFF_SECONDS,
    ) -> Deferred:
        """Defer for longer each time, with jitter, at most `most_seconds`."""
        ceiling = min(_BACKOFF_SECONDS * 2.0 ** min(state.failures, 10), most_seconds)
        until = self.clock() + ceiling * self.rng.uniform(0.5, 1)
        state = replace(state, failures=state.failures + 1)
        return self.defer(message, request, state, cause, until)

    def defer(
        self,
        message: Message,
        request: Request,
        state: RetryState,
        cause: str,
        until: float,
        *,
        has_appointment: bool = False,
    ) -> Deferred:
        """Put a copy on the queue of the message's pace, to come back at `until`."""
        now = self.clock()
        if request.not_after is not None and now <= request.not_after and state.unsaved is None:
            # It ends then at the latest. Later, it waits for something else: a claim, or the topic.
            until = min(until, math.nextafter(request.not_after, math.inf))
        delay = delay_seconds(until - now, self.rng)
        waiting = replace(state, wait_until=until, cause=cause, has_appointment=has_appointment)
        is_bulk = message.pace == Pace.BULK
        (self.bulk_queue if is_bulk else self.retry_queue).defer(message, waiting, delay)
        deferred = Deferred(request.request_id, request.user_id, cause, delay)
        log_deferral(deferred, waiting, None if is_bulk else now - state.asked_at)
        return deferred
