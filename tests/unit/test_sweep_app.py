"""The sweep's entrypoint: which order reaches the sweeper, and what is answered."""

import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from invitations.errors import InvalidOrderError, QueueUnavailableError
from invitations.sweeper import Preview, PutOff
from invitations.sweeps import Order, Summary, Sweep, Terms, summarize
from tests.unit.test_app import ENVIRONMENT, NOW, Context

SWEEP_ENVIRONMENT = ENVIRONMENT | {
    "SWEEP_MIN_AGE_HOURS": "72",
    "SWEEP_MAX_INVITES": "3",
    "SWEEP_MAX_USERS": "0",
    "SWEEP_ROLES": "PUBLISHER,ORG_ADMIN",
    "SWEEP_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/111122223333/sweeps",
}
TERMS = Terms(72, 3, 0, ("PUBLISHER", "ORG_ADMIN"))
SUMMARY = summarize(Sweep("sweep-1", TERMS, NOW), "completed", NOW + 1)


@dataclass
class RecordingSweeper:
    outcome: Summary | PutOff | Exception = SUMMARY
    orders: list[Order] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)

    def sweep(self, order: Order, deadline: float) -> Summary | PutOff:
        self.orders.append(order)
        self.deadlines.append(deadline)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def preview(self, order: Order, deadline: float) -> Preview:
        return Preview(SUMMARY, [("u1", "due"), (None, "user_unreadable")])


@pytest.fixture(scope="module")
def app() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in SWEEP_ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        yield importlib.import_module("sweep_invitations.app")


@pytest.fixture
def sweeper(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> RecordingSweeper:
    sweeper = RecordingSweeper()
    monkeypatch.setattr(app, "sweeper", sweeper)
    monkeypatch.setattr(app.time, "time", lambda: NOW)
    return sweeper


def batch(*bodies: str) -> dict[str, Any]:
    return {
        "Records": [{"messageId": f"m{number}", "body": body} for number, body in enumerate(bodies)]
    }


def test_the_deployers_choice_is_what_an_order_does_not_say(
    app: ModuleType, sweeper: RecordingSweeper
) -> None:
    app.handler({}, Context())

    assert sweeper.orders == [Order(TERMS, NOW)]
    assert sweeper.deadlines == [NOW + 42]


def test_an_invocation_is_answered_with_the_summary(
    app: ModuleType, sweeper: RecordingSweeper
) -> None:
    assert app.handler({}, Context()) == json.loads(SUMMARY.to_json())


def test_an_invocation_is_told_that_it_was_put_off(
    app: ModuleType, sweeper: RecordingSweeper
) -> None:
    sweeper.outcome = PutOff("sweep-1", "throttled", 30)

    assert app.handler({}, Context()) == {
        "status": "put_off",
        "sweep_id": "sweep-1",
        "cause": "throttled",
        "delay_seconds": 30,
    }


def test_a_dry_run_is_answered_with_counts_and_users(
    app: ModuleType, sweeper: RecordingSweeper
) -> None:
    answer = app.handler({"dry_run": True}, Context())

    assert sweeper.orders == []
    assert answer == {
        **json.loads(SUMMARY.to_json()),
        "dry_run": True,
        "users": [
            {"user_id": "u1", "due": True, "reason": "due"},
            {"user_id": None, "due": False, "reason": "user_unreadable"},
        ],
    }


@pytest.mark.parametrize("event", [{"max_user": 1}, [], None, "sweep"])
def test_an_invocation_that_makes_no_sense_is_an_error(
    app: ModuleType, sweeper: RecordingSweeper, event: object
) -> None:
    with pytest.raises(InvalidOrderError):
        app.handler(event, Context())


def test_orders_of_the_queue_are_carried_out(app: ModuleType, sweeper: RecordingSweeper) -> None:
    answer = app.handler(batch('{"ordered_at": 1799999000.5, "failures": 2}'), Context())

    assert answer == {"batchItemFailures": []}
    assert sweeper.orders == [Order(TERMS, 1_799_999_000.5, failures=2)]


@pytest.mark.parametrize("body", ["", "no JSON", "[]", '{"max_users": -1}'])
def test_an_order_of_the_queue_that_makes_no_sense_is_handed_back(
    app: ModuleType, sweeper: RecordingSweeper, body: str
) -> None:
    assert app.handler(batch(body), Context()) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}


def test_an_order_that_can_not_even_be_put_off_is_handed_back(
    app: ModuleType, sweeper: RecordingSweeper
) -> None:
    sweeper.outcome = QueueUnavailableError("the queue is down")

    assert app.handler(batch("{}"), Context()) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
