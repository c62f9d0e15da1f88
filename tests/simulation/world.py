"""A small world around the real service: queues, executions, a clock, and an API that keeps count.

Every execution is a greenlet that stops before and after the effect of each call of a port. Between
two stops anything may happen: another execution runs, time passes, the call fails, its reply is
lost, the execution dies. Nothing happens by chance; whoever drives the world decides.
"""

import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import Any

import jmespath
from greenlet import getcurrent, greenlet

from invitations.caller import Caller
from invitations.envelopes import write_progress
from invitations.errors import (
    DependencyUnavailableError,
    KeyUnavailableError,
    LedgerUnavailableError,
    QueueUnavailableError,
    TopicUnavailableError,
)
from invitations.gate import Gate, Pace
from invitations.ledger import Change, Ledger, Standing, Subject
from invitations.models import (
    Answered,
    CallOutcome,
    Copy,
    Delivery,
    NeverSent,
    Progress,
    Result,
    Source,
    Status,
    Unanswered,
)
from invitations.ports import T
from invitations.service import Policy, ReinviteService
from tests.fakes import START, FakeKeys, InMemoryGateKeeper, InMemoryTable, one_by_one

WINDOW_SECONDS = 300.0
EXECUTION_SECONDS = 60.0
VISIBILITY_SECONDS = 360.0
# Far fewer than the template's, so that the platform moves messages away often.
MAX_RECEIVES = 3
# Lambda invokes an asynchronous event once and repeats it twice.
MAX_INVOCATIONS = 3
MAX_ATTEMPTS = 3
# Too fast to matter: what is in its way here are pauses and the breaker.
PACE = Pace.within(6_000)


# The least that the template lets the table remember.
HISTORY_SECONDS = 30 * 86_400
RETENTION_SECONDS = 14 * 86_400


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
    ERROR = "500"
    LOST = "call lost on its way"
    NOT_FOUND = "404"
    THROTTLED = "429"
    REDIRECT = "302"
    REFUSED = "connection refused"


_MAY_SEND_EMAIL = {ApiAnswer.OK, ApiAnswer.OK_LOST, ApiAnswer.ERROR}
_STATUS = {
    ApiAnswer.OK: 200,
    ApiAnswer.ERROR: 500,
    ApiAnswer.NOT_FOUND: 404,
    ApiAnswer.THROTTLED: 429,
    ApiAnswer.REDIRECT: 302,
}


class _DiedError(BaseException):
    """No line of the service may catch it."""


@dataclass
class Message:
    """A message, or an asynchronous event that Lambda keeps."""

    message_id: str
    body: str
    source: Source
    sent_at: float
    visible_at: float
    request_id: str
    """The name that whoever asked may rely on."""
    notes: str | None = None
    receive_count: int = 0
    acknowledged: bool = False


@dataclass(frozen=True)
class Call:
    """A call that reached the API."""

    user_id: str
    request_id: str
    arrived_at: float
    api_key: str
    may_have_sent: bool
    knew_of_email: bool
    """Whether the ledger or the topic already said that this request's e-mail had gone out."""


@dataclass
class Execution:
    message: Message
    ends_at: float
    greenlet: greenlet
    at: str = "start"
    request_id: str = ""


ServiceFactory = Callable[..., ReinviteService]


@dataclass
class World:
    """Times are true epoch seconds; executions read clocks that are up to a second off."""

    make_service: ServiceFactory = ReinviteService
    make_ledger: type[Ledger] = Ledger
    table: InMemoryTable = field(default_factory=InMemoryTable)

    def __post_init__(self) -> None:
        self.now = START
        self.messages: list[Message] = []
        self.dead: list[Message] = []
        self.executions: list[Execution] = []
        self.calls: list[Call] = []
        self.published: list[Result] = []
        self.asked: set[str] = set()
        self.down: set[str] = set()
        self.keys = FakeKeys(lambda: self.now, "key-1")
        self.accepted_keys = {"key-1"}
        self._gate = InMemoryGateKeeper()
        self._written_at: dict[str, float] = {}
        self._answers: dict[str, ApiAnswer] = {}
        self._numbers: dict[str, count[int]] = defaultdict(lambda: count(1))

    # What outsiders do.

    def ask(self, request: dict[str, Any], trigger: Trigger) -> None:
        name = self._name("message")
        body, source = request, Source.SQS
        match trigger:
            case Trigger.TOPIC:
                body = {"Type": "Notification", "TopicArn": "t", "Message": json.dumps(request)}
            case Trigger.BUS:
                body = {"id": name, "source": "crm", "detail-type": "", "detail": request}
            case Trigger.INVOCATION:
                source = Source.DIRECT
        request_id = str(request.get("request_id", name))
        self.asked.add(request_id)
        self.messages.append(
            Message(name, json.dumps(body), source, self.now, self.now, request_id)
        )

    def redrive(self) -> None:
        """The queue's own move task: every message becomes a new one."""
        for parked in self.dead:
            redriven = replace(
                parked,
                message_id=self._name("message"),
                source=Source.SQS,
                sent_at=self.now,
                visible_at=self.now,
                receive_count=0,
                acknowledged=False,
            )
            if parked.notes is None and parked.request_id == parked.message_id:
                # Nobody got as far as writing its name down: it may come back as another request.
                self.asked.discard(parked.request_id)
            self.messages.append(redriven)
        self.dead.clear()

    def rotate_key(self) -> None:
        """The vendor accepts only a new key, and the secret does not hold it yet."""
        self.accepted_keys = {self._name("key")}

    def store_key(self) -> None:
        (self.keys.secret,) = self.accepted_keys

    # What the platform does.

    def deliverable(self) -> list[Message]:
        return [
            each for each in self.messages if not each.acknowledged and each.visible_at <= self.now
        ]

    def deliver(self, message: Message, clock_offset: float = 0) -> Execution | None:
        """Start an execution for a message; one received too often is moved away instead."""
        limit = MAX_INVOCATIONS if message.source is Source.DIRECT else MAX_RECEIVES
        if message.receive_count >= limit and not message.acknowledged:
            self.dead.append(replace(message))
            message.acknowledged = True
            return None
        message.receive_count += 1
        message.visible_at = self.now + VISIBILITY_SECONDS
        service = self._service(clock_offset)
        delivery = Delivery(
            message.message_id,
            message.body,
            message.source,
            self.now,
            message.receive_count,
            message.notes,
        )
        deadline = self.now + clock_offset + EXECUTION_SECONDS

        def carry_out() -> None:
            try:
                (outcome,) = service.reinvite([delivery], deadline, one_by_one)
                if isinstance(outcome, DependencyUnavailableError):
                    return
                if isinstance(outcome, Exception):
                    raise outcome
                acknowledged = self._pause("acknowledge") is not Fate.FAIL
            except _DiedError:
                return
            message.acknowledged = message.acknowledged or acknowledged

        execution = Execution(message, self.now + EXECUTION_SECONDS, greenlet(carry_out))
        self.executions.append(execution)
        execution.greenlet.switch()
        self._forget_ended()
        return execution

    def step(
        self, execution: Execution, fate: Fate = Fate.PROCEED, answer: ApiAnswer = ApiAnswer.OK
    ) -> None:
        """Let an execution go on to its next stop, or end."""
        if execution.at.split(".")[0] in self.down:
            fate = Fate.FAIL if fate is Fate.PROCEED else fate
        self._answers[execution.message.message_id] = answer
        if fate is Fate.DIE:
            execution.greenlet.throw(_DiedError)
        else:
            execution.greenlet.switch(fate)
        self._forget_ended()

    def run(
        self,
        execution: Execution,
        answer: ApiAnswer = ApiAnswer.OK,
        steps: int | None = None,
    ) -> None:
        """Let an execution go on undisturbed, for so many steps or to its end."""
        while execution in self.executions and steps != 0:
            self.step(execution, answer=answer)
            steps = None if steps is None else steps - 1

    def kill(self, execution: Execution) -> None:
        if execution in self.executions:
            self.step(execution, Fate.DIE)

    def run_to(self, execution: Execution, port: str) -> bool:
        """Let an execution go on until it is about to use a port; whether it ever is."""
        while execution in self.executions and execution.at != port:
            self.step(execution)
        return execution in self.executions

    def deliver_and_run(
        self, message: Message, clock_offset: float = 0, answer: ApiAnswer = ApiAnswer.OK
    ) -> None:
        execution = self.deliver(message, clock_offset)
        if execution is not None:
            self.run(execution, answer)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for execution in [each for each in self.executions if each.ends_at < self.now]:
            self.step(execution, Fate.DIE)
        self._forget_old_messages()

    def expire(self) -> None:
        """The table deletes what has expired, by a clock of its own."""
        for name, written_at in list(self._written_at.items()):
            if written_at + HISTORY_SECONDS - 2 < self.now:
                self.table.forget(name)
                del self._written_at[name]

    def repeatable(self) -> list[Message]:
        """Messages that may be delivered again, acknowledged or not."""
        return [each for each in self.messages if each.sent_at + RETENTION_SECONDS > self.now]

    def heal(self) -> None:
        """End every fault and carry out whatever waits."""
        for execution in list(self.executions):
            self.run(execution)
        self.down.clear()
        self.store_key()
        while waiting := [each for each in self.messages if not each.acknowledged]:
            self.advance(max(0, min(each.visible_at for each in waiting) - self.now))
            for message in self.deliverable():
                self.deliver_and_run(message)

    # The ports, as an execution sees them.

    def read_records(self, subjects: Sequence[Subject]) -> list[Standing]:
        """The users first and then what is filed, as the table does; anything may come between."""
        (subject,) = subjects
        self._current().request_id = subject.request_id
        standing = self._call("ledger", lambda: self.table.standing(subject))
        if not standing.version or standing.is_latest:
            return [standing]
        filed = self._call("ledger", lambda: self.table.filed.get(subject))
        return [standing._replace(filed=filed)]

    def write_record(self, seen: Standing, change: Change) -> Standing | None:
        def write() -> Standing | None:
            self._written_at[seen.subject.user_id] = self.now
            return self.table.write(seen, change)

        written: Standing | None = self._call("ledger", write)
        return written

    @property
    def last_known(self) -> Gate:
        return self._gate.last_known

    def read(self) -> Gate:
        gate: Gate = self._call("ledger", self._gate.read)
        return gate

    def change(self, event: Callable[[Gate], tuple[Gate, T]]) -> T:
        answer: T = self._call("ledger", lambda: self._gate.change(event))
        return answer

    def publish(self, results: Sequence[Result]) -> list[TopicUnavailableError | None]:
        try:
            self._call("topic", lambda: self.published.extend(results))
        except TopicUnavailableError as error:
            return [error] * len(results)
        return [None] * len(results)

    def current(self) -> str:
        key: str = self._call("secret", self.keys.current)
        return key

    def refreshed(self, since: float) -> str:
        key: str = self._call("secret", lambda: self.keys.refreshed(since))
        return key

    def defer(self, copies: Sequence[Copy]) -> list[QueueUnavailableError | None]:
        messages = [
            Message(
                self._name("message"),
                copy.body,
                Source.SQS,
                self.now,
                self.now + copy.delay_seconds,
                str(copy.progress.request_id),
                write_progress(copy.progress),
            )
            for copy in copies
        ]
        try:
            self._call("queue", lambda: self.messages.extend(messages))
        except QueueUnavailableError as error:
            return [error] * len(copies)
        return [None] * len(copies)

    def park(self, body: str, progress: Progress | None, _: Result) -> None:
        notes = None if progress is None else write_progress(progress)
        parked = replace(
            self._current().message,
            message_id=self._name("message"),
            body=body,
            notes=notes,
            acknowledged=False,
        )
        self._call("queue", lambda: self.dead.append(parked))

    def _invite(self, user_id: str, api_key: str, clock: Callable[[], float]) -> CallOutcome:
        if self._pause("api") is Fate.FAIL:
            return NeverSent("refused")
        execution = self._current()
        answer = self._answers[execution.message.message_id]
        if answer is ApiAnswer.REFUSED:
            return NeverSent("refused")
        right_key = api_key in self.accepted_keys
        if answer is not ApiAnswer.LOST:
            self._arrive(
                execution.request_id, user_id, api_key, right_key and answer in _MAY_SEND_EMAIL
            )
        lost = self._pause("api") is Fate.FAIL
        if lost or answer in (ApiAnswer.OK_LOST, ApiAnswer.LOST):
            return Unanswered("lost", gave_up_at=clock())
        return Answered(_STATUS[answer] if right_key else 401, clock())

    def _arrive(self, request_id: str, user_id: str, api_key: str, may_have_sent: bool) -> None:
        known = any(
            result.request_id == request_id and result.status is Status.SENT
            for result in [*self._recorded(), *self.published]
        )
        self.calls.append(Call(user_id, request_id, self.now, api_key, may_have_sent, known))

    def _sleep(self, seconds: float) -> None:
        wakes_at = self.now + seconds
        self._pause("sleep")
        self.now = max(self.now, wakes_at)

    def _recorded(self) -> list[Result]:
        latest = [user.result for user in self.table.users.values() if user.result is not None]
        return [*latest, *(filed.result for filed in self.table.filed.values())]

    def _call(self, port: str, effect: Callable[[], Any]) -> Any:
        """A call of a port: it may fail before its effect, and its reply may be lost after it."""
        if self._pause(port) is Fate.FAIL:
            raise _ERRORS[port]
        value = effect()
        if self._pause(port) is Fate.FAIL:
            raise _ERRORS[port]
        return value

    def _pause(self, at: str) -> Fate:
        self._current().at = at
        parent = getcurrent().parent
        assert parent is not None
        fate: Fate = parent.switch()
        return fate

    def _current(self) -> Execution:
        current = getcurrent()
        return next(each for each in self.executions if each.greenlet is current)

    def _service(self, clock_offset: float) -> ReinviteService:
        def clock() -> float:
            return self.now + clock_offset

        return self.make_service(
            ledger=self.make_ledger(_Table(self.read_records, self.write_record), lambda _: None),
            caller=Caller(self, self, clock, self._sleep, PACE, call_budget_seconds=22),
            api=_Api(lambda user_id, api_key: self._invite(user_id, api_key, clock)),
            topic=self,
            queue=self,
            clock=clock,
            new_id=lambda: self._name("claim"),
            dice=random.Random(0),
            policy=Policy(
                WINDOW_SECONDS,
                MAX_ATTEMPTS,
                jmespath.compile("detail.user_id"),
            ),
        )

    def _forget_old_messages(self) -> None:
        """What nobody has carried out in 14 days is gone, and nobody promised otherwise."""
        for message in self.messages + self.dead:
            if message.sent_at + RETENTION_SECONDS <= self.now and not message.acknowledged:
                message.acknowledged = True
                self.asked.discard(message.request_id)
        self.dead = [message for message in self.dead if not message.acknowledged]

    def _forget_ended(self) -> None:
        self.executions = [each for each in self.executions if not each.greenlet.dead]

    def _name(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers[kind])}"


@dataclass(frozen=True)
class _Table:
    read: Callable[[Sequence[Subject]], list[Standing]]
    write: Callable[[Standing, Change], Standing | None]


@dataclass(frozen=True)
class _Api:
    invite: Callable[[str, str], CallOutcome]


_ERRORS = {
    "ledger": LedgerUnavailableError("simulated"),
    "topic": TopicUnavailableError("simulated"),
    "queue": QueueUnavailableError("simulated"),
    "secret": KeyUnavailableError("simulated"),
}
