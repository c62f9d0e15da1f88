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

from invitations.errors import QueueUnavailableError
from invitations.messages import Deferred, Message
from invitations.records import UnsupportedEventError
from invitations.reinvite import LARGEST_ORDER, Execution
from invitations.results import Reason, Result, Source, Status, request_result
from tests.fakes import a_request
from tests.unit.test_config import ENVIRONMENT
from tests.unit.test_records import record as sqs_record
from tests.unit.test_sweep_app import Context

# A recording reinviter counts nothing.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")

NOW = 1_800_000_000.0
RESULT = request_result(a_request(), Status.SENT, Reason.INVITED, NOW)


@dataclass
class RecordingReinviter:
    """Notes every message; answers with `outcome`, or raises the fault of a message's id."""

    outcome: Result | Deferred = RESULT
    faults: dict[str, Exception] = field(default_factory=dict)
    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))
    messages: list[Message] = field(default_factory=list)
    carried_out: list[str] = field(default_factory=list)
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
        if message.message_id == "slow":
            threading.Event().wait(0.1)
        self.carried_out.append(message.message_id)
        return [self.outcome]

    def split_small_order(self, message: Message) -> Sequence[Message]:
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
    return {**sqs_record(queue, **attributes), "messageId": message_id}


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
            sent_at=1_790_000_000.5,
            received_at=1_790_000_001.0,
            receive_count=3,
        )
    ]
    assert reinviter.deadlines == {NOW + 42}


def test_records_of_batch_are_carried_out_side_by_side(
    app: ModuleType, reinviter: RecordingReinviter
) -> None:
    reinviter.meeting = threading.Barrier(LARGEST_ORDER)
    records = [record(f"m{number}") for number in range(LARGEST_ORDER)]

    assert app.handler(batch(*records), Context()) == {"batchItemFailures": []}


@pytest.mark.parametrize("fault", [QueueUnavailableError("down"), RuntimeError("a bug")])
def test_only_the_message_that_failed_returns_to_its_queue(
    app: ModuleType, reinviter: RecordingReinviter, fault: Exception
) -> None:
    reinviter.faults = {"m2": fault}
    answer = app.handler(batch(record("m1"), record("m2"), record("m3")), Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m2"}]}
    assert len(reinviter.messages) == 3


@pytest.mark.parametrize("state", ["", "{}"])
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
    # Its failures are not those of the next batch.
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
    reinviter.meeting = threading.Barrier(LARGEST_ORDER)
    users = [f"u{number}" for number in range(LARGEST_ORDER)]
    answer = app.handler({"user_ids": users}, Context())

    assert sorted(each.message_id for each in reinviter.messages) == users
    assert len(answer["results"]) == LARGEST_ORDER


@pytest.mark.parametrize(
    "event",
    [
        {"Records": []},
        {"Records": [{"eventSource": "aws:s3"}]},
        {"id": "e1", "source": "crm", "detail-type": "pending", "detail": {"user_id": "u1"}},
    ],
)
def test_any_other_event_is_handed_over_as_it_is(
    app: ModuleType, reinviter: RecordingReinviter, event: object
) -> None:
    app.handler(event, Context())

    assert [json.loads(each.body) for each in reinviter.messages] == [event]


def test_invocation_fails_with_the_request_that_failed_after_all_have_ended(
    app: ModuleType, reinviter: RecordingReinviter
) -> None:
    reinviter.faults = {"u1": QueueUnavailableError("down")}

    with pytest.raises(QueueUnavailableError):
        app.handler({"user_ids": ["u1", "slow"]}, Context())
    assert reinviter.carried_out == ["slow"]
