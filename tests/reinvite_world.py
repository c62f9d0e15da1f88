"""One container of the real Reinviter over fakes, and the queues that hand messages to it.

Time moves only when a test moves it, and a step fails only when a test says so.
"""

import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from invitations.ledger import Ledger, UserRecord
from invitations.messages import Deferred, Message, RetryState
from invitations.outcomes import Answered, NotSent, Response, Unknown
from invitations.partoo import PartooApi
from invitations.reinvite import Execution
from invitations.results import Result, Source
from tests.fakes import (
    EXECUTION_SECONDS,
    HISTORY_DAYS,
    START,
    ExecutionDiedError,
    FakeSecrets,
    FakeSns,
    FakeSqs,
    FakeTable,
    FaultError,
    Outside,
    Settings,
    Steps,
    StoredMessage,
    make_reinviter,
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
        self._scripts: dict[tuple[str, bool], deque[Callable[[], None]]] = defaultdict(deque)
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

    def during(self, step: str, happens: Callable[[], object]) -> None:
        """Let something happen before the next call of a step has its effect."""
        self._scripts[step, False].append(lambda: (happens(), None)[1])

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


Script = Callable[[float], Response]
"""A scripted response, given the moment at which the call ends."""


def answers(http_status: int, retry_after: str | None = None) -> Script:
    return lambda ended_at: Answered(http_status, ended_at, retry_after)


def not_sent() -> Script:
    return lambda _: NotSent("connection refused")


def no_answer() -> Script:
    return lambda ended_at: Unknown("read timed out", gave_up_at=ended_at)


@dataclass(frozen=True)
class Call:
    user_id: str
    api_key: str
    called_at: float
    response: Response


class ScriptedApi(PartooApi):
    """Answers 200 unless a script says otherwise; each call takes `seconds` of the clock."""

    def __init__(self, steps: Steps, clock: Clock, seconds: float = 0.5) -> None:
        self.calls: list[Call] = []
        self.seconds = seconds
        self._steps = steps
        self._time = clock
        self._scripts: dict[str, deque[Script]] = defaultdict(deque)

    def script(self, user_id: str, *scripts: Script) -> None:
        """Set the responses to the user's next calls."""
        self._scripts[user_id].extend(scripts)

    def invite(self, user_id: str, api_key: str) -> Response:
        with step(self._steps, "api.invite", ExecutionDiedError()):  # type: ignore[arg-type]  # no Exception
            script = self._scripts[user_id]
            response = script.popleft() if script else answers(200)
            called_at = self._time()
            self._time.advance(self.seconds)
            ended = response(self._time())
            self.calls.append(Call(user_id, api_key, called_at, ended))
            return ended


class World:
    """One container over fakes, and the queues that hand messages to it."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.clock = Clock()
        self.steps = ScriptedSteps()
        self.table = FakeTable(self.steps)
        self.sqs = FakeSqs(self.steps, self.clock)
        self.sns = FakeSns(self.steps)
        self.secrets = FakeSecrets(self.steps)
        self.api = ScriptedApi(self.steps, self.clock)
        claims, self._redrives = count(1), count(1)
        self.reinviter = make_reinviter(
            Outside(self.table, self.sqs, self.sns, self.secrets, self.api),
            settings or Settings(),
            self.clock,
            self.clock.advance,
            lambda: f"claim-{next(claims)}",
        )

    @property
    def published(self) -> list[Result]:
        return self.sns.published

    @property
    def deferred(self) -> list[StoredMessage]:
        """What waits on the retry queue and the bulk queue."""
        return self.sqs.on("retry", "bulk")

    @property
    def dead(self) -> list[StoredMessage]:
        return self.sqs.on("dead")

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

    def sweep_message(self, state: RetryState, user_id: str = "u1") -> StoredMessage:
        """A sweep's request, on the bulk queue."""
        return StoredMessage(
            "bulk",
            f"message-{state.request_id}",
            json.dumps({"user_id": user_id}),
            {"retry_state": text_attribute(state.to_json())},
            sent_at=self.clock(),
        )

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

    def invoke(self, event: Mapping[str, Any]) -> list[Result | Deferred]:
        """Invoke the function directly."""
        now = self.clock()
        message = Message("invocation-1", json.dumps(event), Source.DIRECT, now, now)
        execution = Execution(now + EXECUTION_SECONDS)
        return [
            outcome
            for part in self.reinviter.split_small_order(message)
            for outcome in self.reinviter.carry_out(part, execution)
        ]

    def deliver_copy(self) -> Result | Deferred:
        """Wait for the deferred message that is due first, and deliver it."""
        copy = min(self.deferred, key=lambda message: message.due_at)
        self.sqs.messages.remove(copy)
        self.clock.now = max(self.clock.now, copy.due_at)
        return self.deliver(copy)

    def deliver_all_copies(self) -> None:
        """Deliver every deferred message, and those that come of them."""
        for _ in range(200):
            if not self.deferred:
                return
            self.deliver_copy()
        raise AssertionError("a request is deferred for ever")

    def redriven(self, dead: StoredMessage | None = None) -> StoredMessage:
        """Move a message of the dead-letter queue to the request queue, as SQS does."""
        moved = dead or self.dead[-1]
        if moved in self.sqs.messages:
            self.sqs.messages.remove(moved)
        name = f"redriven-{next(self._redrives)}"
        return replace(moved, queue="requests", message_id=name, sent_at=self.clock())

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
