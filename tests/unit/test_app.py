"""The entrypoint: what is carried out of each event, and what the caller is answered."""

import importlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from aws_lambda_powertools.utilities.typing import LambdaContext

from invitations.errors import QueueUnavailableError
from invitations.messages import Deferred, Message, Pace, RetryState
from invitations.records import UnsupportedEventError
from invitations.reinvite import MOST_AT_ONCE, Execution
from invitations.results import Result, Source
from tests.unit.test_config import ENVIRONMENT

# A recording reinviter counts nothing.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")

NOW = 1_800_000_000.0
RESULT = Result(
    result_id="any",
    request_id="r1",
    user_id="u1",
    correlation_id=None,
    source="direct",
    status="sent",
    reason="invited",
    detail=None,
    http_status=200,
    attempts=1,
    occurred_at="2027-01-15T08:00:00.000Z",
)


class Context(LambdaContext):
    def __init__(self) -> None:
        self._function_name = "reinvite-user"
        self._memory_limit_in_mb = 512
        self._invoked_function_arn = "arn:aws:lambda:eu-west-1:111122223333:function:any"
        self._aws_request_id = "i1"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 42_000


@dataclass
class RecordingReinviter:
    """Notes every message; answers with `outcome`, or raises the fault of a message's id."""

    outcome: Result | Deferred = RESULT
    faults: dict[str, Exception] = field(default_factory=dict)
    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))
    messages: list[Message] = field(default_factory=list)
    deadlines: set[float] = field(default_factory=set)
    exits: Any = field(
        default_factory=lambda: SimpleNamespace(
            retry_queue=SimpleNamespace(name="retries"), bulk_queue=SimpleNamespace(name="bulk")
        )
    )

    def carry_out(self, message: Message, execution: Execution) -> list[Result | Deferred]:
        self.messages.append(message)
        self.deadlines.add(execution.deadline)
        self.meeting.wait(timeout=5)
        if message.message_id in self.faults:
            raise self.faults[message.message_id]
        return [self.outcome]

    def parts(self, message: Message) -> Sequence[Message]:
        user_ids = json.loads(message.body).get("user_ids", [])
        return [replace(message, message_id=each) for each in user_ids] or [message]


@pytest.fixture(scope="module")
def app() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        yield importlib.import_module("reinvite_user.app")


@pytest.fixture
def reinviter(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> RecordingReinviter:
    reinviter = RecordingReinviter()
    monkeypatch.setattr(app, "reinviter", reinviter)
    monkeypatch.setattr(app, "time", SimpleNamespace(time=lambda: NOW))
    return reinviter


def record(message_id: str, queue: str = "requests", **attributes: str) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": "handle",
        "body": '{"user_id": "u1"}',
        "attributes": {
            "ApproximateReceiveCount": "3",
            "SentTimestamp": "1799999999000",
            "SenderId": "AIDAEXAMPLE",
            "ApproximateFirstReceiveTimestamp": "1799999999500",
        },
        "messageAttributes": {
            name: {
                "stringValue": value,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "String",
            }
            for name, value in attributes.items()
        },
        "md5OfBody": "x",
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:eu-west-1:111122223333:{queue}",
        "awsRegion": "eu-west-1",
    }


def batch(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


def test_message_is_handed_over_with_all_that_is_known_of_it(
    app: ModuleType, reinviter: RecordingReinviter
) -> None:
    app.handler(batch(record("m1")), Context())

    assert reinviter.messages == [
        Message(
            message_id="m1",
            body='{"user_id": "u1"}',
            source=Source.SQS,
            sent_at=NOW - 1,
            received_at=NOW - 0.5,
            receive_count=3,
        )
    ]
    assert reinviter.deadlines == {NOW + 42}


@pytest.mark.parametrize(("queue", "pace"), [("retries", Pace.EVENT), ("bulk", Pace.BULK)])
def test_message_of_own_queue_has_retry_state_and_pace(
    app: ModuleType, reinviter: RecordingReinviter, queue: str, pace: Pace
) -> None:
    state = RetryState("r1", "sqs", NOW)
    app.handler(batch(record("m1", queue, retry_state=state.to_json())), Context())

    assert [(each.retry_state, each.pace) for each in reinviter.messages] == [(state, pace)]


def test_records_of_batch_are_carried_out_side_by_side(
    app: ModuleType, reinviter: RecordingReinviter
) -> None:
    reinviter.meeting = threading.Barrier(MOST_AT_ONCE)
    records = [record(f"m{number}") for number in range(MOST_AT_ONCE)]

    assert app.handler(batch(*records), Context()) == {"batchItemFailures": []}


@pytest.mark.parametrize("fault", [QueueUnavailableError("down"), RuntimeError("a bug")])
def test_only_the_message_that_failed_returns_to_its_queue(
    app: ModuleType, reinviter: RecordingReinviter, fault: Exception
) -> None:
    reinviter.faults = {"m2": fault}
    answer = app.handler(batch(record("m1"), record("m2"), record("m3")), Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m2"}]}
    assert len(reinviter.messages) == 3


@pytest.mark.parametrize(
    "state",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"request_id": "r1", "source": "sqs", "asked_at": NaN}',
        '{"request_id": "r1", "source": "sqs", "asked_at": Infinity}',
        f'{{"request_id": "r1", "source": "sqs", "asked_at": 1, "attempts": {"9" * 400}}}',
        '{"request_id": "r1", "source": "sqs", "asked_at": 1, "criteria": "x"}',
        '{"request_id": "r1", "source": "sqs", "asked_at": 1, "unsaved": {}}',
    ],
)
def test_message_with_unreadable_retry_state_does_not_fail_its_batch(
    app: ModuleType, reinviter: RecordingReinviter, state: str
) -> None:
    answer = app.handler(batch(record("m1", "retries", retry_state=state), record("m2")), Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert [each.message_id for each in reinviter.messages] == ["m2"]


def test_batch_that_failed_whole_fails_the_invocation(
    app: ModuleType, reinviter: RecordingReinviter
) -> None:
    reinviter.faults = {"m1": RuntimeError("a bug"), "m2": RuntimeError("a bug")}

    with pytest.raises(BatchProcessingError):
        app.handler(batch(record("m1"), record("m2")), Context())
    assert len(reinviter.messages) == 2


def test_failures_of_one_batch_are_not_those_of_the_next(
    app: ModuleType, reinviter: RecordingReinviter
) -> None:
    reinviter.faults = {"m1": RuntimeError("a bug")}
    app.handler(batch(record("m1"), record("m2")), Context())

    assert app.handler(batch(record("m3")), Context()) == {"batchItemFailures": []}


def test_bare_array_of_records_is_refused(app: ModuleType, reinviter: RecordingReinviter) -> None:
    with pytest.raises(UnsupportedEventError, match="Pipes"):
        app.handler([record("m1")], Context())
    assert reinviter.messages == []


def test_invocation_is_answered_with_its_result(
    app: ModuleType, reinviter: RecordingReinviter
) -> None:
    answer = app.handler({"user_id": "u1"}, Context())

    assert json.loads(json.dumps(answer)) == {"results": [asdict(RESULT)]}
    assert reinviter.messages == [
        Message("i1", '{"user_id": "u1"}', Source.DIRECT, sent_at=NOW, received_at=NOW)
    ]
    assert reinviter.deadlines == {NOW + 42}


def test_invocation_whose_request_waits_is_answered_queued(
    app: ModuleType, reinviter: RecordingReinviter
) -> None:
    reinviter.outcome = Deferred("r1", "u1", "time_budget_exhausted", 0)

    assert app.handler({"user_id": "u1"}, Context()) == {
        "results": [
            {
                "request_id": "r1",
                "user_id": "u1",
                "status": "queued",
                "reason": "time_budget_exhausted",
            }
        ]
    }


def test_small_order_by_invocation_is_carried_out_side_by_side(
    app: ModuleType, reinviter: RecordingReinviter
) -> None:
    reinviter.meeting = threading.Barrier(MOST_AT_ONCE)
    users = [f"u{number}" for number in range(MOST_AT_ONCE)]
    answer = app.handler({"user_ids": users}, Context())

    assert sorted(each.message_id for each in reinviter.messages) == users
    assert len(answer["results"]) == MOST_AT_ONCE


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"Records": []},
        {"Records": None},
        {"Records": [{"eventSource": "aws:s3"}]},
        {"id": "e1", "source": "crm", "detail-type": "pending", "detail": {"user_id": "u1"}},
    ],
)
def test_any_other_event_is_handed_over_as_it_is(
    app: ModuleType, reinviter: RecordingReinviter, event: object
) -> None:
    app.handler(event, Context())

    assert [json.loads(each.body) for each in reinviter.messages] == [event]


def test_invocation_fails_with_the_request_that_failed(
    app: ModuleType, reinviter: RecordingReinviter
) -> None:
    reinviter.faults = {"u1": QueueUnavailableError("down")}

    with pytest.raises(QueueUnavailableError):
        app.handler({"user_ids": ["u1", "u2"]}, Context())
    assert len(reinviter.messages) == 2
