"""A small world around the real Reinviter: queues, containers, a clock, an API that keeps count.

Every execution is a greenlet that stops before and after the effect of each call of the table, the
queues, the topic, the secret and the API. Between two stops anything may happen: another execution
runs, time passes, the call fails, its reply is lost, the execution dies. Nothing happens by chance:
the machine that drives the world decides.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import Any

import jmespath
from greenlet import getcurrent, greenlet

from invitations.errors import DependencyUnavailableError
from invitations.messages import Message, RetryState, SweepCriteria
from invitations.outcomes import Answered, NotSent, Response, Unknown
from invitations.partoo import PartooApi
from invitations.reinvite import Execution, Reinviter
from invitations.requests import Order, read_message
from invitations.results import Result, Source, Status
from invitations.table import Item, Key
from tests.fakes import (
    EXECUTION_SECONDS,
    START,
    FakeSecrets,
    FakeSns,
    FakeSqs,
    FakeTable,
    FaultError,
    Outside,
    Settings,
    StoredMessage,
    make_reinviter,
    text_attribute,
)
from tests.memory_table import InMemoryTable

WINDOW_SECONDS = 300.0
VISIBILITY_SECONDS = 360.0
# Far fewer than the template's, so that SQS often moves a message to the dead-letter queue.
MAX_RECEIVES = 3
# Lambda invokes an asynchronous event once and repeats it twice.
MAX_INVOCATIONS = 3
SETTINGS = Settings(WINDOW_SECONDS, max_attempts=3, user_daily_limit=4)
RETENTION_SECONDS = 14 * 86_400
LATE_ACTION_SECONDS = 60.0
"""A server may act on a call this long after its caller gave up."""

MOST_DELIVERIES = 1_500
"""In which everything that waits must end, once all faults are over."""

UserRequest = tuple[str, str]
"""A user and a request_id."""


class Trigger(Enum):
    """How a request arrives."""

    QUEUE = "queue"
    TOPIC = "topic"
    BUS = "bus"
    INVOCATION = "invocation"


class Fate(Enum):
    """What comes of the step that an execution is about to take."""

    PROCEED = "proceed"
    FAIL = "fail"
    DIE = "die"


class ApiAnswer(Enum):
    """What the API does with a call that reaches it."""

    OK = "200"
    OK_LOST = "200, answer lost"
    OK_LATE = "no answer, and an e-mail a minute later"
    ERROR = "500 after the e-mail"
    ERROR_LATE = "500, and an e-mail a minute later"
    LOST = "call lost on its way"
    NOT_FOUND = "404"
    TRY_LATER = "408"
    THROTTLED = "429"
    REDIRECT = "302"
    REFUSED = "connection refused"


_EMAILS = {ApiAnswer.OK, ApiAnswer.OK_LOST, ApiAnswer.ERROR}
_LATE_EMAILS = {ApiAnswer.OK_LATE, ApiAnswer.ERROR_LATE}
_NO_ANSWER = {ApiAnswer.OK_LOST, ApiAnswer.OK_LATE, ApiAnswer.LOST}
_STATUS = {
    ApiAnswer.OK: 200,
    ApiAnswer.ERROR: 500,
    ApiAnswer.ERROR_LATE: 500,
    ApiAnswer.NOT_FOUND: 404,
    ApiAnswer.TRY_LATER: 408,
    ApiAnswer.THROTTLED: 429,
    ApiAnswer.REDIRECT: 302,
}


class _DiedError(BaseException):
    """No line of the functions may catch it."""


@dataclass
class Delivery:
    """A message at rest, or an asynchronous event that Lambda keeps."""

    stored: StoredMessage
    source: Source
    visible_at: float
    receive_count: int = 0
    acknowledged: bool = False
    unsaved: UserRequest | None = None
    """The request whose end it carries, because the table did not take it."""


@dataclass
class Call:
    """A call that reached the API."""

    user_id: str
    request_id: str
    began_at: float
    arrived_at: float
    may_have_sent: bool
    emailed_at: float
    """When the server acted, at the latest."""
    knew_of_email: bool
    """Whether the table or the topic already said that this request's e-mail had gone out."""


class _Table(FakeTable):
    """DynamoDB reads the keys of one call one after another, in any order."""

    def read(self, keys: Sequence[Key]) -> list[Item]:
        return [item for key in reversed(keys) for item in super(_Table, self).read([key])][::-1]


@dataclass
class Container:
    """Lives until an execution dies in it; its clock is off by `offset`."""

    reinviter: Reinviter
    offset: float


@dataclass
class Running:
    """An execution."""

    delivery: Delivery
    ends_at: float
    container: Container
    greenlet: greenlet
    at: str = "start"
    answer: ApiAnswer = ApiAnswer.OK


@dataclass
class World:
    """Times are true epoch seconds; containers read clocks that are up to a second off."""

    requests_per_minute: int = 6_000
    now: float = START
    deliveries: list[Delivery] = field(default_factory=list)
    dead: list[StoredMessage] = field(default_factory=list)
    executions: list[Running] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    asked: set[UserRequest] = field(default_factory=set)
    overtaken: set[UserRequest] = field(default_factory=set)
    """Requests that went on while, for longer than a window, a message alone knew of their end."""
    down: set[str] = field(default_factory=set)
    forgotten_at: dict[str, float] = field(default_factory=dict)
    """When the table's record of a user expired."""

    def __post_init__(self) -> None:
        self.table = _Table(self)
        self.sqs = FakeSqs(self, lambda: self.now)
        self.sns = FakeSns(self)
        self.secrets = FakeSecrets(self)
        self.accepted_keys = {"key-1"}
        self._settings = replace(SETTINGS, requests_per_minute=self.requests_per_minute)
        self._idle: dict[float, list[Container]] = defaultdict(list)
        self._running: dict[Any, Running] = {}
        self._numbers: dict[str, count[int]] = defaultdict(lambda: count(1))
        self._results: dict[str, Result] = {}

    @property
    def published(self) -> list[Result]:
        return self.sns.published

    # What outsiders do.

    def ask(self, fields: Mapping[str, Any], trigger: Trigger) -> None:
        name = self._name("message")
        body: Mapping[str, Any] = fields
        match trigger:
            case Trigger.TOPIC:
                body = {"Type": "Notification", "TopicArn": "t", "Message": json.dumps(fields)}
            case Trigger.BUS:
                body = {"id": name, "source": "crm", "detail-type": "", "detail": fields}
        source = Source.DIRECT if trigger == Trigger.INVOCATION else Source.SQS
        self._put(StoredMessage("requests", name, json.dumps(body), sent_at=self.now), source)

    def sweep(self, user_id: str, criteria: SweepCriteria) -> None:
        """Put a sweep's request on the bulk queue."""
        name = self._name("sweep")
        state = RetryState(name, Source.SWEEP, self.now, criteria=criteria)
        attributes = {"retry_state": text_attribute(state.to_json())}
        body = json.dumps({"user_id": user_id})
        self._put(StoredMessage("bulk", name, body, attributes, self.now), Source.SQS)

    def redrive(self) -> None:
        """SQS's own move task: every message of the dead-letter queue becomes a new one."""
        for dead in self.dead:
            redriven = replace(
                dead, queue="requests", message_id=self._name("message"), sent_at=self.now
            )
            # Nobody got as far as writing its name down: it may come back as another request.
            self.asked -= self.names(dead) - self.names(redriven)
            self._put(redriven, Source.SQS)
        self.dead.clear()

    def rotate_key(self) -> None:
        """The vendor accepts only a new key, and the secret does not hold it yet."""
        self.accepted_keys = {self._name("key")}

    def store_key(self) -> None:
        (self.secrets.secret,) = self.accepted_keys

    def pause(self) -> None:
        """Stop all calls, as `make pause` does."""
        self._change_limiter({"paused_until": 1e11, "pause_reason": "operator"})

    def resume(self) -> None:
        self._change_limiter({"paused_until": self.now, "pause_reason": None})

    def _change_limiter(self, change: Mapping[str, Any]) -> None:
        key = ("LIMITER", "LIMITER")
        item = self.table.items.get(key, {})
        InMemoryTable.write(self.table, key, {**item, **change}, item)

    def names(self, stored: StoredMessage) -> set[UserRequest]:
        """The requests that a message asks for."""
        message = stored.received(self.now)
        read = read_message(message, jmespath.compile("detail.user_id"))
        if not isinstance(read, Order):
            return {(read.user_id, read.request_id)}
        requests = zip(read.requests(), read.user_ids, strict=True)
        return {(user_id, state.request_id) for (_, state), user_id in requests}

    # What the platform does.

    def deliverable(self) -> list[Delivery]:
        return [
            each
            for each in self.deliveries
            if not each.acknowledged and each.visible_at <= self.now
        ]

    def repeatable(self) -> list[Delivery]:
        """Messages that may be delivered again, acknowledged or not."""
        return [
            each
            for each in self.deliveries
            if each.stored.sent_at + RETENTION_SECONDS > self.now >= each.stored.due_at
        ]

    def deliver(self, delivery: Delivery, offset: float = 0.0) -> Running | None:
        """Start an execution for a message; one received too often is moved away instead."""
        is_direct = delivery.source == Source.DIRECT
        limit = MAX_INVOCATIONS if is_direct else MAX_RECEIVES
        if delivery.receive_count >= limit and not delivery.acknowledged:
            name = self._name("message") if is_direct else delivery.stored.message_id
            dead = replace(delivery.stored, queue="dead", message_id=name)
            if is_direct:
                self.asked -= self.names(delivery.stored) - self.names(dead)
                self.asked |= self.names(dead)
            self.dead.append(dead)
            delivery.acknowledged = True
            return None
        delivery.receive_count += 1
        delivery.visible_at = self.now + VISIBILITY_SECONDS
        container = self._container(offset)
        reinviter = container.reinviter
        received = delivery.stored.received(self.now, delivery.receive_count)
        messages = [received]
        if is_direct:
            event = Message(
                received.message_id, received.body, Source.DIRECT, received.sent_at, self.now
            )
            messages = reinviter.split_small_order(event)
        execution = Execution(self.now + offset + EXECUTION_SECONDS)

        def carry_out() -> None:
            try:
                for message in messages:
                    reinviter.carry_out(message, execution)
                acknowledged = self._pause("acknowledge") is not Fate.FAIL
            except DependencyUnavailableError:
                acknowledged = False
            except _DiedError:
                return
            delivery.acknowledged = delivery.acknowledged or acknowledged
            self._idle[container.offset].append(container)

        running = Running(delivery, self.now + EXECUTION_SECONDS, container, greenlet(carry_out))
        self.executions.append(running)
        self._running[running.greenlet] = running
        running.greenlet.switch()
        self._forget_ended()
        return running

    def step(
        self, execution: Running, fate: Fate = Fate.PROCEED, answer: ApiAnswer = ApiAnswer.OK
    ) -> None:
        """Let an execution go on to its next stop, or end."""
        if fate is Fate.PROCEED and execution.at.split(".")[0] in self.down:
            fate = Fate.FAIL
        execution.answer = answer
        if fate is Fate.DIE:
            execution.greenlet.throw(_DiedError)
        else:
            execution.greenlet.switch(fate)
        self._forget_ended()

    def run(
        self, execution: Running, answer: ApiAnswer = ApiAnswer.OK, steps: int | None = None
    ) -> None:
        """Let an execution go on undisturbed, for so many steps or to its end."""
        while execution in self.executions and steps != 0:
            self.step(execution, answer=answer)
            steps = None if steps is None else steps - 1

    def kill(self, execution: Running) -> None:
        if execution in self.executions:
            self.step(execution, Fate.DIE)

    def run_to(self, execution: Running, step: str, answer: ApiAnswer = ApiAnswer.OK) -> bool:
        """Let an execution go on until it is about to take a step; whether it ever is."""
        while execution in self.executions and execution.at != step:
            self.step(execution, answer=answer)
        return execution in self.executions

    def deliver_and_run(
        self, delivery: Delivery, offset: float = 0.0, answer: ApiAnswer = ApiAnswer.OK
    ) -> None:
        execution = self.deliver(delivery, offset)
        if execution is not None:
            self.run(execution, answer)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for execution in [each for each in self.executions if each.ends_at < self.now]:
            self.step(execution, Fate.DIE)
        self._forget_old_messages()

    def expire(self) -> None:
        """DynamoDB deletes the items that have expired."""
        for key, item in list(self.table.items.items()):
            if item.get("expires_at", self.now) < self.now:
                del self.table.items[key]
                if key[1] == "USER":
                    self.forgotten_at[key[0].removeprefix("USER#")] = self.now

    def heal(self) -> None:
        """End every fault and carry out what waits."""
        for execution in list(self.executions):
            self.run(execution)
        self.down.clear()
        self.store_key()
        for _ in range(MOST_DELIVERIES):
            waiting = [each for each in self.deliveries if not each.acknowledged]
            if not waiting:
                return
            first = min(waiting, key=lambda each: each.visible_at)
            self.advance(max(0.0, first.visible_at - self.now))
            if not first.acknowledged:
                self.deliver_and_run(first)
        causes = {str(each.stored.text("retry_state")) for each in waiting[:3]}
        raise AssertionError(f"conservation: a message circulates for ever: {causes}")

    # What is known.

    def window_ends_at(self, user_id: str) -> float:
        """When the user's window ends, by the table; 0 for none."""
        ends_at: float = self.table.items.get((f"USER#{user_id}", "USER"), {}).get(
            "window_ends_at", 0.0
        )
        return ends_at

    def stored_results(self) -> Mapping[UserRequest, Result]:
        results = {}
        for (user, kind), item in self.table.items.items():
            if kind.startswith("REQUEST#"):
                revision = item["revision"]
                if revision not in self._results:
                    self._results[revision] = Result.from_json(item["result"])
                results[user.removeprefix("USER#"), kind.removeprefix("REQUEST#")] = self._results[
                    revision
                ]
        return results

    # Steps, as an execution takes them.

    def before(self, step: str) -> None:
        if self._pause(step) is Fate.FAIL:
            raise FaultError

    def after(self, step: str) -> None:
        """Whatever it sent is on its queue by now."""
        for stored in self.sqs.messages:
            if stored.queue == "dead":
                self.dead.append(stored)
            else:
                self._put(stored, Source.SQS)
        self.sqs.messages.clear()
        if self._pause(step) is Fate.FAIL:
            raise FaultError

    def sleep(self, seconds: float) -> None:
        wakes_at = self.now + seconds
        self._pause("sleep")
        self.now = max(self.now, wakes_at)

    def call(self, user_id: str, api_key: str) -> Response:
        began_at = self.now
        if self._pause("api.invite") is Fate.FAIL:
            return NotSent("refused")
        execution = self._running[getcurrent()]
        answer = execution.answer
        if answer is ApiAnswer.REFUSED:
            return NotSent("refused")
        right_key = api_key in self.accepted_keys
        if answer is ApiAnswer.LOST:
            self._pause("api.answer")
            return Unknown("lost", gave_up_at=self._clock_of(execution))
        is_late = right_key and answer in _LATE_EMAILS
        call = self._arrive(user_id, began_at, right_key and answer in _EMAILS)
        call.may_have_sent |= is_late
        try:
            lost = self._pause("api.answer") is Fate.FAIL
        finally:
            if is_late:
                call.emailed_at = self.now + LATE_ACTION_SECONDS
        if right_key and (lost or answer in _NO_ANSWER):
            return Unknown("lost", gave_up_at=self._clock_of(execution))
        return Answered(_STATUS[answer] if right_key else 401, self._clock_of(execution))

    def _arrive(self, user_id: str, began_at: float, may_have_sent: bool) -> Call:
        claim = self.table.items.get((f"USER#{user_id}", "USER"), {})
        request_id = str(claim.get("window_request_id"))
        known = [*self.stored_results().values(), *self.published]
        call = Call(
            user_id=user_id,
            request_id=request_id,
            began_at=began_at,
            arrived_at=self.now,
            may_have_sent=may_have_sent,
            emailed_at=self.now,
            knew_of_email=any(
                (each.user_id, each.request_id, each.status) == (user_id, request_id, Status.SENT)
                for each in known
            ),
        )
        self.calls.append(call)
        self._note_overtaken((user_id, request_id))
        return call

    def _note_overtaken(self, request: UserRequest) -> None:
        for each in self.deliveries:
            if (
                each.unsaved == request
                and not each.acknowledged
                and each.stored.sent_at + WINDOW_SECONDS < self.now
            ):
                self.overtaken.add(request)

    def _put(self, stored: StoredMessage, source: Source) -> None:
        delivery = Delivery(stored, source, visible_at=stored.due_at)
        if source == Source.SQS and stored.queue == "requests":
            delivery.visible_at = self.now
        names = self.names(stored)
        if stored.queue != "requests" and stored.state.unsaved is not None:
            (delivery.unsaved,) = names
        self.asked |= names
        self.deliveries.append(delivery)

    def _pause(self, at: str) -> Fate:
        current = getcurrent()
        self._running[current].at = at
        assert current.parent is not None
        fate: Fate = current.parent.switch()
        return fate

    def _clock_of(self, execution: Running) -> float:
        return self.now + execution.container.offset

    def _container(self, offset: float) -> Container:
        if self._idle[offset]:
            return self._idle[offset].pop()
        reinviter = make_reinviter(
            Outside(self.table, self.sqs, self.sns, self.secrets, _Api(self)),
            self._settings,
            clock=lambda: self.now + offset,
            sleep=self.sleep,
            new_id=lambda: self._name("claim"),
            seed=next(self._numbers["container"]),
        )
        return Container(reinviter, offset)

    def _forget_old_messages(self) -> None:
        """What nobody has carried out in 14 days is gone, and nobody promised otherwise."""
        for delivery in self.deliveries:
            if delivery.stored.sent_at + RETENTION_SECONDS <= self.now:
                if not delivery.acknowledged:
                    self.asked -= self.names(delivery.stored)
                delivery.acknowledged = True
        gone = [each for each in self.dead if each.sent_at + RETENTION_SECONDS <= self.now]
        for dead in gone:
            self.asked -= self.names(dead)
            self.dead.remove(dead)

    def _forget_ended(self) -> None:
        for execution in [each for each in self.executions if each.greenlet.dead]:
            self.executions.remove(execution)
            del self._running[execution.greenlet]

    def _name(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers[kind])}"


class _Api(PartooApi):
    def __init__(self, world: World) -> None:
        self._world = world

    def invite(self, user_id: str, api_key: str) -> Response:
        return self._world.call(user_id, api_key)
