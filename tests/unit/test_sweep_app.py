"""The sweep's entrypoint: which sweep request reaches the sweeper, and what is answered."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from invitations.errors import ConfigurationError, QueueUnavailableError
from invitations.records import UnsupportedEventError
from invitations.sweeps.config import SweepConfig
from invitations.sweeps.criteria import Criteria, InvalidSweepRequestError, SweepRequest
from tests.documents import REPOSITORY

NOW = 1_800_000_000.0
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "PARTOO_BASE_URL": "https://api.example.com/v2",
    "PARTOO_TIMEOUT_SECONDS": "10",
    "REQUESTS_PER_MINUTE": "300",
    "HISTORY_DAYS": "90",
    "TABLE_NAME": "table",
    "RESULT_TOPIC_ARN": "arn:aws:sns:eu-west-1:111122223333:results",
    "API_KEY_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:key",
    "SWEEP_MIN_AGE_HOURS": "72",
    "SWEEP_MAX_INVITES": "3",
    "SWEEP_MAX_USERS": "0",
    "SWEEP_ROLES": "PUBLISHER,FRANCHISE_LEAD",
    "SWEEP_ORG_IDS": "",
    "SWEEP_FIRST_INVITATION": "true",
    "BULK_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/bulk",
    "SWEEP_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/sweeps",
}
CRITERIA = Criteria(72, 3, 0, ("PUBLISHER", "FRANCHISE_LEAD"))
SUMMARY = {"status": "swept", "due": 7}

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")


class Context(LambdaContext):
    _function_name = _invoked_function_arn = "function"
    _memory_limit_in_mb = 256
    _aws_request_id = "i1"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 42_000


@dataclass
class RecordingSweeper:
    requests: list[SweepRequest] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)

    def sweep(self, request: SweepRequest, deadline: float) -> dict[str, Any]:
        if request.criteria.max_users == 7:
            raise QueueUnavailableError("the queue is down")
        self.requests.append(request)
        self.deadlines.append(deadline)
        return SUMMARY

    def preview(self, request: SweepRequest, deadline: float) -> dict[str, Any]:
        return {"dry_run": request.dry_run}


@pytest.fixture(scope="module")
def app() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        yield importlib.import_module("sweep_invitations.app")


@pytest.fixture
def sweeper(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> RecordingSweeper:
    sweeper = RecordingSweeper()
    monkeypatch.setattr(app, "sweeper", sweeper)
    monkeypatch.setattr(app.time, "time", lambda: NOW)
    return sweeper


def batch(*bodies: str) -> dict[str, Any]:
    attributes = {
        "SentTimestamp": "1",
        "ApproximateFirstReceiveTimestamp": "1",
        "ApproximateReceiveCount": "1",
    }
    return {
        "Records": [
            {
                "messageId": f"m{number}",
                "body": body,
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:111122223333:sweeps",
                "attributes": attributes,
            }
            for number, body in enumerate(bodies)
        ]
    }


def test_invocation_has_the_deployers_criteria_and_gets_the_summary(
    app: ModuleType, sweeper: RecordingSweeper
) -> None:
    assert app.handler({}, Context()) == SUMMARY
    assert sweeper.requests == [SweepRequest(CRITERIA, NOW)]
    assert sweeper.deadlines == [NOW + 42]


def test_dry_run_is_previewed(app: ModuleType, sweeper: RecordingSweeper) -> None:
    assert app.handler({"dry_run": True}, Context()) == {"dry_run": True}
    assert sweeper.requests == []


@pytest.mark.parametrize(
    ("event", "error"),
    [({"max_user": 1}, InvalidSweepRequestError), (batch("{}")["Records"], UnsupportedEventError)],
)
def test_invocation_that_is_no_sweep_request_is_an_error(
    app: ModuleType, sweeper: RecordingSweeper, event: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        app.handler(event, Context())


def test_rescheduled_sweep_request_is_carried_out(
    app: ModuleType, sweeper: RecordingSweeper
) -> None:
    request = SweepRequest(CRITERIA, NOW - 900.5, delays=2, has_appointment=True)

    assert app.handler(batch(request.to_json()), Context()) == {"batchItemFailures": []}
    assert sweeper.requests == [request]


def test_message_that_cannot_be_carried_out_returns_to_its_queue(
    app: ModuleType, sweeper: RecordingSweeper
) -> None:
    answer = app.handler(batch("no JSON", '{"max_users": 7}', "{}"), Context())

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m1"}]}
    assert sweeper.requests == [SweepRequest(CRITERIA, NOW)]


def test_configuration_is_read() -> None:
    config = SweepConfig.from_environment(
        ENVIRONMENT | {"SWEEP_ORG_IDS": "12,7,12", "SWEEP_FIRST_INVITATION": "false"}
    )

    assert config.criteria == Criteria(72, 3, 0, CRITERIA.roles, ("12", "7"), False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SWEEP_MIN_AGE_HOURS", "-1"),
        ("SWEEP_MAX_USERS", ""),
        ("SWEEP_ORG_IDS", ",".join(map(str, range(101)))),
        ("SWEEP_FIRST_INVITATION", "no"),
        ("BULK_QUEUE_URL", ""),
        ("SWEEP_QUEUE_URL", ""),
    ],
)
def test_malformed_configuration_is_refused_with_its_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        SweepConfig.from_environment(ENVIRONMENT | {name: value})


def test_other_functions_load_nothing_of_sweeps_or_of_the_key_check() -> None:
    program = """
import sys
import reinvite_user.app
loaded = [name for name in sys.modules if "sweep" in name or "limited_call" in name]
import sweep_invitations.app
loaded += {"check_key", "invitations.key_check"} & sys.modules.keys()
sys.exit(f"loaded: {loaded}" if loaded else 0)
"""
    queues = {
        name: f"https://sqs.eu-west-1.amazonaws.com/111122223333/{name}"
        for name in ("RETRY_QUEUE_URL", "DEAD_LETTER_QUEUE_URL", "REQUEST_QUEUE_URL")
    }
    others = {
        "INVITE_WINDOW_SECONDS": "300",
        "MAX_ATTEMPTS": "10",
        "USER_DAILY_LIMIT": "5",
        "USER_ID_PATH": "detail.user_id",
    }
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY / "functions",
        env=ENVIRONMENT | queues | others,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")


def test_sample_events_are_sweep_requests(app: ModuleType, sweeper: RecordingSweeper) -> None:
    for path in sorted((REPOSITORY / "events").glob("*sweep*.json")):
        app.handler(json.loads(path.read_text(encoding="utf-8")), Context())
