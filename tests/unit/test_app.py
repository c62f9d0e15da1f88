"""The entrypoint: what reaches the service of each event, and what the caller is answered."""

import gc
import importlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from invitations.envelopes import MAX_USER_IDS, deliveries_of_invocation
from invitations.errors import QueueUnavailableError
from invitations.gate import BATCH_SIZE
from invitations.models import (
    Delivery,
    Queued,
    Request,
    Result,
    Source,
    Status,
    answer_request,
)
from invitations.ports import SideBySide
from invitations.service import Outcome

NOW = 1_800_000_000.0
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "PARTOO_BASE_URL": "https://api.example.com/v2",
    "PARTOO_TIMEOUT_SECONDS": "10",
    "INVITE_WINDOW_SECONDS": "300",
    "REQUESTS_PER_MINUTE": "300",
    "MAX_ATTEMPTS": "8",
    "HISTORY_DAYS": "90",
    "USER_ID_PATH": "detail.user_id",
    "TABLE_NAME": "table",
    "REQUEST_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/requests",
    "DEAD_LETTER_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/dead",
    "RESULT_TOPIC_ARN": "arn:aws:sns:eu-west-1:111122223333:results",
    "API_KEY_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:key",
}
RESULT = answer_request(
    Request("r1", "u1", Source.DIRECT),
    Status.SENT,
    "invited",
    occurred_at=NOW,
    attempts=1,
    http_status=200,
    window_ends_at=NOW + 300,
)


class Context(LambdaContext):
    @property
    def aws_request_id(self) -> str:
        return "i1"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 42_000


@dataclass
class RecordingService:
    """Notes every delivery; answers with `outcome`, or with the fault of a delivery's id."""

    outcome: Result | Queued = RESULT
    faults: dict[str, Exception] = field(default_factory=dict)
    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))
    deliveries: list[Delivery] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)

    def reinvite(
        self, deliveries: Sequence[Delivery], deadline: float, side_by_side: SideBySide
    ) -> list[Outcome]:
        self.deliveries += deliveries
        self.deadlines.append(deadline)

        def carry_out(index: int) -> Outcome:
            self.meeting.wait(timeout=5)
            return self.faults.get(deliveries[index].delivery_id, self.outcome)

        return side_by_side(carry_out, range(len(deliveries)))


@pytest.fixture(scope="module")
def app() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        yield importlib.import_module("reinvite_user.app")


@pytest.fixture
def service(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> RecordingService:
    service = RecordingService()
    monkeypatch.setattr(app, "service", service)
    monkeypatch.setattr(app.time, "time", lambda: NOW)
    return service


def record(message_id: str, **attributes: Any) -> dict[str, Any]:
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
        "messageAttributes": attributes,
        "md5OfBody": "x",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:111122223333:requests",
        "awsRegion": "eu-west-1",
    }


def batch(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


def text_attribute(value: str) -> dict[str, Any]:
    return {
        "stringValue": value,
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }


def test_the_collector_rests_only_during_the_start(app: ModuleType) -> None:
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


class TestBatch:
    def test_hands_each_message_over_with_all_that_is_known_of_it(
        self, app: ModuleType, service: RecordingService
    ) -> None:
        message = record("m1", reinvite_progress=text_attribute("{}"))

        app.handler(batch(message), Context())

        assert service.deliveries == [
            Delivery(
                delivery_id="m1",
                body='{"user_id": "u1"}',
                source=Source.SQS,
                received_at=NOW - 0.5,
                receive_count=3,
                notes="{}",
                sent_at=NOW - 1,
            )
        ]

    def test_a_first_arrival_has_no_notes(self, app: ModuleType, service: RecordingService) -> None:
        app.handler(batch(record("m1", colour=text_attribute("red"))), Context())

        assert [delivery.notes for delivery in service.deliveries] == [None]

    def test_must_be_done_when_the_execution_ends(
        self, app: ModuleType, service: RecordingService
    ) -> None:
        app.handler(batch(record("m1"), record("m2")), Context())

        assert service.deadlines == [NOW + 42]

    def test_is_carried_out_side_by_side(self, app: ModuleType, service: RecordingService) -> None:
        service.meeting = threading.Barrier(BATCH_SIZE)

        answer = app.handler(batch(*[record(f"m{i}") for i in range(BATCH_SIZE)]), Context())

        assert answer == {"batchItemFailures": []}

    @pytest.mark.parametrize("fault", [QueueUnavailableError("down"), RuntimeError("a bug")])
    def test_reports_only_the_message_that_failed(
        self, app: ModuleType, service: RecordingService, fault: Exception
    ) -> None:
        service.faults = {"m2": fault}

        answer = app.handler(batch(record("m1"), record("m2"), record("m3")), Context())

        assert answer == {"batchItemFailures": [{"itemIdentifier": "m2"}]}
        assert len(service.deliveries) == 3

    def test_that_failed_whole_is_answered_all_the_same(
        self, app: ModuleType, service: RecordingService
    ) -> None:
        service.faults = {"m1": RuntimeError("a bug"), "m2": RuntimeError("a bug")}

        answer = app.handler(batch(record("m1"), record("m2")), Context())

        assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}, {"itemIdentifier": "m2"}]}

    def test_does_not_remember_the_failures_of_the_one_before(
        self, app: ModuleType, service: RecordingService
    ) -> None:
        service.faults = {"m1": RuntimeError("a bug")}
        app.handler(batch(record("m1")), Context())

        assert app.handler(batch(record("m2")), Context()) == {"batchItemFailures": []}


class TestInvocation:
    def test_answers_with_the_result(self, app: ModuleType, service: RecordingService) -> None:
        answer = app.handler({"user_id": "u1"}, Context())

        assert json.loads(json.dumps(answer)) == {"results": [json.loads(RESULT.to_json())]}
        assert service.deliveries == [
            Delivery("i1", '{"user_id": "u1"}', Source.DIRECT, received_at=NOW)
        ]
        assert service.deadlines == [NOW + 42]

    def test_answers_queued_for_what_waits(
        self, app: ModuleType, service: RecordingService
    ) -> None:
        service.outcome = Queued("r1", "u1", "no_time_left", 0)

        assert app.handler({"user_id": "u1"}, Context()) == {
            "results": [
                {
                    "request_id": "r1",
                    "user_id": "u1",
                    "status": "queued",
                    "reason": "no_time_left",
                }
            ]
        }

    def test_may_be_an_eventbridge_event(self, app: ModuleType, service: RecordingService) -> None:
        event = {
            "id": "e1",
            "source": "crm",
            "detail-type": "user pending",
            "detail": {"user_id": "u1"},
        }

        app.handler(event, Context())

        assert [json.loads(delivery.body) for delivery in service.deliveries] == [event]

    def test_carries_many_users_out_side_by_side(
        self, app: ModuleType, service: RecordingService
    ) -> None:
        service.meeting = threading.Barrier(BATCH_SIZE)
        users = [f"u{i}" for i in range(BATCH_SIZE)]

        answer = app.handler({"user_ids": users}, Context())

        named = {json.loads(delivery.body)["user_id"] for delivery in service.deliveries}
        assert named == set(users)
        assert len(answer["results"]) == BATCH_SIZE

    @pytest.mark.parametrize(
        ("user_ids", "count"),
        [
            (["u1", "u2", "u1", "u1"], 2),
            (["u1", 7, None, ["u1"]], 4),
            ([f"u{i}" for i in range(MAX_USER_IDS)], MAX_USER_IDS),
            ([], 0),
        ],
    )
    def test_answers_once_for_each_user_that_it_names(
        self, app: ModuleType, service: RecordingService, user_ids: list[Any], count: int
    ) -> None:
        answer = app.handler({"user_ids": user_ids}, Context())

        assert (len(service.deliveries), len(answer["results"])) == (count, count)

    @pytest.mark.parametrize(
        "event",
        [
            None,
            "u1",
            [],
            {},
            {"Records": []},
            {"Records": None},
            {"Records": [{"eventSource": "aws:s3"}]},
            {"user_ids": [f"u{i}" for i in range(MAX_USER_IDS + 1)]},
        ],
    )
    def test_of_any_other_shape_is_left_to_the_service(
        self, app: ModuleType, service: RecordingService, event: object
    ) -> None:
        app.handler(event, Context())

        assert [delivery.body for delivery in service.deliveries] == [json.dumps(event)]

    def test_fails_with_the_first_that_failed(
        self, app: ModuleType, service: RecordingService
    ) -> None:
        event = {"user_ids": ["u1", "u2"], "request_id": "r1"}
        failing, other = deliveries_of_invocation(event, "i1", NOW)
        service.faults = {failing.delivery_id: QueueUnavailableError("down")}

        with pytest.raises(QueueUnavailableError):
            app.handler(event, Context())
        assert service.deliveries == [failing, other]
