"""The entrypoints: what a caller or a queue is answered."""

import importlib
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock, create_autospec, patch

import pytest
from aws_lambda_powertools.utilities.batch.exceptions import BatchProcessingError
from aws_lambda_powertools.utilities.typing import LambdaContext

from invitations.errors import QueueUnavailableError
from invitations.queues import UnsupportedEventError
from invitations.requests import LARGEST_SMALL_ORDER
from invitations.sweeps.criteria import Criteria, InvalidSweepRequestError
from invitations.sweeps.sweeper import Sweeper
from tests.fakes import START, FaultError, StoredMessage, text_attribute
from tests.infrastructure.test_settings import ENVIRONMENT
from tests.reinvite_world import World, in_short

# A sweep that another object carries out counts nothing.
pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")

SWEEPS = {
    "SWEEP_MIN_AGE_HOURS": "48",
    "SWEEP_MAX_INVITES": "4",
    "SWEEP_MAX_USERS": "9",
    "SWEEP_ROLES": "PUBLISHER,FRANCHISE_LEAD",
    "SWEEP_ORG_IDS": "12,7,12",
    "SWEEP_FIRST_INVITATION": "false",
}
CRITERIA = Criteria(48, 4, 9, ("PUBLISHER", "FRANCHISE_LEAD"), ("12", "7"), False)
SWEPT, PREVIEW = {"status": "swept"}, {"dry_run": True}
EVENT = {"id": "e1", "source": "crm", "detail-type": "", "detail": {"user_id": "u1"}}


class Context(LambdaContext):
    _function_name = _invoked_function_arn = "function"
    _memory_limit_in_mb = 256
    _aws_request_id = "i1"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 42_000


def load(name: str) -> ModuleType:
    with patch.dict(os.environ, {**ENVIRONMENT, **SWEEPS}, AWS_DEFAULT_REGION="eu-west-1"):
        return importlib.import_module(f"{name}.app")


# The function that invites


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    app = load("reinvite_user")
    monkeypatch.setattr(app, "reinviter", world.reinviter)
    monkeypatch.setattr(app, "time", SimpleNamespace(time=world.clock))
    return world


def handle(event: object) -> Any:
    return load("reinvite_user").handler(event, Context())


def handle_batch(messages: Sequence[StoredMessage]) -> list[str]:
    """The ids of the messages that return to their queue."""
    answer = handle({"Records": [each.record(START) for each in messages]})
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def test_messages_of_a_batch_and_of_an_order_are_carried_out_side_by_side(world: World) -> None:
    together = threading.Barrier(LARGEST_SMALL_ORDER)
    world.steps.during("api.invite", lambda: together.wait(30), times=2 * LARGEST_SMALL_ORDER)
    names = [f"a{number}" for number in range(LARGEST_SMALL_ORDER)]

    assert handle_batch([world.message(name, None) for name in names]) == []
    answer = handle({"user_ids": [f"b{number}" for number in range(LARGEST_SMALL_ORDER)]})
    assert [each["status"] for each in answer["results"]] == ["sent"] * LARGEST_SMALL_ORDER


def test_nothing_of_an_execution_runs_after_its_deadline(world: World) -> None:
    claimed_until = list[float | None]()
    world.steps.during("api.invite", lambda: claimed_until.append(world.user().window_ends_at))
    handle({"user_id": "u1"})

    assert claimed_until == [START + 42 + 360]


@pytest.mark.parametrize(
    "faulty",
    [
        StoredMessage("requests", "m1", "no JSON"),
        StoredMessage("retry", "m1", '{"user_id": "u2"}', {"retry_state": text_attribute("{}")}),
    ],
)
def test_only_the_message_that_failed_returns_to_its_queue_and_is_counted(
    world: World, faulty: StoredMessage, capsys: pytest.CaptureFixture[str]
) -> None:
    world.steps.fail("queue.dead")
    batch = [world.message("u1", None), faulty, world.message("u3", None)]

    assert handle_batch(batch) == ["m1"]
    assert sorted(call.user_id for call in world.api.calls) == ["u1", "u3"]
    assert '"MessagesReturned":[1.0]' in capsys.readouterr().out


def test_batch_that_failed_whole_fails_the_invocation(world: World) -> None:
    world.steps.fail("topic.publish")
    with pytest.raises(BatchProcessingError):
        handle_batch([world.raw("no JSON")])

    # Its failures are not those of the next batch.
    assert handle_batch([world.message("u3")]) == []


@pytest.mark.parametrize(
    ("event", "request_id", "source", "in_words"),
    [
        ({"user_id": "u1"}, "i1", "direct", "sent: invited"),
        (EVENT, "e1", "eventbridge", "sent: invited"),
        ({"Records": []}, "i1", "direct", "invalid: unsupported_shape"),
    ],
)
def test_invocation_is_answered_with_its_result(
    world: World, event: object, request_id: str, source: str, in_words: str
) -> None:
    answer = handle(event)

    (result,) = world.published
    assert answer == {"results": [asdict(result)]}
    assert (result.request_id, result.source, in_short(result)) == (request_id, source, in_words)


def test_invocation_whose_request_waits_is_answered_queued(world: World) -> None:
    world.steps.fail("secret.read")

    answer = {"user_id": "u1", "status": "queued", "reason": "key_unavailable"}
    assert handle({"user_id": "u1"}) == {"results": [{"request_id": "i1", **answer}]}


def test_invocation_fails_with_the_request_that_failed_after_all_have_ended(world: World) -> None:
    has_failed = threading.Event()

    def fail() -> None:
        has_failed.set()
        raise FaultError

    def end_later() -> None:
        has_failed.wait(30)
        threading.Event().wait(0.05)

    world.steps.during("queue.dead", fail)
    world.steps.during("api.invite", end_later)
    with pytest.raises(QueueUnavailableError):
        handle({"user_ids": ["..", "u2"]})

    assert [in_short(result) for result in world.published][1:] == ["sent: invited"]


# The function that sweeps


@pytest.fixture
def sweeper(monkeypatch: pytest.MonkeyPatch) -> Mock:
    sweeper: Mock = create_autospec(Sweeper)
    app = load("sweep_invitations")
    sweeper.sweep.return_value, sweeper.preview.return_value = SWEPT, PREVIEW
    monkeypatch.setattr(app, "sweeper", sweeper)
    monkeypatch.setattr(app, "time", SimpleNamespace(time=lambda: START))
    return sweeper


def start_sweep(event: object) -> Any:
    return load("sweep_invitations").handler(event, Context())


def test_sweep_has_the_deployers_criteria_and_answers_with_its_summary(sweeper: Mock) -> None:
    assert (start_sweep({}), start_sweep({"dry_run": True})) == (SWEPT, PREVIEW)
    sweeper.sweep.assert_called_once_with(CRITERIA, START, START + 42)


@pytest.mark.parametrize(
    ("event", "error"),
    [({"max_user": 1}, InvalidSweepRequestError), ([{"body": "{}"}], UnsupportedEventError)],
)
def test_invocation_that_is_no_sweep_request_is_an_error(
    sweeper: Mock, event: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        start_sweep(event)


def test_rescheduled_request_is_carried_out_and_a_failing_one_returns_to_its_queue(
    sweeper: Mock, capsys: pytest.CaptureFixture[str]
) -> None:
    criteria = Criteria(1.5, 2, 9, (), (), first_invitation=True)
    body = json.dumps({**vars(criteria), "asked_at": START - 900.5})
    batch = {"Records": [StoredMessage("sweeps", "m1", body).record(START)]}
    sweeper.sweep.side_effect = [SWEPT, QueueUnavailableError("the queue is down")]

    assert start_sweep(batch) == {}
    sweeper.sweep.assert_called_with(criteria, START - 900.5, START + 42)
    with pytest.raises(QueueUnavailableError):
        start_sweep(batch)
    assert '"MessagesReturned":[1.0]' in capsys.readouterr().out
