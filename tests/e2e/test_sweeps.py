"""Sweeps of a deployed stack: by the schedule, over the queues, beside events.

`tests/unit/test_sweeper.py` and `tests/simulation/test_sweep_simulation.py` show their rules.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.aws import LocalAws
from local.partoo.control import ANY_SEARCH, Answer, ApiKey, User
from local.partoo.organisation import organisation
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

_NAME = "sweeping"
_HOUR = 3600


@contextmanager
def sweeping(aws: LocalAws, template: Path, requests_per_minute: int) -> Iterator[Outside]:
    """A stack whose API has no users at first."""
    with own_stack(
        aws,
        template,
        f"{_NAME}-{requests_per_minute}",
        api_window_seconds=1,
        requests_per_minute=requests_per_minute,
        RequestsPerMinute=str(requests_per_minute),
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def deployed(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    with sweeping(aws, deployed_template, 10_000) as stack:
        yield stack


@pytest.fixture
def stack(deployed: Outside) -> Outside:
    """The deployed stack, whose API has no users again."""
    deployed.partoo.reset()
    deployed.reset()
    deployed.published.clear()
    deployed.summaries.clear()
    return deployed


def emails(stack: Outside) -> Counter[str | None]:
    """How many e-mails each user got."""
    stack.wait_until_idle()
    return Counter(call.user_id for call in stack.partoo.emails())


def is_due(user: User) -> bool:
    is_old = user.created_at < time.time() - 73 * _HOUR
    return user.status == "invited" and is_old and not (user.disabled or user.sso_only)


def let_the_schedule_start_a_sweep(stack: Outside) -> None:
    scheduler = stack.aws.client("scheduler")
    (found,) = [
        each
        for each in scheduler.list_schedules()["Schedules"]
        if stack.stack.sweep_function_name in each["Target"]["Arn"]
    ]
    named = {"Name": found["Name"], "GroupName": found["GroupName"]}
    schedule = scheduler.get_schedule(**named)
    assert schedule["State"] == "DISABLED"
    soon = datetime.now(UTC) + timedelta(seconds=2)
    scheduler.update_schedule(
        **named,
        ScheduleExpression=f"at({soon:%Y-%m-%dT%H:%M:%S})",
        State="ENABLED",
        Target=schedule["Target"],
        FlexibleTimeWindow=schedule["FlexibleTimeWindow"],
    )


def test_events_are_called_within_seconds_while_a_sweep_waits(
    aws: LocalAws, deployed_template: Path
) -> None:
    with sweeping(aws, deployed_template, 300) as stack:
        stack.partoo.add_users(*(User(f"user-{number}") for number in range(150)))
        stack.start_sweep()
        # The local AWS takes seconds to start the first executions, side by side on a few cores.
        stack.wait(lambda: len(stack.partoo.emails()) >= 30)
        sent_at = {}
        for number in range(20):
            stack.partoo.add_users(User(f"event-{number}"))
            sent_at[f"event-{number}"] = time.time()
            stack.send({"user_id": f"event-{number}"})
            time.sleep(0.5)

        called = {call.user_id: call.received_at for call in stack.partoo.emails()}
        waits = [called.get(user_id, math.inf) - at for user_id, at in sent_at.items()]
        late = [each for each in waits if each > 3]
        assert len(late) <= 0.05 * len(waits), " ".join(f"{each:.1f}" for each in waits)
        # The sweep had not been done before the events.
        assert len(stack.partoo.emails()) < 170
        assert len(emails(stack)) == 170
        calls = stack.partoo.calls(operation=None)
        assert [call for call in calls if call.status == 429] == []


def test_scheduled_sweep_asks_all_who_still_wait_once_while_others_accept(stack: Outside) -> None:
    stack.partoo.add_users(*organisation(400, seed=4, now=time.time()))
    dry = stack.sweep(dry_run=True)
    stack.partoo.set_churn(accepting=10)

    let_the_schedule_start_a_sweep(stack)
    (summary,) = stack.sweeps(1)

    got = emails(stack)
    assert {user.id for user in stack.partoo.users() if is_due(user)} <= got.keys()
    assert (summary["status"], summary["reason"]) == ("swept", "completed")
    assert dry["due"] >= summary["due"] == summary["queued"] >= len(got)
    assert summary["found"] == summary["due"] + sum(summary["skipped"].values())
    assert summary["unknown_roles"].keys() == {"REGION_MANAGER"}
    assert {result.result["source"] for result in stack.published} == {"sweep"}

    again = stack.sweep()

    assert again["skipped"]["asked_recently"] > 0
    assert set(emails(stack).values()) == {1}


def test_sweep_that_meets_a_429_is_carried_on_from_its_queue(stack: Outside) -> None:
    stack.partoo.add_users(*(User(f"later-{number}") for number in range(20)))
    stack.partoo.script(ANY_SEARCH, Answer(status=429, headers={"Retry-After": "2"}))

    answer = stack.sweep()
    (summary,) = stack.sweeps(1)

    assert (answer["status"], answer["cause"]) == ("rescheduled", "throttled")
    assert summary["queued"] == len(emails(stack)) == 20


def test_one_organisations_refusal_does_not_end_the_others(stack: Outside) -> None:
    stack.partoo.add_users(
        *(User(f"org-{number}", org_id=7 + number % 2) for number in range(300)),
    )
    stack.partoo.add_key(ApiKey(f"e2e-{stack.stack.name}-key", role="PROVIDER"))
    stack.partoo.script(ANY_SEARCH, Answer(status=403))

    summary = stack.sweep(org_ids=[7, 8])

    assert (summary["status"], summary["reason"]) == ("sweep_failed", "search_refused")
    first, second = summary["organisations"]
    assert (first["org_id"], first["http_status"], first["due"]) == ("7", 403, 0)
    assert (second["org_id"], second["status"], second["due"]) == ("8", "swept", 150)
    assert emails(stack) == Counter(f"org-{number}" for number in range(1, 300, 2))
    assert stack.sweeps(1) == [summary]


def test_malformed_sweep_request_is_refused(stack: Outside) -> None:
    assert "unknown: 'max_user'" in stack.sweep(max_user=3)["errorMessage"]
