"""One sweep, from the end of the vendor's list to its beginning, a page at a time.

The requests of a page are on the queue before the page's checkpoint is written. Each is named after
the sweep and the user: a page that is read again, because an execution died, asks for nothing new.
"""

import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from invitations.errors import DependencyUnavailableError, TableUnavailableError
from invitations.ledger import Ledger
from invitations.limited_call import LimitedCaller
from invitations.limiter_state import Wait
from invitations.messages import MAX_DELAY_SECONDS, RetryState, backoff_seconds, delay_seconds
from invitations.observability import count, count_by, log_dependency, logger
from invitations.outcomes import Answered
from invitations.partoo import PartooApi
from invitations.queues import MessageQueue
from invitations.results import Source, Status, derived_request_id
from invitations.sweeps.criteria import DUE, SweepRequest
from invitations.sweeps.cursor import Cursor, FoundUser, UnreadableAnswerError, read_listing
from invitations.sweeps.sweep import FAILED, Sweep
from invitations.table import ConflictError, Item, Key, Table
from invitations.topic import ResultTopic

# With backoff between them, 48 to 96 minutes; three more take 22 to 45.
_MAX_DELAYS, _MORE_DELAYS = 12, 3
_SHOWN_USERS = 100
# Longer than a page takes without trouble.
_LEASE_SECONDS = 120.0

_REFUSED = "The API refused the search; check that the key may list the organisation's users."
_DELAYED = f"The sweep was rescheduled {_MAX_DELAYS} times without a page being read."

_KEY: Key = ("SWEEP", "SWEEP")

Answer = Mapping[str, Any]
"""What an invocation is answered: a summary, or that the sweep was rescheduled."""

Verdicts = list[tuple[FoundUser, str]]


@dataclass
class _DelayedError(Exception):
    """The sweep cannot continue before `until` (epoch seconds)."""

    cause: str
    until: float
    has_appointment: bool = False


@dataclass(frozen=True)
class Sweeper:
    caller: LimitedCaller
    api: PartooApi
    ledger: Ledger
    table: Table
    bulk_queue: MessageQueue
    sweep_queue: MessageQueue
    topic: ResultTopic
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    rng: random.Random = field(default_factory=random.Random)

    def sweep(self, request: SweepRequest, deadline: float) -> Answer:
        """Carry a sweep on until it ends or `deadline` (epoch seconds) is near.

        Raises DependencyUnavailableError when it can neither continue nor be rescheduled.
        """
        while True:
            item, now = self.table.read([_KEY])[0], self.clock()
            sweep = Sweep.from_json(item["sweep"]) if item else None
            if sweep is not None and sweep.answers(request):
                return sweep.summary(sweep.ended_at or now)
            if sweep is None or sweep.ended_at is not None:
                sweep = Sweep.begin(self.new_id(), request.criteria, now)
            elif now < sweep.leased_until:
                delay = _DelayedError("lease_taken", sweep.leased_until + 1)
                return self._reschedule(request, delay, None)
            try:
                item = self._write(sweep, item)
                answer = self._carry_on(sweep, item, request, deadline)
            except ConflictError:
                # Another execution took the lease, now or while this one was too slow.
                delay = _DelayedError("lease_taken", self.clock() + _LEASE_SECONDS)
                return self._reschedule(request, delay, None)
            # A sweep by other criteria that was left undone comes first.
            if sweep.criteria == request.criteria or answer["status"] == "rescheduled":
                return answer

    def preview(self, request: SweepRequest, deadline: float) -> Answer:
        """Judge every user, and request nothing."""
        sweep, verdicts = Sweep.begin("dry-run", request.criteria, self.clock()), Verdicts()
        while not sweep.is_over:
            try:
                sweep, found = self._read_page(sweep, request, deadline)
                verdicts += found[: _SHOWN_USERS - len(verdicts)]
            except (_DelayedError, DependencyUnavailableError) as error:
                sweep = sweep.organisation_ended(FAILED, error.cause)
        users = [
            {"user_id": user.user_id, "due": verdict == DUE, "reason": verdict}
            for user, verdict in verdicts
        ]
        return sweep.summary(self.clock(), dry_run=True) | {"dry_run": True, "users": users}

    def _carry_on(self, sweep: Sweep, item: Item, request: SweepRequest, deadline: float) -> Answer:
        """Read page after page; raises ConflictError when another execution took the lease."""
        while not sweep.is_over:
            try:
                after, verdicts = self._read_page(sweep, request, deadline)
                self._request_invitations(sweep, verdicts)
                request = replace(request, delays=0, has_appointment=False)
            except (_DelayedError, DependencyUnavailableError) as error:
                if isinstance(error, DependencyUnavailableError):
                    log_dependency({"sweep_id": sweep.sweep_id}, error)
                    error = _DelayedError(error.cause, self.clock())
                if request.delays < _MAX_DELAYS:
                    with suppress(TableUnavailableError, ConflictError):
                        # Or other executions wait for the lease's end.
                        self._write(sweep, item, lease_seconds=0)
                    request = replace(request, delays=request.delays + 1)
                    return self._reschedule(request, error, sweep.sweep_id)
                after = sweep.organisation_ended(FAILED, error.cause, _DELAYED)
                # The next organisation gets a few of its own.
                request = replace(request, delays=_MAX_DELAYS - _MORE_DELAYS)
            sweep, item = after, self._write(after, item)
        return self._end(sweep, item)

    def _write(self, sweep: Sweep, item: Item, lease_seconds: float = _LEASE_SECONDS) -> Item:
        """Replace the item that was read; raises ConflictError if it has changed since."""
        leased = replace(sweep, leased_until=self.clock() + lease_seconds)
        return self.table.write(_KEY, {"sweep": leased.to_json()}, item)

    def _read_page(
        self, sweep: Sweep, request: SweepRequest, deadline: float
    ) -> tuple[Sweep, Verdicts]:
        """Read the next page; return the sweep after it, and the verdict on each new user.

        Raises _DelayedError or DependencyUnavailableError when there is no answer.
        """
        page = sweep.cursor.page
        query = {
            "status": "invited",
            "disabled": "False",
            "display_business_ids": "False",
            "order_by": "email",
            "page": str(page.number),
            "per_page": str(page.size),
        }
        if sweep.criteria.roles:
            query["role"] = ",".join(sweep.criteria.roles)
        if sweep.current.org_id is not None:
            query["org_id"] = sweep.current.org_id
        called = self.caller.call(
            "search",
            lambda api_key: self.api.search(query, api_key),
            {"sweep_id": sweep.sweep_id},
            deadline,
            has_appointment=request.has_appointment,
            page=page.number,
        )
        if isinstance(called, Wait):
            raise _DelayedError(called.cause, called.until, called.has_appointment)
        response, outcome = called
        if outcome.status == Status.REJECTED:
            status = outcome.http_status
            return sweep.organisation_ended(FAILED, "search_refused", _REFUSED, status), []
        if outcome.cause is not None:
            until = self.clock() + (outcome.retry_after_seconds or 0)
            raise _DelayedError(outcome.cause, until)
        try:
            body = response.body if isinstance(response, Answered) else ""
            cursor, users = sweep.cursor.advance(read_listing(body, page))
        except UnreadableAnswerError as error:
            status = outcome.http_status
            return sweep.organisation_ended(FAILED, "answer_unreadable", str(error), status), []
        return self._judge(sweep, users, cursor)

    def _judge(
        self, sweep: Sweep, users: Sequence[FoundUser], cursor: Cursor
    ) -> tuple[Sweep, Verdicts]:
        request_ids = [derived_request_id(sweep.sweep_id, user.user_id) for user in users]
        user_ids = [user.user_id or "" for user in users]
        known = self.ledger.read_many(list(zip(user_ids, request_ids, strict=True)))
        verdicts = Verdicts()
        for user, request_id, seen in zip(users, request_ids, known, strict=True):
            if not sweep.has_room:
                break
            record = seen.user.with_open_claim_counted()
            verdict = sweep.criteria.verdict(user, sweep.current.org_id, record, self.clock())
            if seen.stored is not None or seen.user.has_claim_of(request_id):
                # Requested by an execution that died before it wrote this page's checkpoint.
                verdict = DUE
            invitations = record.sent_count + record.maybe_sent_count
            sweep = sweep.with_current(sweep.current.with_user(verdict, user.role, invitations))
            verdicts.append((user, verdict))
        return sweep.with_page(cursor), verdicts

    def _request_invitations(self, sweep: Sweep, verdicts: Verdicts) -> None:
        requests = []
        for user, verdict in verdicts:
            if verdict == DUE:
                state = RetryState(
                    derived_request_id(sweep.sweep_id, user.user_id),
                    Source.SWEEP,
                    # The same for each reading of the page, or the requests would look redriven.
                    asked_at=sweep.started_at,
                    criteria=sweep.criteria.of_requests,
                )
                body = {"user_id": user.user_id, "correlation_id": sweep.sweep_id}
                requests.append((json.dumps(body), state))
        self.bulk_queue.send(requests)

    def _end(self, sweep: Sweep, item: Item) -> Answer:
        """Publish the summary; again, if an execution died before it could write that it had."""
        now = self.clock()
        summary = sweep.summary(now)
        self.topic.publish_summary(summary)
        self._write(replace(sweep, ended_at=now), item)
        has_failed = summary["status"] == FAILED
        (logger.error if has_failed else logger.info)("sweep ended", extra=summary)
        count("SweepsEnded")
        count("SweepFailures", int(has_failed))
        count("SweepUsersFound", summary["found"])
        count("SweepUsersDue", summary["due"])
        count("SweepRequestsQueued", summary["queued"])
        users_by_times = Counter[int]()
        for times, users in summary["invitations"].items():
            users_by_times[min(int(times), 4)] += users
        for times, name in enumerate(("0", "1", "2", "3", "4+")):
            count_by("SweepUsersInvited", users_by_times[times], invitations=name)
        return summary

    def _reschedule(
        self, request: SweepRequest, delay: _DelayedError, sweep_id: str | None
    ) -> Answer:
        backoff = backoff_seconds(request.delays, MAX_DELAY_SECONDS, self.rng)
        seconds = delay_seconds(max(delay.until - self.clock(), backoff), self.rng)
        waiting = replace(request, has_appointment=delay.has_appointment)
        self.sweep_queue.send_text(waiting.to_json(), seconds)
        rescheduled = {"sweep_id": sweep_id, "cause": delay.cause, "delay_seconds": seconds}
        logger.info("sweep rescheduled", extra=rescheduled)
        count("SweepsRescheduled")
        return {"status": "rescheduled", **rescheduled}
