"""A sweeper over small in-memory ports, and a vendor whose list of users moves."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from invitations.caller import Caller
from invitations.directory import View
from invitations.errors import (
    DependencyUnavailableError,
    LedgerUnavailableError,
    QueueUnavailableError,
    TopicUnavailableError,
)
from invitations.gate import Pace
from invitations.ledger import Change, Subject, UserRecord
from invitations.models import Answered, CallOutcome, Copy, NeverSent, Unanswered
from invitations.sweeper import PutOff, Sweeper
from invitations.sweeps import Order, StoredSweep, Summary, Sweep, Terms, read_order
from local.partoo.state import PartooState, Request, User
from tests.fakes import (
    CALL_BUDGET_SECONDS,
    START,
    Clock,
    ExecutionDiedError,
    FakeKeys,
    InMemoryGateKeeper,
    InMemoryLedger,
)

HOUR = 3600
LONG_AGO = int(START - 1_000 * HOUR)
EXECUTION_SECONDS = 300.0
TERMS = Terms(min_age_hours=72, max_invites=3, max_users=0)


@dataclass
class SweepWorld:
    """Everything that a sweep touches."""

    users: Sequence[User] = ()
    requests_per_minute: int = 6_000
    dies_at: int | None = None
    """After so many steps the execution dies, once."""
    failures: dict[str, int] = field(default_factory=dict)
    """How often the next calls of a port fail."""
    on_page: Callable[["SweepWorld"], None] = lambda _: None

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.partoo = PartooState(
            api_key="key-1", window_seconds=300, requests_per_minute=10**6, clock=self.clock
        )
        self.partoo.add_users(self.users)
        self.gate = InMemoryGateKeeper()
        self.keys = FakeKeys(self.clock, "key-1")
        self.ledger = InMemoryLedger()
        self.asked: list[Copy] = []
        self.put_off_orders: list[tuple[str, int]] = []
        self.summaries: list[Summary] = []
        self.stored: tuple[int, Sweep | None] = (0, None)
        self.pages: list[View] = []
        self.answers: list[CallOutcome] = []
        self._names = count(1)

    @property
    def sweeper(self) -> Sweeper:
        return Sweeper(
            caller=Caller(
                self.gate,
                self.keys,
                self.clock,
                self.clock.advance,
                Pace.within(self.requests_per_minute),
                CALL_BUDGET_SECONDS,
            ),
            search=self,
            ledger=self.ledger,
            store=self,
            queue=self,
            topic=self,
            clock=self.clock,
            new_id=lambda: f"id-{next(self._names)}",
            dice=random.Random(0),
        )

    def order(self, **terms: object) -> Order:
        return Order(replace(TERMS, **terms), self.clock())  # type: ignore[arg-type]  # as given

    def sweep(self, **terms: object) -> Summary | PutOff:
        return self.sweeper.sweep(self.order(**terms), self.clock() + EXECUTION_SECONDS)

    def go_on(self) -> Summary | PutOff:
        """Wait for the order that was put off, and see it carried out."""
        text, delay_seconds = self.put_off_orders.pop(0)
        self.clock.advance(delay_seconds)
        order = read_order(_parsed(text), TERMS, self.clock())
        return self.sweeper.sweep(order, self.clock() + EXECUTION_SECONDS)

    def sweep_to_the_end(self, **terms: object) -> Summary:
        outcome = self.sweep(**terms)
        for _ in range(100):
            if isinstance(outcome, Summary):
                return outcome
            outcome = self.go_on()
        raise AssertionError("a sweep is put off for ever")

    def invite_those_asked(self) -> None:
        """As the other function would."""
        for user_id in self.asked_users():
            self.invited(user_id)
        self.asked.clear()

    def invited(self, user_id: str, times: int = 1) -> None:
        seen = self.ledger.table.standing(Subject(user_id, "r"))
        user = UserRecord(sent_count=seen.user.sent_count + times, last_sent_at=self.clock())
        self.ledger.table.write(seen, Change(user))

    def asked_users(self) -> list[str]:
        return [_parsed(copy.body)["user_id"] for copy in self.asked]

    # The ports.

    def search(self, view: View, roles: Sequence[str], api_key: str) -> CallOutcome:
        self._step("search")
        self.pages.append(view)
        if self.answers:
            return self.answers.pop(0)
        self.clock.advance(0.3)
        query = (
            f"status=invited&disabled=False&order_by=email&page={view.page}&per_page={view.size}"
        )
        if roles:
            query += f"&role={','.join(roles)}"
        headers = (("x-APIKey", api_key),)
        _, answer = self.partoo.receive(Request("GET", f"/v2/user/search?{query}", headers))
        self.on_page(self)
        return Answered(answer.status, self.clock(), body=answer.body or "")

    def read(self) -> tuple[int, Sweep | None]:
        self._step("store")
        return self.stored

    def write(self, version: int, sweep: Sweep) -> StoredSweep | None:
        self._step("store")
        if self.stored[0] != version:
            return None
        self.stored = version + 1, Sweep.from_json(sweep.to_json())
        return StoredSweep(version + 1, sweep)

    def ask(self, copies: Sequence[Copy]) -> list[QueueUnavailableError | None]:
        errors: list[QueueUnavailableError | None] = []
        for copy in copies:
            try:
                self._step("queue")
            except QueueUnavailableError as error:
                errors.append(error)
            else:
                self.asked.append(copy)
                errors.append(None)
        return errors

    def put_off(self, order: str, delay_seconds: int) -> None:
        self._step("queue")
        self.put_off_orders.append((order, delay_seconds))

    def publish_summary(self, summary: Summary) -> None:
        self._step("topic")
        self.summaries.append(summary)

    def _step(self, port: str) -> None:
        if self.dies_at is not None:
            self.dies_at -= 1
            if self.dies_at < 0:
                self.dies_at = None
                raise ExecutionDiedError
        if self.failures.get(port, 0) > 0:
            self.failures[port] -= 1
            raise _ERRORS[port]


_ERRORS: dict[str, DependencyUnavailableError] = {
    "store": LedgerUnavailableError("the fake table is down"),
    "queue": QueueUnavailableError("the fake queue is down"),
    "topic": TopicUnavailableError("the fake topic is down"),
}


def never_sent() -> CallOutcome:
    return NeverSent("connection refused")


def unanswered() -> CallOutcome:
    return Unanswered("read timed out", gave_up_at=START)


def answered(status: int, retry_after: str | None = None, body: str = "") -> CallOutcome:
    return Answered(status, START, retry_after, body=body)


def invited_users(number: int, **fields: object) -> list[User]:
    return [
        User(f"{index:024x}", created_at=LONG_AGO, **fields)  # type: ignore[arg-type]  # as given
        for index in range(number)
    ]


def _parsed(text: str) -> dict[str, str]:
    parsed: dict[str, str] = json.loads(text)
    return parsed
