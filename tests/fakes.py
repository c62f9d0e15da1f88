"""Fakes of everything outside, and a world that wires the real Reinviter to them.

The clients of SQS, SNS and Secrets Manager, the table and the API are fakes; everything of
`functions/` is real. Time moves only when a test moves it, and a step fails only when a test says
so. The contract suites hold the table against DynamoDB.
"""

import base64
import json
import random
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Protocol

import jmespath
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.exceptions import ClientError

from invitations.api_key import ApiKeys
from invitations.errors import TableUnavailableError
from invitations.exits import Exits
from invitations.ledger import Ledger, UserRecord
from invitations.messages import Deferred, Ending, Message, RetryState
from invitations.outcomes import Answered, NotSent, Response, Unknown
from invitations.partoo import PartooApi
from invitations.policy import Policy
from invitations.queues import MessageQueue
from invitations.rate_limiter import RateLimiter
from invitations.records import message_of
from invitations.reinvite import Execution, Reinviter
from invitations.results import Result, Source
from invitations.table import Item, Key
from invitations.topic import ResultTopic
from tests.memory_table import InMemoryTable

START = 1_800_000_000.0
"""2027-01-15T08:00:00Z, when every fake clock begins."""

EXECUTION_SECONDS = 60.0
"""How long an execution of the fake world may last."""

CALL_BUDGET_SECONDS = 22.0
"""How much of it must be left for a call."""

HISTORY_DAYS = 30

_ACCOUNT = "111122223333"


class ExecutionDiedError(BaseException):
    """The execution ends here: no line of the code under test may catch it."""


class FaultError(Exception):
    """The step fails; raised after its effect: only its reply is lost."""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Steps(Protocol):
    """Is called before and after the effect of each call to something outside.

    Both methods may raise FaultError, or what ends the execution.

    | step | call |
    |---|---|
    | `table.read` | the user and the result |
    | `table.read_ending`, `table.read_user`, `table.read_limiter` | one of them |
    | `table.claim`, `table.save`, `table.end_claim`, `table.limiter` | a write |
    | `queue.retry`, `queue.bulk`, `queue.dead` | a message to that queue |
    | `topic.publish`, `secret.read`, `api.invite` | |
    """

    def before(self, step: str) -> None: ...

    def after(self, step: str) -> None: ...


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


@contextmanager
def _step(steps: Steps, name: str, error: Exception) -> Iterator[None]:
    try:
        steps.before(name)
        yield
        steps.after(name)
    except FaultError as fault:
        raise error from fault


class FakeTable(InMemoryTable):
    """A table that may fail, or lose a reply."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    def read(self, keys: Sequence[Key]) -> list[Item]:
        with _step(self._steps, _name_of_read(keys), _table_is_down()):
            return super().read(keys)

    def write(self, key: Key, item: Item, seen: Item) -> Item:
        with _step(self._steps, _name_of_write(key, item), _table_is_down()):
            return super().write(key, item, seen)


def _name_of_read(keys: Sequence[Key]) -> str:
    if len(keys) > 1:
        return "table.read"
    sort_key = keys[0][1]
    if sort_key == "LIMITER":
        return "table.read_limiter"
    return "table.read_user" if sort_key == "USER" else "table.read_ending"


def _name_of_write(key: Key, item: Item) -> str:
    if key[1] == "LIMITER":
        return "table.limiter"
    if key[1] == "USER":
        return "table.claim" if item.get("claim_id") else "table.end_claim"
    return "table.save"


def _table_is_down() -> TableUnavailableError:
    return TableUnavailableError("the fake table is down")


def _client_error(operation: str) -> ClientError:
    return ClientError(
        {"Error": {"Code": "ServiceUnavailable", "Message": "the fake is down"}}, operation
    )


@dataclass(frozen=True)
class StoredMessage:
    """A message on one of the queues `requests`, `retry`, `bulk` and `dead`."""

    queue: str
    message_id: str
    body: str
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """As SQS takes them."""
    sent_at: float = START
    due_at: float = START
    trace_header: str | None = None

    @property
    def state(self) -> RetryState:
        """The retry state that travels with it."""
        return RetryState.from_json(self.text("retry_state"))

    def text(self, name: str) -> str:
        """The text of a message attribute."""
        text: str = self.attributes[name]["StringValue"]
        return text

    def received(self, received_at: float, receive_count: int = 1) -> Message:
        """The message, as the function reads it from the record that Lambda makes of it."""
        attributes = {
            "ApproximateReceiveCount": str(receive_count),
            "SentTimestamp": str(round(self.sent_at * 1000)),
            "ApproximateFirstReceiveTimestamp": str(round(received_at * 1000)),
        }
        if self.trace_header is not None:
            attributes["AWSTraceHeader"] = self.trace_header
        record = {
            "messageId": self.message_id,
            "body": self.body,
            "attributes": attributes,
            "messageAttributes": {
                name: _as_received(each) for name, each in self.attributes.items()
            },
            "eventSource": "aws:sqs",
            "eventSourceARN": queue_arn(self.queue),
        }
        return message_of(SQSRecord(record), "retry", "bulk")


def queue_arn(queue: str) -> str:
    return f"arn:aws:sqs:eu-west-1:{_ACCOUNT}:{queue}"


def text_attribute(text: str) -> dict[str, Any]:
    """A message attribute, as SQS takes it."""
    return {"DataType": "String", "StringValue": text}


def _as_received(attribute: Mapping[str, Any]) -> dict[str, Any]:
    received: dict[str, Any] = {"dataType": attribute["DataType"]}
    if "BinaryValue" in attribute:
        received["binaryValue"] = base64.b64encode(attribute["BinaryValue"]).decode()
    else:
        received["stringValue"] = attribute["StringValue"]
    return {**received, "stringListValues": [], "binaryListValues": []}


class FakeSqs:
    """The queues, as far as the application writes to them."""

    def __init__(self, steps: Steps, clock: Callable[[], float]) -> None:
        self.messages: list[StoredMessage] = []
        """Those that wait; whoever delivers one takes it out."""
        self._steps = steps
        self._clock = clock
        self._numbers = count(1)

    def on(self, *queues: str) -> list[StoredMessage]:
        return [each for each in self.messages if each.queue in queues]

    def send_message_batch(self, **call: Any) -> dict[str, Any]:
        queue = call["QueueUrl"].rpartition("/")[2]
        assert 0 < len(call["Entries"]) <= 10
        with _step(self._steps, f"queue.{queue}", _client_error("SendMessageBatch")):
            for entry in call["Entries"]:
                self._put(queue, entry)
        return {"Successful": [{"Id": entry["Id"]} for entry in call["Entries"]]}

    def _put(self, queue: str, entry: Mapping[str, Any]) -> None:
        now, delay = self._clock(), entry.get("DelaySeconds", 0)
        assert isinstance(delay, int)
        assert 0 <= delay <= 900
        trace = entry.get("MessageSystemAttributes", {}).get("AWSTraceHeader", {})
        self.messages.append(
            StoredMessage(
                queue,
                f"{queue}-{next(self._numbers)}",
                entry["MessageBody"],
                entry.get("MessageAttributes", {}),
                sent_at=now,
                due_at=now + delay,
                trace_header=trace.get("StringValue"),
            )
        )


class FakeSns:
    """The results topic."""

    def __init__(self, steps: Steps) -> None:
        self.published: list[Result] = []
        self.attributes: list[dict[str, str]] = []
        self._steps = steps

    def publish_batch(self, **call: Any) -> dict[str, Any]:
        entries = call["PublishBatchRequestEntries"]
        assert 0 < len(entries) <= 10
        with _step(self._steps, "topic.publish", _client_error("PublishBatch")):
            for entry in entries:
                self.published.append(Result.from_json(entry["Message"]))
                self.attributes.append(
                    {
                        name: attribute["StringValue"]
                        for name, attribute in entry["MessageAttributes"].items()
                    }
                )
        return {"Successful": [{"Id": entry["Id"]} for entry in entries]}


class FakeSecrets:
    """Secrets Manager with one secret."""

    def __init__(self, steps: Steps, secret: str = "key-1") -> None:
        self.secret = secret
        self._steps = steps

    def get_secret_value(self, **_: Any) -> dict[str, str]:
        with _step(self._steps, "secret.read", _client_error("GetSecretValue")):
            return {"SecretString": self.secret}


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
        with _step(self._steps, "api.invite", ExecutionDiedError()):  # type: ignore[arg-type]  # no Exception
            script = self._scripts[user_id]
            response = script.popleft() if script else answers(200)
            called_at = self._time()
            self._time.advance(self.seconds)
            ended = response(self._time())
            self.calls.append(Call(user_id, api_key, called_at, ended))
            return ended


@dataclass(frozen=True)
class Settings:
    """What a deployer chooses."""

    window_seconds: float = 300
    max_attempts: int = 3
    user_daily_limit: int = 5
    requests_per_minute: int = 6_000


@dataclass(frozen=True)
class Outside:
    """What all containers share."""

    table: FakeTable
    sqs: Any
    sns: Any
    secrets: Any
    api: PartooApi


def make_reinviter(
    outside: Outside,
    settings: Settings,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    new_id: Callable[[], str],
    seed: int = 0,
) -> Reinviter:
    """The real parts of one container over fakes."""
    ledger = Ledger(outside.table, HISTORY_DAYS, clock)

    def queue(name: str) -> MessageQueue:
        return MessageQueue(outside.sqs, f"https://sqs.eu-west-1.amazonaws.com/{_ACCOUNT}/{name}")

    return Reinviter(
        ledger=ledger,
        limiter=RateLimiter(
            outside.table, settings.requests_per_minute, clock, sleep, random.Random(seed)
        ),
        keys=ApiKeys(outside.secrets, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:key"),
        api=outside.api,
        exits=Exits(
            ledger=ledger,
            topic=ResultTopic(outside.sns, f"arn:aws:sns:eu-west-1:{_ACCOUNT}:results"),
            retry_queue=queue("retry"),
            bulk_queue=queue("bulk"),
            dead_letter_queue=queue("dead"),
            clock=clock,
            rng=random.Random(seed),
        ),
        policy=Policy(
            window_seconds=settings.window_seconds,
            max_attempts=settings.max_attempts,
            user_daily_limit=settings.user_daily_limit,
            user_id_path=jmespath.compile("detail.user_id"),
            call_budget_seconds=CALL_BUDGET_SECONDS,
        ),
        clock=clock,
        new_id=new_id,
    )


class World:
    """One container over fakes, and the queues that hand messages to it."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.clock = Clock()
        self.steps = ScriptedSteps()
        self.table = FakeTable(self.steps)
        self.sqs = FakeSqs(self.steps, self.clock)
        self.sns = FakeSns(self.steps)
        self.secrets = FakeSecrets(self.steps)
        self.api = ScriptedApi(self.steps, self.clock)
        self._claims = count(1)
        self._redrives = count(1)
        self.reinviter = self.another_container()

    def another_container(self) -> Reinviter:
        return make_reinviter(
            Outside(self.table, self.sqs, self.sns, self.secrets, self.api),
            self.settings,
            self.clock,
            self.clock.advance,
            lambda: f"claim-{next(self._claims)}",
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

    def invoke(
        self, event: Mapping[str, Any], *, seconds: float = EXECUTION_SECONDS
    ) -> list[Result | Deferred]:
        """Invoke the function directly."""
        now = self.clock()
        message = Message("invocation-1", json.dumps(event), Source.DIRECT, now, now)
        execution = Execution(now + seconds)
        return [
            outcome
            for part in self.reinviter.parts(message)
            for outcome in self.reinviter.carry_out(part, execution)
        ]

    def deliver_copy(self) -> Result | Deferred:
        """Wait for the deferred message that is due first, and deliver it."""
        copy = min(self.deferred, key=lambda message: message.due_at)
        self.sqs.messages.remove(copy)
        self.clock.now = max(self.clock.now, copy.due_at)
        return self.deliver(copy)

    def deliver_copies(self, times: int) -> None:
        for _ in range(times):
            self.deliver_copy()

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
        return self._ledger().read(user_id, "none").user

    def ending(self, user_id: str = "u1", request_id: str = "r1") -> Ending | None:
        """The stored end of a request."""
        return self._ledger().read(user_id, request_id).ending

    def calls_for(self, user_id: str = "u1") -> list[float]:
        """When the user was called."""
        return [call.called_at for call in self.api.calls if call.user_id == user_id]

    def _ledger(self) -> Ledger:
        table = InMemoryTable()
        table.items = self.table.items
        return Ledger(table, HISTORY_DAYS, self.clock)


def in_short(outcome: Result | Deferred) -> str:
    if isinstance(outcome, Deferred):
        return f"deferred: {outcome.cause}"
    return f"{outcome.status}: {outcome.reason}"
