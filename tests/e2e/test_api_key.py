"""The API key: its one header, its replacement, and the daily check of its date."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.aws import LocalAws
from local.partoo.control import Answer, ApiKey
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside
from tests.metrics import points

_KEY = "e2e-rotating-key"
_NEW_KEY = "e2e-key-2"
_CALLS = 10
_REQUESTS_PER_MINUTE = 3_000
_PAUSE_SECONDS = 0.1


@pytest.fixture(scope="module")
def rotating_stack(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack with a quota that lets all requests through in seconds."""
    with own_stack(
        aws,
        deployed_template,
        "rotating",
        api_window_seconds=0,
        requests_per_minute=_REQUESTS_PER_MINUTE,
        RequestsPerMinute=str(_REQUESTS_PER_MINUTE),
    ) as rotating:
        yield rotating


@pytest.fixture
def key_stack(rotating_stack: Outside) -> Iterator[Outside]:
    """The stack, whose API afterwards accepts the first key again, and that key alone."""
    yield rotating_stack
    rotating_stack.partoo.set_key(_KEY)
    rotating_stack.put_secret(_KEY)
    rotating_stack.restart_function()
    rotating_stack.reset()


@contextmanager
def _flow(stack: Outside) -> Iterator[dict[str, str]]:
    """Ask for one user after another during the block; yields the users by request id."""
    users: dict[str, str] = {}
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.wait(_PAUSE_SECONDS):
            user = stack.invited_user()
            users[stack.send({"user_id": user})] = user

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        stack.wait(lambda: len(stack.partoo.calls()) >= _CALLS)
        yield users
    finally:
        stopped.set()
        asking.join()


def test_key_that_is_replaced_and_revoked_while_requests_flow_costs_none(
    key_stack: Outside,
) -> None:
    with _flow(key_stack) as users:
        key_stack.partoo.add_key(ApiKey(_NEW_KEY))
        key_stack.put_secret(_NEW_KEY)
        key_stack.partoo.add_key(ApiKey(_KEY, revoked=True))
        key_stack.wait(lambda: bool(key_stack.refused_calls()))
        before = len(key_stack.partoo.calls())
        key_stack.wait(lambda: len(key_stack.partoo.calls()) >= before + _CALLS)

    results = key_stack.results(users)
    assert {result["status"] for result in results.values()} == {"sent"}
    assert {len(key_stack.partoo.emails(user)) for user in users.values()} == {1}


def test_refused_key_stops_all_calls_and_loses_no_request(key_stack: Outside) -> None:
    key_stack.partoo.set_key("another")
    before = len(key_stack.partoo.calls())

    first = key_stack.invoke({"user_id": key_stack.invited_user(), "request_id": "refused"})
    second = key_stack.invoke({"user_id": key_stack.invited_user(), "request_id": "waiting"})

    assert [each["results"][0]["status"] for each in (first, second)] == ["queued"] * 2
    assert second["results"][0]["reason"] == "key_refused"
    assert len(key_stack.partoo.calls()) == before + 1


def test_without_a_readable_key_requests_wait_and_no_call_is_made(key_stack: Outside) -> None:
    user = key_stack.invited_user()
    key_stack.put_secret('{"key": "under another name"}')
    key_stack.restart_function()

    answer = key_stack.invoke({"user_id": user, "request_id": "no-key"})
    key_stack.put_secret(_KEY)

    assert answer["results"][0]["reason"] == "key_unavailable"
    assert key_stack.result("no-key")["status"] == "sent"
    assert len(key_stack.partoo.calls(user)) == 1


def test_check_of_the_key_tells_and_counts_when_it_expires(key_stack: Outside) -> None:
    day = (datetime.now(UTC).date() + timedelta(days=5)).isoformat()
    key_stack.partoo.add_key(ApiKey(_KEY, day))

    answer = key_stack.check_key()

    assert (answer["expires_on"], answer["days_left"], answer["reason"]) == (day, 5, None)
    # The metrics come after the answer.
    key_stack.wait(lambda: "KeyDaysLeft" in _metrics(key_stack))
    assert _metrics(key_stack).items() >= {"KeyDaysLeft": 5, "KeyExpiresSoon": 1}.items()


def test_schedule_starts_the_check_of_the_key(key_stack: Outside) -> None:
    schedules = key_stack.aws.client("scheduler")
    (found,) = [
        each
        for each in schedules.list_schedules()["Schedules"]
        if key_stack.stack.check_key_function_name in each["Target"]["Arn"]
    ]
    daily = schedules.get_schedule(Name=found["Name"], GroupName=found["GroupName"])
    before = len(key_stack.partoo.calls(operation="keys"))

    # Another with its target: the local AWS forgets a moment of one that it has seen with a cron.
    schedules.create_schedule(
        Name="at-once",
        ScheduleExpression=f"at({datetime.now(UTC):%Y-%m-%dT%H:%M:%S})",
        Target=daily["Target"],
        FlexibleTimeWindow=daily["FlexibleTimeWindow"],
    )
    key_stack.wait(lambda: len(key_stack.partoo.calls(operation="keys")) > before)
    schedules.delete_schedule(Name="at-once")


def test_key_is_in_no_log_even_when_the_api_repeats_it(key_stack: Outside) -> None:
    user = key_stack.invited_user(Answer(status=403, echo_headers=True))
    key_stack.result(key_stack.send({"user_id": user}))
    key_stack.check_key()

    logs = key_stack.logs()

    assert user in logs
    assert _KEY not in logs
    assert _NEW_KEY not in logs


def _metrics(stack: Outside) -> dict[str, float]:
    """The latest value of each metric in the stack's namespace."""
    written = points(stack.logs().splitlines())
    return {each.name: each.value for each in written if each.namespace == stack.stack.name}
