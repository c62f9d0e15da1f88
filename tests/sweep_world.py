"""Sweeps over small fakes of AWS and the vendor, with a clock that moves only when told to.

The limiter, the ledger, the queues' senders and the function that invites are the real ones. The
fakes die or fail at a step when a test says so: before each call of AWS, and after its effect.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import jmespath

from invitations.api_key import ApiKeys
from invitations.calls import ApiCalls
from invitations.errors import KeyUnavailableError, TableUnavailableError
from invitations.exits import Exits
from invitations.ledger import Ledger
from invitations.limited_call import LimitedCaller
from invitations.messages import ClaimEnd, Message, Pace, RetryState
from invitations.outcomes import Answered, Response
from invitations.partoo import PartooApi
from invitations.policy import Policy
from invitations.queues import MessageQueue
from invitations.rate_limiter import RateLimiter
from invitations.reinvite import Execution, Reinviter
from invitations.results import Source
from invitations.sweeps.criteria import Criteria, SweepRequest, read_sweep_request
from invitations.sweeps.store import SweepStore
from invitations.sweeps.sweeper import Answer, Sweeper
from invitations.table import Item, Key
from invitations.topic import ResultTopic
from tests.fakes import CALL_BUDGET_SECONDS, START, ExecutionDiedError
from tests.memory_table import InMemoryTable
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


@dataclass
class Steps:
    """What happens at the next steps."""

    until_death: int | None = None
    failures: Counter[str] = field(default_factory=Counter)
    """How often a service will not answer."""
    taken: int = 0

    def take(self, service: str) -> bool:
        """Count a step; whether the service answers. Raises ExecutionDiedError."""
        self.taken += 1
        if self.until_death is not None:
            self.until_death -= 1
            if self.until_death < 0:
                self.until_death = None
                raise ExecutionDiedError
        if self.failures[service] > 0:
            self.failures[service] -= 1
            return False
        return True


class FakeTable(InMemoryTable):
    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    def read(self, keys: Sequence[Key]) -> list[Item]:
        if not self._steps.take("table"):
            raise TableUnavailableError("the fake table is down")
        return super().read(keys)

    def write(self, key: Key, item: Item, seen: Item) -> Item:
        if not self._steps.take("table"):
            raise TableUnavailableError("the fake table is down")
        written = super().write(key, item, seen)
        self._steps.take("after")
        return written


@dataclass
class FakeSqs:
    """The client; messages wait until their delay is over."""

    steps: Steps
    clock: Clock
    waiting: list[tuple[float, int, str, dict[str, Any]]] = field(default_factory=list)
    numbers: Any = field(default_factory=count)

    def send_message_batch(self, QueueUrl: str, Entries: Sequence[Any]) -> Any:  # noqa: N803
        if not self.steps.take("queue"):
            return {"Failed": [{"Id": each["Id"], "Code": "Down"} for each in Entries]}
        for entry in Entries:
            assert 0 <= entry.get("DelaySeconds", 0) <= 900
            visible_at = self.clock() + entry.get("DelaySeconds", 0)
            self.waiting.append((visible_at, next(self.numbers), QueueUrl, entry))
        self.steps.take("after")
        return {"Successful": [{"Id": each["Id"]} for each in Entries]}

    def on(self, queue: str) -> list[dict[str, Any]]:
        return [entry for _, _, url, entry in self.waiting if url == queue]

    def receive(self, queue: str) -> dict[str, Any]:
        """Wait for the next message of a queue, and remove it."""
        visible_at, number, _, entry = message = min(
            (each for each in self.waiting if each[2] == queue), key=lambda each: each[:2]
        )
        self.waiting.remove(message)
        self.clock.now = max(self.clock.now, visible_at)
        return {**entry, "MessageId": f"message-{number}"}


@dataclass
class FakeSns:
    steps: Steps
    published: list[dict[str, Any]] = field(default_factory=list)

    def publish_batch(self, TopicArn: str, PublishBatchRequestEntries: Sequence[Any]) -> Any:  # noqa: N803
        if not self.steps.take("topic"):
            failed = [{"Id": each["Id"], "Code": "Down"} for each in PublishBatchRequestEntries]
            return {"Failed": failed}
        self.published += [json.loads(each["Message"]) for each in PublishBatchRequestEntries]
        self.steps.take("after")
        return {"Successful": [{"Id": each["Id"]} for each in PublishBatchRequestEntries]}


class FakeKeys(ApiKeys):
    def __init__(self) -> None:
        self.secret = self.known = "key-1"
        self.failures = 0

    def current(self) -> str:
        if self.failures:
            self.failures -= 1
            raise KeyUnavailableError("the fake secret is unavailable")
        return self.known

    def replacement(self, refused: str) -> str | None:
        self.known = self.secret
        return None if self.secret == refused else self.secret


Distortion = Callable[[dict[str, str], dict[str, Any]], dict[str, Any]]


class FakePartoo(PartooApi):
    """The vendor's list, in the order of e-mail addresses; all calls with their times."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.key = "key-1"
        self.users: dict[str, dict[str, Any]] = {}
        self.answers: list[Response] = []
        """Of the next calls, before any other."""
        self.distort: Distortion = lambda _, document: document
        self.statuses: dict[str, int] = {}
        """Of organisations that are not shown."""
        self.after_search: Callable[[], None] = lambda: None
        self.invite_status = 200
        self.searches: list[tuple[float, dict[str, str]]] = []
        self.invitations: list[tuple[float, str]] = []

    def add(self, users: Iterable[dict[str, Any]]) -> None:
        self.users |= {each["id"]: each for each in users}

    def search(self, query: dict[str, str], api_key: str) -> Response:
        self.searches.append((self.clock(), query))
        self.clock.advance(0.3)
        if self.answers:
            return self.answers.pop(0)
        if api_key != self.key:
            return self._answer(401)
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

    def invite(self, user_id: str, api_key: str) -> Response:
        self.invitations.append((self.clock(), user_id))
        self.clock.advance(0.2)
        return self._answer(self.invite_status)

    def list_keys(self, api_key: str) -> Response:
        raise NotImplementedError

    def _answer(self, status: int, body: str = "") -> Response:
        return Answered(status, self.clock(), body=body)


def _is_found(each: dict[str, Any], query: dict[str, str]) -> bool:
    return (
        each.get("status") == "invited"
        and not each.get("disabled")
        and ("role" not in query or each["role"] in query["role"].split(","))
        and str(each.get("org_id")) == query.get("org_id", "1")
    )


class SweepWorld:
    """Everything that a sweep and its requests touch."""

    def __init__(
        self, users: Iterable[dict[str, Any]] = (), *, requests_per_minute: int = 6_000
    ) -> None:
        self.clock, self.steps = Clock(), Steps()
        self.table = FakeTable(self.steps)
        self.sqs, self.sns = FakeSqs(self.steps, self.clock), FakeSns(self.steps)
        self.keys, self.partoo = FakeKeys(), FakePartoo(self.clock)
        self.partoo.add(users)
        self.execution_seconds = 300.0
        self._numbers = count(1)
        self.ledger = Ledger(self.table, 90, self.clock)
        self.limiter = RateLimiter(
            self.table, requests_per_minute, self.clock, self.clock.advance, random.Random(0)
        )
        calls = ApiCalls(self.limiter, self.keys, self.clock)
        topic = ResultTopic(self._client(self.sns), "topic")
        bulk, sweeps = (MessageQueue(self._client(self.sqs), name) for name in (BULK, SWEEPS))
        self.sweeper = Sweeper(
            caller=LimitedCaller(calls, CALL_BUDGET_SECONDS, self.clock, self.clock.advance),
            api=self.partoo,
            ledger=self.ledger,
            store=SweepStore(self.table),
            bulk_queue=bulk,
            sweep_queue=sweeps,
            topic=topic,
            clock=self.clock,
            new_id=lambda: f"id-{next(self._numbers)}",
            rng=random.Random(0),
        )
        self.reinviter = Reinviter(
            self.ledger,
            calls,
            self.partoo,
            Exits(self.ledger, topic, bulk, bulk, bulk, self.clock, random.Random(0)),
            Policy(300, 10, 5, jmespath.compile("detail.user_id"), CALL_BUDGET_SECONDS),
            self.clock,
        )

    def _client(self, fake: Any) -> Any:
        return fake

    # What a sweep does.

    def sweep(self, **criteria: Any) -> Answer:
        """One execution, started by the schedule."""
        return self.execute(read_sweep_request(criteria, CRITERIA, self.clock()))

    def execute(self, request: SweepRequest) -> Answer:
        carry_on = self.sweeper.preview if request.dry_run else self.sweeper.sweep
        return carry_on(request, self.clock() + self.execution_seconds)

    def resume(self) -> Answer:
        """Wait for the next rescheduled sweep, and carry it on."""
        message = self.sqs.receive(SWEEPS)
        document = json.loads(message["MessageBody"])
        return self.execute(read_sweep_request(document, CRITERIA, self.clock()))

    def sweep_to_the_end(self, **criteria: Any) -> Answer:
        answer = self.sweep(**criteria)
        return answer if answer["status"] != "rescheduled" else self.resume_to_the_end()

    def resume_to_the_end(self) -> Answer:
        for _ in range(100):
            if (answer := self.resume())["status"] != "rescheduled":
                return answer
        raise AssertionError("a sweep is rescheduled for ever")

    @property
    def summaries(self) -> list[dict[str, Any]]:
        return [each for each in self.sns.published if "organisations" in each]

    # What becomes of its requests.

    @property
    def requested(self) -> list[str]:
        """The users of the requests on the bulk queue."""
        return [json.loads(each["MessageBody"])["user_id"] for each in self.sqs.on(BULK)]

    @property
    def request_ids(self) -> list[str]:
        return [retry_state(each).request_id for each in self.sqs.on(BULK)]

    def carry_out_requests(self) -> None:
        """As the function that invites does, until no request is left."""
        while self.sqs.on(BULK):
            self.carry_out_request()

    def carry_out_request(self) -> None:
        entry = self.sqs.receive(BULK)
        now = self.clock()
        message = Message(
            entry["MessageId"],
            entry["MessageBody"],
            Source.SQS,
            now,
            now,
            pace=Pace.BULK,
            retry_state=retry_state(entry),
        )
        self.reinviter.carry_out(message, Execution(now + 60))

    def invited(self, user_id: str, times: int = 1) -> None:
        """Note invitations by whatever trigger, made now."""
        for _ in range(times):
            user, now = self.ledger.read(user_id, "an event's").user, self.clock()
            claim_id = f"claim-{next(self._numbers)}"
            claimed = self.ledger.claim(user_id, user.claimed("an event's", claim_id, now, now))
            end = ClaimEnd(invited_at=now, sent=True)
            self.ledger.end_claim(user_id, claim_id, claimed, end)


def retry_state(entry: dict[str, Any]) -> RetryState:
    return RetryState.from_json(entry["MessageAttributes"]["retry_state"]["StringValue"])
