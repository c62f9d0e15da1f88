"""The use case: one sweep, from the end of the vendor's list to its beginning, a page at a time.

Each page's requests are on the queue before the page is checked off, and are named after the sweep
and the user: a page that is gone through again, because an execution died, asks for nothing new.
"""

import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from invitations import observability
from invitations.caller import Caller
from invitations.directory import Listing, Member, Unreadable, read_listing
from invitations.errors import (
    DependencyUnavailableError,
    LedgerUnavailableError,
    UnreadableAnswerError,
)
from invitations.ledger import Ledger, Standing, Subject
from invitations.models import (
    Answered,
    Copy,
    Progress,
    Source,
    backoff_seconds,
    derived_request_id,
    queue_delay,
)
from invitations.ports import Clock, SummaryTopic, SweepQueue, SweepStore, UserSearch
from invitations.sweeps import Order, StoredSweep, Summary, Sweep, summarize, write_order

# Longer waits are spent on the queue, where they cost nothing.
_MAX_WAIT_SECONDS = 10
# With ever longer waits in between, half an hour.
_MAX_FAILURES = 8
_SHOWN_USERS = 100


class _PutOffError(Exception):
    """The sweep cannot go on now."""

    def __init__(self, cause: str, wait_seconds: float, *, failed: bool) -> None:
        super().__init__(cause)
        self.cause = cause
        self.wait_seconds = wait_seconds
        self.failed = failed


class _GivenUpError(Exception):
    """The sweep will never get further."""

    def __init__(self, reason: str, http_status: int | None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.http_status = http_status


@dataclass(frozen=True, slots=True)
class PutOff:
    """The order is on the queue; the sweep goes on where it was."""

    sweep_id: str | None
    cause: str
    delay_seconds: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What a sweep would do."""

    summary: Summary
    users: Sequence[tuple[str | None, str]]
    """The first of those who were looked at, and what was found: `due`, or why not."""


_Verdicts = list[tuple[str | None, str]]


@dataclass(frozen=True, slots=True)
class Sweeper:
    caller: Caller
    search: UserSearch
    ledger: Ledger
    store: SweepStore
    queue: SweepQueue
    topic: SummaryTopic
    clock: Clock
    new_id: Callable[[], str]
    dice: random.Random

    def sweep(self, order: Order, deadline: float) -> Summary | PutOff:
        """Carry a sweep on until it ends or `deadline` (epoch seconds) is near.

        Raises DependencyUnavailableError when it can neither go on nor be put off.
        """
        holder = self.new_id()
        while True:
            taken = self._take(order, holder)
            if not isinstance(taken, StoredSweep):
                return taken
            reached = self._carry_on(taken, order, holder, deadline)
            # Another's that was left undone comes first; then there is time for this one's.
            if isinstance(reached, PutOff) or taken.sweep.terms == order.terms:
                return reached

    def preview(self, order: Order, deadline: float) -> Preview:
        """Look at everybody, and ask nobody again."""
        sweep, users = Sweep("dry-run", order.terms, self.clock()), _Verdicts()
        while not sweep.is_over:
            try:
                self._check_time(deadline)
                sweep, verdicts, _ = self._look_at_page(sweep, deadline)
            except _PutOffError as error:
                return Preview(summarize(sweep, error.cause, self.clock(), failed=True), users)
            except _GivenUpError as error:
                failure = summarize(
                    sweep, error.reason, self.clock(), failed=True, http_status=error.http_status
                )
                return Preview(failure, users)
            users += verdicts[: _SHOWN_USERS - len(users)]
        return Preview(summarize(sweep, sweep.conclusion, self.clock()), users)

    def _take(self, order: Order, holder: str) -> StoredSweep | Summary | PutOff:
        """Hold the sweep that is under way, or begin the one that is ordered."""
        while True:
            (version, sweep), now = self.store.read(), self.clock()
            if sweep is not None and sweep.covers(order):
                return summarize(sweep, sweep.conclusion, sweep.ended_at or now)
            if sweep is None or sweep.ended_at is not None:
                sweep = Sweep(self.new_id(), order.terms, now)
            elif sweep.is_held_by_another(holder, now):
                wait_seconds = sweep.held_until - now + 1
                return self._put_off(order, None, _PutOffError("held", wait_seconds, failed=False))
            held = self.store.write(version, sweep.held(holder, now))
            if held is not None:
                return held

    def _carry_on(
        self, stored: StoredSweep, order: Order, holder: str, deadline: float
    ) -> Summary | PutOff:
        sweep, failures = stored.sweep, order.failures
        try:
            while not sweep.is_over:
                self._check_time(deadline)
                after, _, due = self._look_at_page(sweep, deadline)
                self._ask_again(sweep, due)
                after = replace(after, counts=replace(after.counts, queued=after.counts.due))
                stored = self._check_off(stored, after.held(holder, self.clock()))
                sweep, failures = stored.sweep, 0
            return self._end(stored, summarize(sweep, sweep.conclusion, self.clock()))
        except _GivenUpError as error:
            reason, http_status = error.reason, error.http_status
        except _PutOffError as error:
            return self._put_off_or_give_up(stored, replace(order, failures=failures), error)
        except DependencyUnavailableError as error:
            observability.log_dependency({"sweep_id": sweep.sweep_id}, error)
            wait_seconds = backoff_seconds(failures, self.dice)
            put_off = _PutOffError(error.cause, wait_seconds, failed=True)
            return self._put_off_or_give_up(stored, replace(order, failures=failures), put_off)
        return self._fail(stored, reason, http_status)

    def _look_at_page(self, sweep: Sweep, deadline: float) -> tuple[Sweep, _Verdicts, list[Member]]:
        """The sweep after its next page, what was found, and who of them is to be asked."""
        listing = self._read_page(sweep, deadline)
        walk, entries = sweep.walk.advance(listing)
        members = [each for each in entries if isinstance(each, Member)]
        standings = self.ledger.look_up([_subject(sweep, member) for member in members])
        known = {each.subject.user_id: each for each in standings}
        counts, verdicts, due = sweep.counts, _Verdicts(), list[Member]()
        for entry in entries:
            if sweep.terms.are_exhausted_by(counts):
                break
            verdict, asks = self._judge(sweep, entry, known.get(entry.user_id or ""))
            counts = counts.judged(verdict)
            verdicts.append((entry.user_id, verdict))
            if asks and isinstance(entry, Member):
                due.append(entry)
        counts = replace(counts, pages=counts.pages + 1)
        return replace(sweep, walk=walk, counts=counts), verdicts, due

    def _judge(
        self, sweep: Sweep, entry: Member | Unreadable, seen: Standing | None
    ) -> tuple[str, bool]:
        """What is said of a user, and whether a request is to be sent."""
        if seen is not None and (seen.is_latest or seen.filed is not None):
            # An execution that died before it checked this page off has sent it.
            return "due", False
        verdict = sweep.terms.verdict(entry, seen, self.clock())
        return verdict, verdict == "due"

    def _read_page(self, sweep: Sweep, deadline: float) -> Listing:
        self._wait_for_turn()
        api_key = self.caller.keys.current()
        verdict, _, outcome = self.caller.call(
            lambda key: self.search.search(sweep.walk.view, sweep.terms.roles, key),
            api_key,
            deadline,
            {"sweep_id": sweep.sweep_id},
        )
        if isinstance(outcome, Answered) and outcome.http_status == 200:
            try:
                return read_listing(outcome.body)
            except UnreadableAnswerError as error:
                raise _GivenUpError("answer_unreadable", outcome.http_status) from error
        if verdict.status is not None:
            raise _GivenUpError("search_refused", verdict.http_status)
        wait_seconds = verdict.retry_after_seconds or 0
        raise _PutOffError(verdict.reason, wait_seconds, failed=True)

    def _wait_for_turn(self) -> None:
        admission = self.caller.admit(1)
        if not admission.leave_at:
            wait_seconds = admission.return_at[0] - self.clock()
            if wait_seconds > _MAX_WAIT_SECONDS:
                raise _PutOffError(admission.cause or "quota", wait_seconds, failed=False)
            self.caller.sleep(max(wait_seconds, 0))
            admission = self.caller.admit(1)
        for leaves_at in admission.leave_at:
            if self.caller.may_leave(leaves_at):
                return
        raise _PutOffError(admission.cause or "paused", _MAX_WAIT_SECONDS, failed=False)

    def _check_time(self, deadline: float) -> None:
        if not self.caller.has_time(deadline - _MAX_WAIT_SECONDS):
            raise _PutOffError("no_time_left", 0, failed=False)

    def _ask_again(self, sweep: Sweep, members: Sequence[Member]) -> None:
        """Raises QueueUnavailableError; some of the requests may be on the queue then."""
        copies = [
            Copy(
                json.dumps({"user_id": member.user_id, "correlation_id": sweep.sweep_id}),
                Progress(
                    request_id=(request_id := _subject(sweep, member).request_id),
                    source=Source.SWEEP,
                    # Not the message's: however often it is sent, it is one life of one request.
                    life_id=request_id,
                    cap=sweep.terms.cap,
                ),
                0,
            )
            for member in members
        ]
        for error in self.queue.ask(copies):
            if error is not None:
                raise error

    def _check_off(self, stored: StoredSweep, sweep: Sweep) -> StoredSweep:
        written = self.store.write(stored.version, sweep)
        if written is None:
            # This execution was so slow that another thought it dead.
            raise _PutOffError("held", _MAX_WAIT_SECONDS, failed=False)
        return written

    def _end(self, stored: StoredSweep, summary: Summary) -> Summary:
        self.topic.publish_summary(summary)
        ended = replace(stored.sweep.let_go(), ended_at=self.clock(), reason=summary.reason)
        self.store.write(stored.version, ended)
        observability.log_sweep(summary)
        return summary

    def _fail(self, stored: StoredSweep, reason: str, http_status: int | None) -> Summary:
        failure = summarize(
            stored.sweep, reason, self.clock(), failed=True, http_status=http_status
        )
        return self._end(stored, failure)

    def _put_off_or_give_up(
        self, stored: StoredSweep, order: Order, error: _PutOffError
    ) -> Summary | PutOff:
        if error.failed:
            order = replace(order, failures=order.failures + 1)
            if order.failures > _MAX_FAILURES:
                return self._fail(stored, error.cause, None)
            wait_seconds = max(error.wait_seconds, backoff_seconds(order.failures, self.dice))
            error = _PutOffError(error.cause, wait_seconds, failed=True)
        with suppress(LedgerUnavailableError):
            # Or the others wait until it counts as dead.
            self.store.write(stored.version, stored.sweep.let_go())
        return self._put_off(order, stored.sweep.sweep_id, error)

    def _put_off(self, order: Order, sweep_id: str | None, error: _PutOffError) -> PutOff:
        delay_seconds = queue_delay(error.wait_seconds)
        put_off = PutOff(sweep_id, error.cause, delay_seconds)
        self.queue.put_off(write_order(order), delay_seconds)
        observability.log_put_off(put_off.sweep_id, put_off.cause, delay_seconds)
        return put_off


def _subject(sweep: Sweep, member: Member) -> Subject:
    return Subject(member.user_id, derived_request_id(sweep.sweep_id, member.user_id))
