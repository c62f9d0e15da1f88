"""Sweeps of a deployed stack: by the schedule and over the queues.

`tests/unit/test_sweeper.py` and `tests/simulation/test_sweep_simulation.py` show their rules.
"""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.aws import REGION, LocalAws
from local.partoo.control import ANY_SEARCH, Answer, User
from local.partoo.organisation import organisation
from tests.documents import key_policy
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

_HOUR = 3600


@pytest.fixture(scope="module")
def deployed(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack with a KMS key and with a quota that lets all requests through in seconds."""
    policy = key_policy(ACCOUNT="000000000000", REGION=REGION, NAME="sweeping")
    key = aws.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    parameters = {"RequestsPerMinute": "10000", "KmsKeyArn": key}
    with own_stack(aws, deployed_template, "sweeping", **parameters) as stack:
        yield stack


@pytest.fixture
def stack(deployed: Outside) -> Outside:
    """The deployed stack, whose API has no users again."""
    deployed.partoo.reset()
    deployed.reset()
    deployed.receive_results()
    deployed.published.clear()
    deployed.summaries.clear()
    return deployed


def emails(stack: Outside) -> Counter[str | None]:
    """Return how many e-mails each user has got when all requests have ended."""
    stack.wait_until_idle()
    return Counter(call.user_id for call in stack.partoo.emails())


def is_due(user: User) -> bool:
    is_old = user.created_at < time.time() - 73 * _HOUR
    return user.status == "invited" and is_old and not (user.disabled or user.sso_only)


def let_the_schedule_start_a_sweep(stack: Outside) -> None:
    scheduler = stack.aws.client("scheduler")
    named = {
        "Name": stack.physical_id("SweepInvitationsFunctionSchedule"),
        "GroupName": stack.physical_id("ScheduleGroup"),
    }
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


def test_scheduled_sweep_asks_all_who_are_due_once(stack: Outside) -> None:
    users = organisation(400, seed=4, now=time.time())
    stack.partoo.add_users(*users)
    dry = stack.sweep(dry_run=True)

    let_the_schedule_start_a_sweep(stack)
    summary = stack.sweep_summary()

    got = emails(stack)
    assert {user.id for user in users if is_due(user)} == got.keys()
    assert (summary["status"], summary["reason"]) == ("swept", "completed")
    assert dry["due"] == summary["due"] == summary["queued"] == len(got)
    assert summary["found"] == summary["due"] + sum(summary["skipped"].values())
    assert summary["unknown_roles"].keys() == {"REGION_MANAGER"}
    assert {result["source"] for result in stack.receive_results()} == {"sweep"}

    again = stack.sweep()

    assert again["skipped"]["asked_recently"] > 0
    assert set(emails(stack).values()) == {1}


def test_sweep_that_meets_a_429_is_carried_on_from_its_queue(stack: Outside) -> None:
    stack.partoo.add_users(*(User(f"later-{number}") for number in range(20)))
    stack.partoo.script(ANY_SEARCH, Answer(status=429, headers={"Retry-After": "2"}))

    answer = stack.sweep()
    summary = stack.sweep_summary()

    assert (answer["status"], answer["cause"]) == ("rescheduled", "throttled")
    assert summary["queued"] == len(emails(stack)) == 20
