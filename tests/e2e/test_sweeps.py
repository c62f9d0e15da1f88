"""Sweeps, seen from outside: who is asked again, how often, and what is said of it."""

import json
import math
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from local.partoo.control import ANY_SEARCH, ANY_USER, Answer, User
from local.partoo.organisation import organisation
from local.workers import kill_workers
from tests.e2e.outside import Outside

_LONG_AGO = 1_577_836_800


def waiting(number: int, prefix: str = "user") -> list[User]:
    return [User(f"{prefix}-{index:05}", created_at=_LONG_AGO) for index in range(number)]


def emails(stack: Outside) -> Counter[str | None]:
    """How many e-mails each user got."""
    stack.wait_until_idle()
    return Counter(call.user_id for call in stack.partoo.emails())


def test_everybody_who_still_waits_is_asked_once_while_others_accept(
    sweeping_stack: Outside,
) -> None:
    stack = sweeping_stack
    excluded = [
        *[User(f"sso-{index}", created_at=_LONG_AGO, sso_only=True) for index in range(40)],
        *[User(f"disabled-{index}", created_at=_LONG_AGO, disabled=True) for index in range(40)],
        *[User(f"new-{index}", created_at=int(time.time()) - 3_600) for index in range(20)],
    ]
    stack.partoo.add_users(*waiting(600), *excluded)
    stack.partoo.set_churn(accepting=20)

    stack.start_sweep()
    (summary,) = stack.sweeps(1)

    got = emails(stack)
    users = {user.id: user for user in stack.partoo.users()}
    still_invited = {user.id for user in waiting(600) if users[user.id].status == "invited"}
    assert still_invited <= got.keys()
    assert set(got.values()) == {1}
    assert not got.keys() & {user.id for user in excluded}
    assert (summary["status"], summary["reason"]) == ("swept", "completed")
    assert summary["queued"] == summary["due"] >= len(got)
    assert summary["never_invited_here"] == summary["due"]
    assert summary["found"] == summary["due"] + sum(summary["skipped"].values())
    assert {result.result["source"] for result in stack.published} == {"sweep"}


def test_two_sweeps_and_a_death_ask_everybody_once(sweeping_stack: Outside) -> None:
    stack = sweeping_stack
    users = waiting(1_000)
    stack.partoo.add_users(*users)
    # Slow enough to be caught in the middle.
    stack.partoo.script(ANY_SEARCH, *[Answer(delay_seconds=0.5)] * 20)

    stack.start_sweep()
    stack.start_sweep()
    stack.wait(lambda: len(stack.partoo.calls(operation="search")) >= 6)
    assert kill_workers(stack.aws, stack.stack.sweep_function_name) > 0
    stack.start_sweep()
    summaries = stack.sweeps(1)

    assert emails(stack) == Counter(user.id for user in users)
    assert len(summaries) in (1, 2)
    assert {summary["status"] for summary in summaries} == {"swept"}


def test_nobody_is_asked_again_too_soon_or_too_often(sweeping_stack: Outside) -> None:
    stack = sweeping_stack
    users = waiting(120)
    stack.partoo.add_users(*users)
    dry, first = stack.sweep(dry_run=True), stack.sweep()
    emails(stack)
    at_once = stack.sweep()
    later = []
    for _ in range(3):
        stack.age_ledger(hours=73)
        later.append(stack.sweep())
        emails(stack)

    assert (dry["queued"], dry["due"], first["due"]) == (0, 120, 120)
    assert {name: dry[name] for name in ("found", "due", "skipped", "pages")} == {
        name: first[name] for name in ("found", "due", "skipped", "pages")
    }
    assert [user["reason"] for user in dry["users"]] == ["due"] * 100
    assert (at_once["due"], at_once["skipped"]) == (0, {"asked_recently": 120})
    assert [summary["due"] for summary in later] == [120, 120, 0]
    assert later[-1]["skipped"] == {"max_invites_reached": 120}
    assert emails(stack) == Counter({user.id: 3 for user in users})
    counts = [each.result["sent_count"] for each in stack.published]
    assert Counter(counts) == {1: 120, 2: 120, 3: 120}


def test_user_who_was_invited_meanwhile_is_skipped(sweeping_stack: Outside) -> None:
    stack = sweeping_stack
    stack.partoo.add_users(*waiting(1))
    stack.invoke({"user_id": "user-00000"})
    state = {
        "request_id": "late",
        "source": "sweep",
        "asked_at": time.time(),
        "criteria": {"max_invites": 3, "min_age_seconds": 72 * 3600},
    }
    # The window's end is not waited for: it is the reason until then.
    stack.age_ledger(hours=1)
    stack.sqs.send_message(
        QueueUrl=stack.stack.bulk_queue_url,
        MessageBody=json.dumps({"user_id": "user-00000"}),
        MessageAttributes={"retry_state": {"DataType": "String", "StringValue": json.dumps(state)}},
    )

    result = stack.result("late")

    assert (result["status"], result["reason"]) == ("skipped", "not_due")
    assert (result["source"], emails(stack)) == ("sweep", Counter({"user-00000": 1}))


@pytest.mark.parametrize("sweeping_stack", [120], indirect=True)
def test_searches_and_invitations_keep_to_one_quota(sweeping_stack: Outside) -> None:
    stack = sweeping_stack
    users = waiting(150)
    stack.partoo.add_users(*users)

    stack.start_sweep()
    stack.sweeps(1)

    assert emails(stack) == Counter(user.id for user in users)
    calls = stack.partoo.calls(operation=None)
    moments = sorted(call.received_at for call in calls)
    assert [call for call in calls if call.status == 429] == []
    assert max(sum(0 <= later - first < 60 for later in moments) for first in moments) <= 120


@pytest.mark.parametrize("sweeping_stack", [300], indirect=True)
def test_events_are_called_within_seconds_while_a_sweep_waits(sweeping_stack: Outside) -> None:
    stack = sweeping_stack
    stack.partoo.add_users(*waiting(400))
    stack.start_sweep()
    # The local AWS takes seconds to start the first executions.
    stack.wait(lambda: len(stack.partoo.emails()) >= 30)
    sent_at = {}
    for number in range(30):
        stack.partoo.add_users(User(f"event-{number}"))
        sent_at[f"event-{number}"] = time.time()
        stack.send({"user_id": f"event-{number}"})
        time.sleep(2)

    called = {call.user_id: call.received_at for call in stack.partoo.emails()}
    waits = [called.get(user_id, math.inf) - at for user_id, at in sent_at.items()]
    assert sorted(waits)[int(len(waits) * 0.95)] <= 3, " ".join(f"{each:.1f}" for each in waits)
    # The sweep had not been done before the events.
    assert len(stack.partoo.emails()) < 430
    assert len(emails(stack)) == 430
    assert [call for call in stack.partoo.calls(operation=None) if call.status == 429] == []


def test_a_sweep_that_meets_a_429_goes_on_where_it_was(sweeping_stack: Outside) -> None:
    stack = sweeping_stack
    users = waiting(250)
    stack.partoo.add_users(*users)
    throttled = Answer(status=429, headers={"Retry-After": "2"})
    stack.partoo.script(ANY_SEARCH, Answer(), Answer(), throttled)

    answer = stack.sweep()
    (summary,) = stack.sweeps(1)

    assert (answer["status"], answer["cause"]) == ("rescheduled", "throttled")
    assert summary["queued"] == 250
    assert emails(stack) == Counter(user.id for user in users)
    calls = stack.partoo.calls(operation="search")
    refused = next(index for index, call in enumerate(calls) if call.status == 429)
    assert calls[refused].path == calls[refused + 1].path


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=403), "search_refused"),
        (Answer(body="{"), "answer_unreadable"),
        (Answer(body='{"page": 1}'), "answer_unreadable"),
        (Answer(body='{"page": 1, "count": 7, "users": []}'), "answer_unreadable"),
    ],
)
def test_a_sweep_that_can_never_succeed_says_so(
    stack: Outside, answer: Answer, reason: str
) -> None:
    stack.partoo.script(ANY_SEARCH, answer)

    summary = stack.sweep()

    assert (summary["status"], summary["reason"]) == ("sweep_failed", reason)
    assert summary["detail"]
    stack.wait(lambda: stack.sweeps(1)[-1] == summary)


@pytest.mark.parametrize(
    ("request_fields", "message"),
    [({"max_user": 3}, "unknown: 'max_user'"), ({"max_users": -1}, "max_users must be")],
)
def test_malformed_sweep_request_is_refused(
    stack: Outside, request_fields: dict[str, object], message: str
) -> None:
    assert message in stack.sweep(**request_fields)["errorMessage"]


def test_calls_that_may_have_sent_count_as_invitations(sweeping_stack: Outside) -> None:
    stack = sweeping_stack
    # Ten failures in a row would open the circuit breaker.
    users = waiting(5)
    stack.partoo.add_users(*users)
    stack.partoo.script(ANY_USER, *[Answer(status=502, email=True)] * 200)
    summaries = []
    for _ in range(5):
        summaries.append(stack.sweep())
        stack.wait_until_idle()
        assert stack.sweep()["due"] == 0
        stack.age_ledger(hours=73)

    assert [summary["due"] for summary in summaries] == [5, 5, 5, 0, 0]
    assert summaries[-1]["invitations"] == {"3": 5}
    assert emails(stack) == Counter({user.id: 3 for user in users})


def test_one_organisations_refusal_does_not_end_the_others(sweeping_stack: Outside) -> None:
    stack = sweeping_stack
    users = [
        User(f"org-{org_id}-{index:03}", org_id=org_id, created_at=_LONG_AGO)
        for org_id in (7, 8)
        for index in range(150)
    ]
    stack.partoo.add_users(*users)
    stack.partoo.script(ANY_SEARCH, Answer(status=403))

    summary = stack.sweep(org_ids=[7, 8])

    assert (summary["status"], summary["reason"]) == ("sweep_failed", "search_refused")
    first, second = summary["organisations"]
    assert (first["org_id"], first["http_status"], first["due"]) == ("7", 403, 0)
    assert (second["org_id"], second["status"], second["due"]) == ("8", "swept", 150)
    assert emails(stack) == Counter(user.id for user in users if user.org_id == 8)


def test_users_who_were_never_invited_are_left_to_their_organisation(
    sweeping_stack: Outside,
) -> None:
    stack = sweeping_stack
    stack.partoo.add_users(*waiting(30))

    summary = stack.sweep(first_invitation=False)

    assert (summary["due"], summary["never_invited_here"]) == (0, 30)
    assert emails(stack) == Counter()


def test_the_schedule_starts_a_sweep(sweeping_stack: Outside) -> None:
    stack = sweeping_stack
    stack.partoo.add_users(*organisation(40, seed=1, now=time.time()))
    scheduler = stack.aws.client("scheduler")
    (found,) = [
        each
        for each in scheduler.list_schedules()["Schedules"]
        if stack.stack.sweep_function_name in each["Target"]["Arn"]
    ]
    named = {"Name": found["Name"], "GroupName": found["GroupName"]}
    schedule = scheduler.get_schedule(**named)
    soon = datetime.now(UTC) + timedelta(seconds=2)
    scheduler.update_schedule(
        **named,
        ScheduleExpression=f"at({soon:%Y-%m-%dT%H:%M:%S})",
        State="ENABLED",
        Target=schedule["Target"],
        FlexibleTimeWindow=schedule["FlexibleTimeWindow"],
    )

    (summary,) = stack.sweeps(1)

    assert schedule["State"] == "DISABLED"
    assert summary["status"] == "swept"
    assert summary["queued"] == len(emails(stack)) > 0
