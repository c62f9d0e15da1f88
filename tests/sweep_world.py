"""Sweeps over the fakes of `tests/fakes.py`, with a clock that moves only when told to.

The limiter, the ledger, the queues' senders and the function that invites are the real ones.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from invitations.messages import ClaimEnd
from invitations.outcomes import Outcome, judge
from invitations.partoo import PartooApi
from invitations.reinvite import Execution
from invitations.sweeps.criteria import Criteria, read_sweep_request
from invitations.sweeps.sweeper import Answer, Sweeper
from tests.documents import schema
from tests.fakes import (
    EXECUTION_SECONDS,
    START,
    ExecutionDiedError,
    FaultError,
    Outside,
    Settings,
    StoredMessage,
)
from tests.reinvite_world import Clock

HOUR = 3600.0
LONG_AGO = int(START - 1_000 * HOUR)
CRITERIA = Criteria(min_age_hours=72, max_invites=3, max_users=0)
BULK, SWEEPS = "bulk", "sweeps"


def user(user_id: str, **fields: Any) -> dict[str, Any]:
    """A user as the vendor shows one."""
    return {
        "id": user_id,
        "email": f"{user_id}@example.com",
        "org_id": 1,
        "status": "invited",
        "role": "PUBLISHER",
        "disabled": False,
        "sso_only": False,
        "created_at": LONG_AGO,
        **fields,
    }


def people(number: int, prefix: str = "user", **fields: Any) -> list[dict[str, Any]]:
    return [user(f"{prefix}-{index:05}", **fields) for index in range(number)]


class CountedSteps:
    """Steps of which the next of a service fail, or a later one kills the execution."""

    def __init__(self) -> None:
        self.until_death: int | None = None
        self.failures = Counter[str]()
        """How often `table`, `queue`, `topic` or `secret` will not answer."""

    def before(self, step: str) -> None:
        self.after(step)
        service = step.partition(".")[0]
        if self.failures[service] > 0:
            self.failures[service] -= 1
            raise FaultError

    def after(self, step: str) -> None:
        if self.until_death is not None:
            self.until_death -= 1
            if self.until_death < 0:
                self.until_death = None
                raise ExecutionDiedError(step)


class FakePartoo(PartooApi):
    """The vendor's list, in the order of e-mail addresses; all calls with their times."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.users: dict[str, dict[str, Any]] = {}
        self.answers: list[Outcome] = []
        """Of the next calls, before any other."""
        self.distort: Callable[[dict[str, str], dict[str, Any]], dict[str, Any]] = (
            lambda _, document: document
        )
        self.statuses: dict[str, int] = {}
        """Of organisations that are not shown."""
        self.after_search: Callable[[], object] = lambda: None
        self.searches: list[tuple[float, dict[str, str]]] = []
        self.invitations: list[tuple[float, str]] = []

    def add(self, users: Iterable[dict[str, Any]]) -> None:
        self.users |= {each["id"]: each for each in users}

    def search(self, query: dict[str, str], api_key: str) -> Outcome:
        self.searches.append((self.clock(), query))
        self.clock.advance(0.3)
        if self.answers:
            return self.answers.pop(0)
        if query.get("org_id") in self.statuses:
            return self._answer(self.statuses[query["org_id"]])
        page, size = int(query["page"]), int(query["per_page"])
        found = sorted(
            (each for each in self.users.values() if _is_found(each, query)),
            key=lambda each: str(each["email"]),
        )
        document = {
            "page": page,
            "max_page": max(1, -(-len(found) // size)),
            "count": len(found),
            "users": found[(page - 1) * size : page * size],
        }
        document = self.distort(query, document)
        self.after_search()
        return self._answer(200, json.dumps(document))

    def invite(self, user_id: str, api_key: str) -> Outcome:
        self.invitations.append((self.clock(), user_id))
        self.clock.advance(0.2)
        return self._answer(200)

    def _answer(self, status: int, body: str = "") -> Outcome:
        return replace(judge(status, self.clock()), body=body)


def _is_found(each: dict[str, Any], query: dict[str, str]) -> bool:
    return (
        each.get("status") == "invited"
        and not each.get("disabled")
        and ("role" not in query or each["role"] in query["role"].split(","))
        and str(each.get("org_id")) == query.get("org_id", "1")
    )


class SweepWorld(Outside):
    """Everything that a sweep and its requests touch."""

    def __init__(
        self, users: Iterable[dict[str, Any]] = (), *, requests_per_minute: int = 6_000
    ) -> None:
        self.clock, self.steps = Clock(), CountedSteps()
        super().__init__(self.steps, self.clock)
        self.partoo = FakePartoo(self.clock)
        self.partoo.add(users)
        self.resumed = 0
        self.summaries = list[dict[str, Any]]()
        numbers = count(1)
        self.new_id: Callable[[], str] = lambda: f"id-{next(numbers)}"
        settings = Settings(requests_per_minute=requests_per_minute)
        clock, wait = self.clock, self.clock.advance
        self.reinviter = self.make_reinviter(self.partoo, settings, clock, wait)
        self.sweeper = Sweeper(
            calls=self.reinviter.calls,
            api=self.partoo,
            ledger=self.reinviter.ledger,
            table=self.table,
            bulk_queue=self.reinviter.bulk_queue,
            sweep_queue=self.queue(SWEEPS),
            topic=self.reinviter.topic,
            clock=clock,
            new_id=self.new_id,
            rng=random.Random(0),
        )

    def publish(self, text: str) -> None:
        document = json.loads(text)
        if "organisations" in document:
            schema("sweep").validate(document)
            self.summaries.append(document)
        else:
            super().publish(text)

    # What a sweep does.

    def sweep(self, **criteria: Any) -> Answer:
        """One execution, started by the schedule."""
        return self.execute(criteria)

    def execute(self, event: Mapping[str, Any]) -> Answer:
        criteria, deadline = read_sweep_request(event, CRITERIA), self.clock() + 300
        if event.get("dry_run"):
            return self.sweeper.preview(criteria, deadline)
        return self.sweeper.sweep(criteria, event.get("asked_at", self.clock()), deadline)

    def resume(self) -> Answer:
        """Wait for the next rescheduled sweep, and carry it on."""
        self.resumed += 1
        return self.execute(json.loads(self.receive(SWEEPS).body))

    def sweep_to_the_end(self, **criteria: Any) -> Answer:
        return self.resume_to_the_end(self.sweep(**criteria))

    def resume_to_the_end(self, answer: Answer | None = None) -> Answer:
        for _ in range(100):
            answer = answer or self.resume()
            if answer["status"] != "rescheduled":
                return answer
            answer = None
        raise AssertionError("a sweep is rescheduled for ever")

    # What becomes of its requests.

    def on(self, queue: str) -> list[StoredMessage]:
        return [each for each in self.messages if each.queue == queue]

    @property
    def requested(self) -> list[str]:
        """The users of the requests on the bulk queue."""
        return [json.loads(each.body)["user_id"] for each in self.on(BULK)]

    def receive(self, queue: str) -> StoredMessage:
        """Wait for the next message of a queue, and remove it."""
        message = min(self.on(queue), key=lambda each: each.due_at)
        self.messages.remove(message)
        self.clock.now = max(self.clock.now, message.due_at)
        return message

    def carry_out_request(self) -> None:
        message = self.receive(BULK).received(self.clock())
        self.reinviter.carry_out(message, Execution(self.clock() + EXECUTION_SECONDS))

    def invited(self, user_id: str, times: int = 1) -> None:
        """Note invitations by whatever trigger, made now."""
        ledger, now = self.reinviter.ledger, self.clock()
        for _ in range(times):
            user = ledger.read(user_id, "an event's").user
            claim_id = ledger.claim(user_id, user, "an event's", now)
            ledger.end_claim(user_id, claim_id, ClaimEnd(invited_at=now, sent=True))
