"""Fakes of everything outside, and the real Reinviter wired to them.

The clients of SQS, SNS and Secrets Manager, the table and the API are fakes; everything of
`functions/` is real. tests/reinvite_world.py and the simulation decide which steps fail. The
contract suites hold the table against DynamoDB.
"""

import base64
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

import jmespath
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from botocore.exceptions import ClientError

from invitations.api_key import ApiKeys
from invitations.calls import ApiCalls
from invitations.errors import TableUnavailableError
from invitations.exits import Exits
from invitations.ledger import Ledger
from invitations.messages import Message, RetryState
from invitations.partoo import PartooApi
from invitations.policy import Policy
from invitations.queues import MessageQueue
from invitations.rate_limiter import RateLimiter
from invitations.records import message_of
from invitations.reinvite import Reinviter
from invitations.requests import Request
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


@contextmanager
def step(steps: Steps, name: str, error: Exception) -> Iterator[None]:
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
        with step(self._steps, _name_of_read(keys), _table_is_down()):
            return super().read(keys)

    def write(self, key: Key, item: Item, seen: Item) -> Item:
        with step(self._steps, _name_of_write(key, item), _table_is_down()):
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
        with step(self._steps, f"queue.{queue}", _client_error("SendMessageBatch")):
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
        self._steps = steps

    def publish_batch(self, **call: Any) -> dict[str, Any]:
        entries = call["PublishBatchRequestEntries"]
        assert 0 < len(entries) <= 10
        with step(self._steps, "topic.publish", _client_error("PublishBatch")):
            for entry in entries:
                self.published.append(Result.from_json(entry["Message"]))
        return {"Successful": [{"Id": entry["Id"]} for entry in entries]}


class FakeSecrets:
    """Secrets Manager with one secret."""

    def __init__(self, steps: Steps, secret: str = "key-1") -> None:
        self.secret = secret
        self._steps = steps

    def get_secret_value(self, **_: Any) -> dict[str, str]:
        with step(self._steps, "secret.read", _client_error("GetSecretValue")):
            return {"SecretString": self.secret}


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
        calls=ApiCalls(
            RateLimiter(
                outside.table, settings.requests_per_minute, clock, sleep, random.Random(seed)
            ),
            ApiKeys(outside.secrets, "arn:aws:secretsmanager:eu-west-1:111122223333:secret:key"),
            clock,
        ),
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


def a_request(
    request_id: str = "r1",
    user_id: str = "u1",
    source: str = Source.SQS,
    state: RetryState | None = None,
    **fields: Any,
) -> Request:
    """A request, asked for when every fake clock begins."""
    message = Message("m1", "{}", Source.SQS, sent_at=START, received_at=START)
    return Request(message, state or RetryState(request_id, source, START), user_id, **fields)
