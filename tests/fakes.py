"""Fakes of everything outside, and the real Reinviter wired to them.

The clients of SQS, SNS and Secrets Manager, the table and the API are fakes; everything of
`functions/` is real. tests/reinvite_world.py and the simulation decide which steps fail. The
contract suites hold the table against DynamoDB.
"""

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
from invitations.ledger import Ledger
from invitations.messages import Message, RetryState
from invitations.partoo import PartooApi
from invitations.policy import Policy
from invitations.queues import MessageQueue, message_of
from invitations.rate_limiter import RateLimiter
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
    | `table.read` | a read of what is known, which may lack the latest writes |
    | `table.read_result`, `table.read_user`, `table.read_limiter` | a consistent one |
    | `table.claim`, `table.save`, `table.end_claim`, `table.limiter` | a write |
    | `queue.retry`, `queue.bulk`, `queue.dead` | a message to that queue |
    | `topic.publish`, `secret.read`, `api.invite` | |
    """

    def before(self, step: str) -> None: ...

    def after(self, step: str) -> None: ...


@contextmanager
def step(steps: Steps, name: str, error: BaseException | None = None) -> Iterator[None]:
    """Take a step, which raises `error` when it fails; boto3's when there is none."""
    try:
        steps.before(name)
        yield
        steps.after(name)
    except FaultError as fault:
        down = ClientError({"Error": {"Code": "Down", "Message": "the fake is down"}}, name)
        raise error or down from fault


class FakeTable(InMemoryTable):
    """A table that may fail, or lose a reply."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self._steps = steps

    def read(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item]:
        if not keys:
            return []
        kinds = {"LIMITER": "read_limiter", "USER": "read_user"}
        name = kinds.get(keys[0][1], "read_result") if consistent else "read"
        with self._step(name):
            return super().read(keys, consistent=consistent)

    def write(self, key: Key, item: Item, seen: Item) -> Item:
        of_user = "claim" if item.get("claim_id") else "end_claim"
        with self._step({"LIMITER": "limiter", "USER": of_user}.get(key[1], "save")):
            return super().write(key, item, seen)

    def _step(self, name: str) -> Any:
        return step(self._steps, f"table.{name}", TableUnavailableError("the fake table is down"))


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

    def record(self, received_at: float, receive_count: int = 1) -> dict[str, Any]:
        """The record that Lambda makes of it."""
        attributes = {
            "ApproximateReceiveCount": str(receive_count),
            "SentTimestamp": str(round(self.sent_at * 1000)),
            "ApproximateFirstReceiveTimestamp": str(round(received_at * 1000)),
        }
        if self.trace_header is not None:
            attributes["AWSTraceHeader"] = self.trace_header
        return {
            "messageId": self.message_id,
            "body": self.body,
            "attributes": attributes,
            "messageAttributes": {
                name: {"dataType": each["DataType"], "stringValue": each["StringValue"]}
                for name, each in self.attributes.items()
            },
            "eventSource": "aws:sqs",
            "eventSourceARN": f"arn:aws:sqs:eu-west-1:{_ACCOUNT}:{self.queue}",
        }

    def received(self, received_at: float, receive_count: int = 1) -> Message:
        """The message, as the function reads it from its record."""
        return message_of(SQSRecord(self.record(received_at, receive_count)), "retry", "bulk")


def text_attribute(text: str) -> dict[str, Any]:
    """A message attribute, as SQS takes it."""
    return {"DataType": "String", "StringValue": text}


@dataclass(frozen=True)
class Settings:
    """What a deployer chooses."""

    window_seconds: float = 300
    max_attempts: int = 3
    user_daily_limit: int = 5
    requests_per_minute: int = 6_000


class Outside:
    """What all containers share: the table, and the clients of SQS, SNS and Secrets Manager."""

    def __init__(self, steps: Steps, clock: Callable[[], float]) -> None:
        self.table = FakeTable(steps)
        self.messages: list[StoredMessage] = []
        """Those that wait on a queue; whoever delivers one takes it out."""
        self.published: list[Result] = []
        self.secret = "key-1"
        self._steps = steps
        self._clock = clock
        self._message_ids = count(1)

    def send_message_batch(self, **call: Any) -> dict[str, Any]:
        queue, now = call["QueueUrl"].rpartition("/")[2], self._clock()
        assert 0 < len(call["Entries"]) <= 10
        with step(self._steps, f"queue.{queue}"):
            for entry in call["Entries"]:
                delay = entry.get("DelaySeconds", 0)
                assert delay in range(901)
                trace = entry.get("MessageSystemAttributes", {}).get("AWSTraceHeader", {})
                message = StoredMessage(
                    queue,
                    f"{queue}-{next(self._message_ids)}",
                    entry["MessageBody"],
                    entry.get("MessageAttributes", {}),
                    sent_at=now,
                    due_at=now + delay,
                    trace_header=trace.get("StringValue"),
                )
                self.messages.append(message)
        return {"Successful": [{"Id": entry["Id"]} for entry in call["Entries"]]}

    def publish_batch(self, **call: Any) -> dict[str, Any]:
        entries = call["PublishBatchRequestEntries"]
        assert 0 < len(entries) <= 10
        with step(self._steps, "topic.publish"):
            for entry in entries:
                self.publish(entry["Message"])
        return {"Successful": [{"Id": entry["Id"]} for entry in entries]}

    def publish(self, text: str) -> None:
        self.published.append(Result.from_json(text))

    def get_secret_value(self, **_: Any) -> dict[str, str]:
        with step(self._steps, "secret.read"):
            return {"SecretString": self.secret}

    def queue(self, name: str) -> MessageQueue:
        client: Any = self
        return MessageQueue(client, f"https://sqs.eu-west-1.amazonaws.com/{_ACCOUNT}/{name}")

    def change_limiter(self, **changes: Any) -> None:
        """Change the rate limiter's item, as another program does."""
        key = ("LIMITER", "LIMITER")
        item = self.table.items.get(key, {})
        InMemoryTable.write(self.table, key, {**item, **changes}, item)

    def make_reinviter(
        self,
        api: PartooApi,
        settings: Settings,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        seed: int = 0,
    ) -> Reinviter:
        """The real parts of one container over the fakes."""
        client: Any = self
        ledger = Ledger(self.table, HISTORY_DAYS, clock)
        limiter = RateLimiter(
            self.table, settings.requests_per_minute, clock, sleep, random.Random(seed)
        )
        return Reinviter(
            ledger=ledger,
            calls=ApiCalls(limiter, ApiKeys(client, "secret"), CALL_BUDGET_SECONDS, clock, sleep),
            api=api,
            topic=ResultTopic(client, "results"),
            retry_queue=self.queue("retry"),
            bulk_queue=self.queue("bulk"),
            dead_letter_queue=self.queue("dead"),
            policy=Policy(
                window_seconds=settings.window_seconds,
                max_attempts=settings.max_attempts,
                user_daily_limit=settings.user_daily_limit,
                user_id_path=jmespath.compile("detail.user_id"),
            ),
            clock=clock,
            rng=random.Random(seed),
        )


def a_request(
    request_id: str = "r1",
    user_id: str = "u1",
    source: Source = Source.SQS,
    state: RetryState | None = None,
    **fields: Any,
) -> Request:
    """A request, asked for when every fake clock begins."""
    message = Message("m1", "{}", source, state or RetryState(START), request_id)
    return Request(message, user_id, **fields)
