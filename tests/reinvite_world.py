"""One container of the real Reinviter over fakes, and the queues that hand messages to it.

Time moves only when a test moves it, and a step fails only when a test says so.
"""

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from invitations.ledger import Ledger, UserRecord
from invitations.messages import Deferred, RetryState
from invitations.outcomes import Cause, Outcome, judge
from invitations.partoo import PartooApi
from invitations.reinvite import Execution
from invitations.results import Result
from tests.documents import schema
from tests.fakes import (
    EXECUTION_SECONDS,
    HISTORY_DAYS,
    START,
    ExecutionDiedError,
    FaultError,
    Outside,
    Settings,
    Steps,
    StoredMessage,
    step,
    text_attribute,
)
from tests.memory_table import InMemoryTable


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class ScriptedSteps:
    """Steps that fail, or during which something else happens, as a test says."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        """In their order."""
        self._scripts: dict[tuple[str, bool], deque[Callable[[], object]]] = defaultdict(deque)
        self._lock = threading.Lock()

    def fail(
        self,
        step: str,
        *,
        times: int = 1,
        after_effect: bool = False,
        error: BaseException | None = None,
    ) -> None:
        """Let the next calls of a step fail; `after_effect`: lose their replies."""

        def fail() -> None:
            raise error or FaultError(f"{step} is scripted to fail")

        self._scripts[step, after_effect].extend([fail] * times)

    def during(self, step: str, happens: Callable[[], object], *, times: int = 1) -> None:
        """Let something happen before the next calls of a step have their effect."""
        self._scripts[step, False].extend([happens] * times)

    def before(self, step: str) -> None:
        self.taken.append(step)
        self._run(step, after_effect=False)

    def after(self, step: str) -> None:
        self._run(step, after_effect=True)

    def _run(self, step: str, *, after_effect: bool) -> None:
        with self._lock:
            script = self._scripts[step, after_effect]
            action = script.popleft() if script else None
        if action is not None:
            action()


Script = Callable[[float], Outcome]
"""A scripted response, given the moment at which the call ends."""


def answers(http_status: int, retry_after: str | None = None) -> Script:
    return lambda ended_at: judge(http_status, ended_at, retry_after)


def not_sent() -> Script:
    return lambda _: Outcome(cause=Cause.CONNECTION_FAILED)


def no_answer() -> Script:
    return lambda ended_at: Outcome(cause=Cause.NO_ANSWER, emailed_at=ended_at)


@dataclass(frozen=True)
class Call:
    user_id: str
    api_key: str
    called_at: float


class ScriptedApi(PartooApi):
    """Answers 200 unless a script says otherwise; each call takes half a second of the clock."""

    def __init__(self, steps: Steps, clock: Clock) -> None:
        self.calls: list[Call] = []
        self._steps = steps
        self._time = clock
        self._scripts: dict[str, deque[Script]] = defaultdict(deque)

    def script(self, user_id: str, *scripts: Script) -> None:
        """Set the responses to the user's next calls."""
        self._scripts[user_id].extend(scripts)

    def invite(self, user_id: str, api_key: str) -> Outcome:
        with step(self._steps, "api.invite", ExecutionDiedError()):
            script = self._scripts[user_id]
            response = script.popleft() if script else answers(200)
            self.calls.append(Call(user_id, api_key, self._time()))
            self._time.advance(0.5)
            return response(self._time())


class World(Outside):
    """One container over fakes, and the queues that hand messages to it."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.clock, self.steps = Clock(), ScriptedSteps()
        super().__init__(self.steps, self.clock)
        self.api = ScriptedApi(self.steps, self.clock)
        self.reinviter = self.make_reinviter(
            self.api, settings or Settings(), self.clock, self.clock.advance
        )

    def publish(self, text: str) -> None:
        schema("result").validate(json.loads(text))
        super().publish(text)

    @property
    def deferred(self) -> list[StoredMessage]:
        """What waits on the retry queue and the bulk queue."""
        return [each for each in self.messages if each.queue in ("retry", "bulk")]

    @property
    def dead(self) -> list[StoredMessage]:
        return [each for each in self.messages if each.queue == "dead"]

    def message(
        self, user_id: str = "u1", request_id: str | None = "r1", **fields: object
    ) -> StoredMessage:
        """A new message with a request, on the request queue."""
        body: dict[str, object] = {"user_id": user_id, **fields}
        if request_id is not None:
            body["request_id"] = request_id
        return self.raw(json.dumps(body), f"message-{request_id or user_id}")

    def raw(self, body: str, message_id: str = "m1") -> StoredMessage:
        """A new message on the request queue."""
        return StoredMessage("requests", message_id, body, sent_at=self.clock())

    def bulk_message(self, state: RetryState, request_id: str = "r1") -> StoredMessage:
        """A deferred request or a sweep's, on the bulk queue."""
        texts = {"retry_state": state.to_json(), "request_id": request_id, "source": "sqs"}
        attributes = {name: text_attribute(text) for name, text in texts.items()}
        return replace(self.message(), queue="bulk", attributes=attributes)

    def ask(
        self, user_id: str = "u1", request_id: str | None = "r1", **fields: object
    ) -> Result | Deferred:
        """Send a new request, and deliver it once."""
        return self.deliver(self.message(user_id, request_id, **fields))

    def deliver(
        self, message: StoredMessage, *, receive_count: int = 1, seconds: float = EXECUTION_SECONDS
    ) -> Result | Deferred:
        """Hand a message with one request to an execution that may last `seconds`."""
        (outcome,) = self.deliver_order(message, receive_count=receive_count, seconds=seconds)
        return outcome

    def deliver_order(
        self, message: StoredMessage, *, receive_count: int = 1, seconds: float = EXECUTION_SECONDS
    ) -> list[Result | Deferred]:
        """Hand a message with an order to an execution that may last `seconds`."""
        received = message.received(self.clock(), receive_count)
        return self.reinviter.carry_out(received, Execution(self.clock() + seconds))

    def deliver_together(self, *messages: StoredMessage) -> list[Result | Deferred]:
        """Hand messages to one execution, each in a thread of its own."""
        execution = Execution(self.clock() + EXECUTION_SECONDS)
        received = [message.received(self.clock()) for message in messages]
        with ThreadPoolExecutor(len(messages)) as threads:
            outcomes = threads.map(lambda each: self.reinviter.carry_out(each, execution), received)
            return [each for outcome in outcomes for each in outcome]

    def deliver_and_die(self, message: StoredMessage, *, after: str) -> None:
        """Hand a message to an execution that dies when a step has had its effect."""
        self.steps.fail(after, after_effect=True, error=ExecutionDiedError())
        with suppress(ExecutionDiedError):
            self.deliver(message)

    def deliver_copy(self) -> Result | Deferred:
        """Wait for the deferred message that is due first, and deliver it."""
        copy = min(self.deferred, key=lambda message: message.due_at)
        self.messages.remove(copy)
        self.clock.now = max(self.clock.now, copy.due_at)
        return self.deliver(copy)

    def deliver_all_copies(self) -> list[str]:
        """Deliver every deferred message, and those that come of them; return each outcome."""
        outcomes = list[str]()
        while self.deferred:
            assert len(outcomes) < 200, "a request is deferred for ever"
            outcomes.append(in_short(self.deliver_copy()))
        return outcomes

    def play(self, message: StoredMessage | None = None) -> list[str]:
        """Deliver a message, and every copy that comes of it; return each outcome."""
        first = self.deliver(message or self.message())
        return [in_short(first), *self.deliver_all_copies()]

    def redriven(self, dead: StoredMessage) -> StoredMessage:
        """A message of the dead-letter queue that SQS moves to the request queue."""
        return replace(dead, queue="requests", message_id="redriven", sent_at=self.clock())

    def user(self, user_id: str = "u1") -> UserRecord:
        """What the ledger says of a user."""
        table = InMemoryTable()
        table.items = self.table.items
        return Ledger(table, HISTORY_DAYS, self.clock).read(user_id, "none").user

    def calls_for(self, user_id: str = "u1") -> list[float]:
        """When the user was called."""
        return [call.called_at for call in self.api.calls if call.user_id == user_id]


def in_short(outcome: Result | Deferred) -> str:
    if isinstance(outcome, Deferred):
        return f"deferred: {outcome.cause}"
    return f"{outcome.status}: {outcome.reason}"
