"""One sweep, from the end of the vendor's list to its beginning, a page at a time.

The requests of a page are on the queue before the page's checkpoint is written. Each is named after
the sweep and the user: a page that is read again, because an execution died, asks for nothing new.
"""

import json
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from invitations.calls import ApiCalls
from invitations.errors import DependencyUnavailableError, TableUnavailableError
from invitations.ledger import Ledger
from invitations.limiter_state import Wait
from invitations.messages import (
    MAX_DELAY_SECONDS,
    Message,
    RetryState,
    backoff_seconds,
    delay_seconds,
)
from invitations.observability import count, log_dependency, logger
from invitations.partoo import PartooApi
from invitations.queues import MessageQueue
from invitations.results import Source, Status, derived_request_id
from invitations.sweeps.criteria import DUE, Criteria
from invitations.sweeps.cursor import Cursor, FoundUser, UnreadableAnswerError, read_listing
from invitations.sweeps.sweep import FAILED, Sweep
from invitations.table import ConflictError, Item, Key, Table
from invitations.topic import ResultTopic

# With backoff between them, 48 to 96 minutes for each organisation.
_MAX_DELAYS = 12
_SHOWN_USERS = 100
# Longer than a page takes without trouble.
_LEASE_SECONDS = 120.0

_REFUSED = "The API refused the search; check that the key may list the organisation's users."
_DELAYED = f"The sweep was rescheduled {_MAX_DELAYS} times without a page being read."

INVITED_METRICS = (
    "SweepUsersNeverInvited",
    "SweepUsersInvitedOnce",
    "SweepUsersInvitedTwice",
    "SweepUsersInvitedMore",
)
"""Metrics of the users that a sweep finds, by how often they have been invited."""

_KEY: Key = ("SWEEP", "SWEEP")

Answer = Mapping[str, Any]
"""What an invocation is answered: a summary, or that the sweep was rescheduled."""

Verdicts = list[dict[str, Any]]
"""Whether each user is due, and why not."""

Requests = list[Message]
"""Messages with the requests for the users who are due."""


@dataclass
class _DelayedError(Exception):
    """The sweep cannot continue for some time."""

    cause: str
    seconds: float = 0.0
    has_appointment: bool = False


@dataclass(frozen=True)
class Sweeper:
    calls: ApiCalls
    api: PartooApi
    ledger: Ledger
    table: Table
    bulk_queue: MessageQueue
    sweep_queue: MessageQueue
    topic: ResultTopic
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = lambda: str(uuid.uuid4())
    rng: random.Random = field(default_factory=random.Random)

    def sweep(self, criteria: Criteria, asked_at: float, deadline: float) -> Answer:
        """Carry a sweep on until it ends or `deadline` (epoch seconds) is near.

        Raises DependencyUnavailableError when it can neither continue nor be rescheduled.
        """
        while True:
            item, now = self.table.read([_KEY])[0], self.clock()
            sweep = Sweep.from_json(item["sweep"]) if item else None
            if sweep is not None and sweep.satisfies(criteria, asked_at):
                return sweep.summary(sweep.ended_at or now)
            if sweep is None or sweep.ended_at is not None:
                sweep = Sweep.begin(self.new_id(), criteria, now)
            logger.append_keys(sweep_id=sweep.sweep_id)
            try:
                if now < sweep.leased_until:
                    seconds = sweep.leased_until - now + 1
                    raise _DelayedError("lease_taken", seconds)  # noqa: TRY301  # handled below
                answer = self._carry_on(sweep, self._write(sweep, item), deadline)
            except _DelayedError as delay:
                seconds = delay_seconds(delay.seconds, self.rng)
                request = {**vars(criteria), "asked_at": asked_at}
                self.sweep_queue.send_text(json.dumps(request), seconds)
                rescheduled = {"cause": delay.cause, "delay_seconds": seconds}
                logger.info("sweep rescheduled", extra=rescheduled)
                count("SweepsRescheduled")
                return {"status": "rescheduled", "sweep_id": sweep.sweep_id, **rescheduled}
            # A sweep by other criteria that was left undone comes first.
            if sweep.criteria == criteria:
                return answer

    def preview(self, criteria: Criteria, deadline: float) -> Answer:
        """Judge every user, and request nothing."""
        sweep, users = Sweep.begin("dry-run", criteria, self.clock()), Verdicts()
        while not sweep.is_over:
            try:
                sweep, verdicts, _ = self._read_page(sweep, deadline)
                users += verdicts[: _SHOWN_USERS - len(users)]
            except (_DelayedError, DependencyUnavailableError) as error:
                sweep = sweep.organisation_ended(FAILED, error.cause)
        return sweep.summary(self.clock()) | {"queued": 0, "dry_run": True, "users": users}

    def _carry_on(self, sweep: Sweep, item: Item, deadline: float) -> Answer:
        """Read page after page; raises _DelayedError."""
        while not sweep.is_over:
            try:
                after, _, requests = self._read_page(sweep, deadline)
                self.bulk_queue.send_all(requests)
            except (_DelayedError, DependencyUnavailableError) as error:
                if isinstance(error, DependencyUnavailableError):
                    log_dependency(error)
                    error = _DelayedError(error.cause)
                if sweep.delays < _MAX_DELAYS:
                    delays, is_appointment = sweep.delays + 1, error.has_appointment
                    waiting = replace(sweep, delays=delays, has_appointment=is_appointment)
                    # The next execution begins with a write: no sweep waits for ever.
                    with suppress(TableUnavailableError):
                        self._write(waiting, item, lease_seconds=0)
                    backoff = backoff_seconds(delays, MAX_DELAY_SECONDS, self.rng)
                    error.seconds = max(error.seconds, backoff)
                    raise error from None
                after = sweep.organisation_ended(FAILED, error.cause, detail=_DELAYED)
            sweep, item = after, self._write(after, item)
        return self._end(sweep, item)

    def _write(self, sweep: Sweep, item: Item, lease_seconds: float = _LEASE_SECONDS) -> Item:
        """Replace the item that was read; raises _DelayedError if another execution has."""
        leased = replace(sweep, leased_until=self.clock() + lease_seconds)
        try:
            return self.table.write(_KEY, {"sweep": leased.to_json()}, item)
        except ConflictError:
            raise _DelayedError("lease_taken", _LEASE_SECONDS) from None

    def _read_page(self, sweep: Sweep, deadline: float) -> tuple[Sweep, Verdicts, Requests]:
        """Read the next page; return the sweep after it, and each new user's verdict and request.

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
        outcome = self.calls.wait_and_make(
            "search",
            lambda api_key: self.api.search(query, api_key),
            deadline,
            has_appointment=sweep.has_appointment,
        )
        if isinstance(outcome, Wait):
            seconds = outcome.until - self.clock()
            raise _DelayedError(outcome.cause, seconds, outcome.has_appointment)
        if outcome.cause is not None:
            raise _DelayedError(outcome.cause, outcome.retry_after_seconds or 0.0)
        http_status = outcome.http_status
        if outcome.status == Status.REJECTED:
            end = {"detail": _REFUSED, "http_status": http_status}
            return sweep.organisation_ended(FAILED, "search_refused", **end), [], []
        try:
            cursor, users = sweep.cursor.advance(*read_listing(outcome.body, page))
        except UnreadableAnswerError as error:
            end = {"detail": str(error), "http_status": http_status}
            return sweep.organisation_ended(FAILED, "answer_unreadable", **end), [], []
        return self._judge(sweep, users, cursor)

    def _judge(
        self, sweep: Sweep, users: Sequence[FoundUser], cursor: Cursor
    ) -> tuple[Sweep, Verdicts, Requests]:
        request_ids = [derived_request_id(sweep.sweep_id, user.user_id) for user in users]
        user_ids = [user.user_id or "" for user in users]
        known = self.ledger.read_many(list(zip(user_ids, request_ids, strict=True)))
        verdicts, requests = Verdicts(), Requests()
        for user, request_id, (claimed, stored) in zip(users, request_ids, known, strict=True):
            if not sweep.has_room:
                break
            record = claimed.with_open_claim_counted()
            verdict = sweep.criteria.verdict(user, sweep.current.org_id, record, self.clock())
            if stored is not None or claimed.window_request_id == request_id:
                # Requested by an execution that died before it wrote this page's checkpoint.
                verdict = DUE
            sweep = sweep.with_user(verdict, user.role, record.sent_count + record.maybe_sent_count)
            is_due = verdict == DUE
            verdicts.append({"user_id": user.user_id, "due": is_due, "reason": verdict})
            if is_due:
                body = {"user_id": user.user_id, "correlation_id": sweep.sweep_id}
                # `asked_at` is the same for each reading of the page, or the requests would look
                # redriven.
                state = RetryState(
                    asked_at=sweep.started_at,
                    max_invites=sweep.criteria.max_invites,
                    min_age_seconds=sweep.criteria.min_age_seconds,
                )
                requests.append(Message(request_id, json.dumps(body), Source.SWEEP, state))
        return sweep.with_page(cursor), verdicts, requests

    def _end(self, sweep: Sweep, item: Item) -> Answer:
        """Publish the summary; again, if an execution died before it could write that it had."""
        now = self.clock()
        summary = sweep.summary(now)
        self.topic.publish(summary, Source.SWEEP)
        self._write(replace(sweep, ended_at=now), item)
        has_failed = summary["status"] == FAILED
        (logger.error if has_failed else logger.info)("sweep ended", extra=summary)
        count("SweepsEnded")
        count("SweepFailures", int(has_failed))
        count("SweepUsersFound", summary["found"])
        count("SweepUsersDue", summary["due"])
        count("SweepRequestsQueued", summary["queued"])
        for times, users in summary["invitations"].items():
            count(INVITED_METRICS[min(int(times), len(INVITED_METRICS) - 1)], users)
        return summary
