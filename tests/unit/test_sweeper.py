"""What a sweep asks for, and that it ends whatever happens meanwhile.

`tests/simulation/test_sweep_simulation.py` shows what holds for all of this together.
"""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from invitations.limiter_state import LimiterState
from invitations.messages import SweepCriteria
from invitations.observability import metrics
from invitations.outcomes import Answered, NotSent, Response, Unknown
from invitations.results import Source
from tests.documents import REPOSITORY
from tests.fakes import START, ExecutionDiedError
from tests.metrics import points
from tests.sweep_world import (
    BULK,
    HOUR,
    SweepWorld,
    people,
    retry_state,
    user,
)

SCHEMA = Draft202012Validator(
    json.loads((REPOSITORY / "schemas" / "sweep-1.1.json").read_text(encoding="utf-8")),
    format_checker=FormatChecker(),
)


def answered(status: int, retry_after: str | None = None) -> Response:
    return Answered(status, START, retry_after)


def set_limiter(world: SweepWorld, **state: Any) -> None:
    item = {**vars(LimiterState(**state)), "revision": "r"}
    world.table.items["LIMITER", "LIMITER"] = item


# Who is requested.


def test_sweep_requests_all_who_are_due_and_counts_the_others_with_the_reason() -> None:
    world = SweepWorld(
        [
            *people(250),
            user("sso", sso_only=True),
            user("new", created_at=START - HOUR),
            {"id": "odd", "email": "odd", "status": "invited", "org_id": 1, "role": "X"},
        ]
    )

    summary = world.sweep_to_the_end()

    assert sorted(world.requested) == [each["id"] for each in people(250)]
    assert (summary["found"], summary["due"], summary["queued"]) == (253, 250, 250)
    assert (summary["status"], summary["reason"]) == ("swept", "completed")
    assert summary["skipped"] == {"sso_only": 1, "created_recently": 1, "user_unreadable": 1}


def test_search_asks_for_the_invited_in_order_and_may_find_nobody() -> None:
    world = SweepWorld()

    summary = world.sweep_to_the_end(roles=["PUBLISHER", "PROVIDER"], org_ids=[1])

    assert (summary["status"], summary["found"], summary["pages"]) == ("swept", 0, 1)
    ((_, query),) = world.partoo.searches
    assert query == {
        "status": "invited",
        "disabled": "False",
        "display_business_ids": "False",
        "order_by": "email",
        "page": "1",
        "per_page": "100",
        "role": "PUBLISHER,PROVIDER",
        "org_id": "1",
    }


def test_request_carries_what_must_still_hold() -> None:
    world = SweepWorld(people(1))

    summary = world.sweep_to_the_end()

    (entry,) = world.sqs.on(BULK)
    state = retry_state(entry)
    assert (state.source, state.criteria) == (Source.SWEEP, SweepCriteria(3, 72 * HOUR))
    assert state.asked_at == START
    assert json.loads(entry["MessageBody"]) == {
        "user_id": "user-00000",
        "correlation_id": summary["sweep_id"],
    }


def test_user_is_asked_again_after_the_hours_until_it_was_often_enough() -> None:
    world = SweepWorld(people(1))
    due = []
    for _ in range(4):
        due.append(world.sweep_to_the_end()["due"])
        world.carry_out_requests()
        due.append(world.sweep_to_the_end()["due"])
        world.clock.advance(73 * HOUR)

    assert due == [1, 0, 1, 0, 1, 0, 0, 0]
    assert world.summaries[-1]["skipped"] == {"max_invites_reached": 1}


def test_call_of_an_execution_that_died_counts_as_an_invitation() -> None:
    world = SweepWorld(people(1))
    world.sweep_to_the_end()

    def die(user_id: str, api_key: str) -> Response:
        raise ExecutionDiedError

    world.partoo.invite = die  # type: ignore[method-assign]
    with pytest.raises(ExecutionDiedError):
        world.carry_out_requests()

    summary = world.sweep_to_the_end()
    assert (summary["skipped"], summary["invitations"]) == ({"asked_recently": 1}, {"1": 1})


@pytest.mark.parametrize(
    ("first_invitation", "requested"),
    [(False, ["user-00001"]), (True, ["user-00000", "user-00001", "user-00002"])],
)
def test_users_who_were_never_invited_here_are_counted_and_asked_if_the_deployer_wants_it(
    first_invitation: bool, requested: list[str]
) -> None:
    world = SweepWorld([*people(3), user("sso", sso_only=True)])
    world.invited("user-00001")
    world.clock.advance(73 * HOUR)

    summary = world.sweep_to_the_end(first_invitation=first_invitation)

    assert world.requested == requested
    assert summary["never_invited_here"] == 2


def test_unknown_roles_are_swept_and_listed_with_those_that_were_asked_for() -> None:
    world = SweepWorld([user("a", role="FRANCHISE_LEAD"), user("b"), user("c", role="ORG_MANAGER")])

    everybody = world.sweep_to_the_end()
    named = world.sweep_to_the_end(roles=["FRANCHISE_LEAD", "NOBODY"])

    assert (everybody["due"], everybody["unknown_roles"]) == (3, {"FRANCHISE_LEAD": 1})
    assert (named["due"], named["unknown_roles"]) == (1, {"FRANCHISE_LEAD": 1, "NOBODY": 0})


def test_unknown_roles_do_not_fill_the_item() -> None:
    world = SweepWorld(user(f"u{n:03}", role=f"ROLE_{'X' * n}") for n in range(300))

    unknown_roles = world.sweep_to_the_end()["unknown_roles"]

    assert (len(unknown_roles), max(map(len, unknown_roles)) <= 50) == (20, True)


# Organisations.


@pytest.fixture
def two_organisations() -> SweepWorld:
    return SweepWorld([*people(150, "a", org_id=1), *people(150, "b", org_id=2)])


def test_organisations_are_swept_in_turn(two_organisations: SweepWorld) -> None:
    summary = two_organisations.sweep_to_the_end(org_ids=["1", "2"])

    assert Counter(each[0] for each in two_organisations.requested) == {"a": 150, "b": 150}
    assert (summary["status"], summary["due"], summary["pages"]) == ("swept", 300, 6)
    assert [(each["org_id"], each["due"]) for each in summary["organisations"]] == [
        ("1", 150),
        ("2", 150),
    ]


@pytest.mark.parametrize(
    ("failing", "status", "reason"),
    [("1", 403, "search_refused"), ("2", 403, "search_refused"), ("1", 503, "server_error")],
)
def test_organisation_that_fails_does_not_end_the_others(
    two_organisations: SweepWorld, failing: str, status: int, reason: str
) -> None:
    two_organisations.partoo.statuses = {failing: status}

    summary = two_organisations.sweep_to_the_end(org_ids=["1", "2"])

    ends = {each["org_id"]: (each["reason"], each["due"]) for each in summary["organisations"]}
    assert ends == {"1": ("completed", 150), "2": ("completed", 150)} | {failing: (reason, 0)}
    assert (summary["status"], summary["reason"]) == ("sweep_failed", reason)
    assert len(two_organisations.requested) == 150
    SCHEMA.validate(summary)


@pytest.mark.parametrize(("max_users", "searched"), [(200, ["1", "2"]), (100, ["1"])])
def test_organisations_share_the_cap_and_are_not_searched_after_it(
    two_organisations: SweepWorld, max_users: int, searched: list[str]
) -> None:
    summary = two_organisations.sweep_to_the_end(org_ids=["1", "2"], max_users=max_users)

    assert len(two_organisations.requested) == summary["due"] == max_users
    assert summary["reason"] == "max_users_reached"
    assert [each["org_id"] for each in summary["organisations"]] == searched


def test_user_of_another_organisation_than_the_one_asked_for_is_skipped() -> None:
    """A key that may not choose is shown its own organisation."""
    world = SweepWorld()
    world.partoo.distort = lambda *_: {"count": 1, "users": [user("a", org_id=1)]}

    assert world.sweep_to_the_end(org_ids=["2"])["skipped"] == {"other_organisation": 1}


# How a sweep fails.


def count_off(_: dict[str, str], document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "count": document["count"] + 200, "max_page": document["max_page"] + 2}


def cut_to_50(_: dict[str, str], document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "users": document["users"][:50]}


def one_more_page(query: dict[str, str], _: dict[str, Any]) -> dict[str, Any]:
    page, size = int(query["page"]), int(query["per_page"])
    shown = [user(f"{number:06}") for number in range((page - 1) * size, page * size)]
    return {"page": page, "max_page": page + 1, "count": (page + 1) * size, "users": shown}


@pytest.mark.parametrize(
    ("distort", "sentence"),
    [
        (count_off, "counts 900 users, so page 10"),
        (cut_to_50, "has to show 100; it shows 50"),
        (one_more_page, "faster than it can be read"),
    ],
)
def test_contradiction_ends_the_sweep_with_a_sentence(
    distort: Callable[..., Any], sentence: str
) -> None:
    world = SweepWorld(people(700))
    world.partoo.distort = distort

    summary = world.sweep_to_the_end()

    assert (summary["status"], summary["reason"]) == ("sweep_failed", "answer_unreadable")
    assert sentence in summary["detail"]
    assert len(world.partoo.searches) < 200
    assert len(world.requested) == len(set(world.requested))
    SCHEMA.validate(summary)


@pytest.mark.parametrize(
    ("status", "dry_run", "reason"),
    [
        (403, False, "search_refused"),
        (403, True, "search_refused"),
        (204, False, "answer_unreadable"),
        # A sweep would wait.
        (503, True, "server_error"),
    ],
)
def test_answer_that_cannot_be_a_list_ends_the_sweep(
    status: int, dry_run: bool, reason: str
) -> None:
    world = SweepWorld(people(10))
    world.partoo.answers = [answered(status)]

    summary = world.sweep(dry_run=dry_run)

    assert (summary["status"], summary["reason"]) == ("sweep_failed", reason)


@pytest.mark.parametrize("answer", [answered(503), answered(429, "3600")], ids=["503", "429"])
def test_trouble_without_end_ends_the_sweep_in_hours(answer: Response) -> None:
    world = SweepWorld(people(10))
    world.partoo.answers = [answer] * 100

    summary = world.sweep_to_the_end()

    assert summary["status"] == "sweep_failed"
    assert summary["detail"] == "The sweep was rescheduled 12 times without a page being read."
    assert 1_800 < world.clock() - START < 6 * HOUR
    assert len(world.partoo.searches) <= 13


def test_pause_of_an_operator_ends_the_sweep_in_hours() -> None:
    world = SweepWorld(people(10))
    set_limiter(world, paused_until=START + 10**6, pause_reason="operator")

    summary = world.sweep_to_the_end(org_ids=["1", "2"])

    assert [each["reason"] for each in summary["organisations"]] == ["operator", "operator"]
    assert 2 * HOUR < world.clock() - START < 5 * HOUR


def test_executions_too_short_for_a_page_end_the_sweep() -> None:
    world = SweepWorld(people(10))
    world.execution_seconds = 10

    summary = world.sweep_to_the_end()

    assert (summary["status"], summary["reason"]) == ("sweep_failed", "time_budget_exhausted")
    assert world.partoo.searches == []


# How a sweep goes on.


@pytest.mark.parametrize(
    ("response", "cause", "delay_seconds"),
    [
        (answered(429, "30"), "throttled", 30),
        (answered(503), "server_error", 3),
        (answered(401), "unauthorized", 3),
        (NotSent("refused"), "connection_failed", 3),
        (Unknown("read timed out", START), "no_answer", 3),
    ],
    ids=["429", "503", "401", "not sent", "unknown"],
)
def test_trouble_that_passes_reschedules_the_sweep(
    response: Response, cause: str, delay_seconds: int
) -> None:
    world = SweepWorld(people(150))
    world.partoo.answers = [response]

    answer = world.sweep()

    assert (answer["status"], answer["cause"]) == ("rescheduled", cause)
    assert answer["delay_seconds"] >= delay_seconds
    assert world.resume_to_the_end()["status"] == "swept"
    assert len(world.requested) == 150


def test_page_whose_requests_the_queue_did_not_take_is_read_again() -> None:
    world = SweepWorld(people(10))
    world.steps.failures["queue"] = 1

    assert world.sweep()["cause"] == "queue_unavailable"
    assert world.resume()["queued"] == len(world.requested) == 10


def test_page_for_each_execution_is_progress() -> None:
    world = SweepWorld(people(1_500))
    world.partoo.after_search = lambda: world.clock.advance(280)

    summary = world.sweep_to_the_end()

    assert summary["queued"] == len(set(world.requested)) == len(world.requested) == 1_500
    assert len(world.partoo.searches) <= 22


@pytest.mark.parametrize("dies_at", range(73))
def test_death_at_any_step_loses_and_repeats_nothing(dies_at: int) -> None:
    world = SweepWorld(people(200))
    world.steps.until_death = dies_at
    with pytest.raises(ExecutionDiedError):
        world.sweep_to_the_end()
    world.sweep_to_the_end()

    sweeps = {each["sweep_id"] for each in world.summaries}
    assert {each["queued"] for each in world.summaries} == {200}
    # A death after the end begins a sweep of its own.
    assert len(set(world.request_ids)) == 200 * len(sweeps)
    assert set(world.requested) == {each["id"] for each in people(200)}
    # No page that has a checkpoint is read again.
    assert len(world.partoo.searches) <= 4 * len(sweeps) + 1


def test_user_who_was_asked_before_the_page_is_read_again_stays_due() -> None:
    world = SweepWorld(people(50))
    original = world.table.write

    def die(key: Any, item: Any, seen: Any) -> Any:
        if key == ("SWEEP", "SWEEP") and '"found": 50' in item["sweep"]:
            world.table.write = original  # type: ignore[method-assign]
            raise ExecutionDiedError
        return original(key, item, seen)

    world.table.write = die  # type: ignore[method-assign]
    with pytest.raises(ExecutionDiedError):
        world.sweep()
    world.carry_out_requests()
    world.clock.advance(70)

    assert world.sweep_to_the_end()["due"] == 50
    world.carry_out_requests()
    assert len(world.partoo.invitations) == 50


# Sweeps that overlap.


def begin_during_a_page(world: SweepWorld, sleep_seconds: float) -> list[Any]:
    """Begin another sweep in the middle of the first page; returns a list for its answer."""
    others: list[Any] = []

    def begin() -> None:
        world.partoo.after_search = lambda: None
        world.clock.advance(sleep_seconds)
        others.append(world.sweep())
        world.clock.advance(1)

    world.partoo.after_search = begin
    return others


def test_second_sweep_waits_and_asks_nobody_twice() -> None:
    world = SweepWorld(people(300))
    others = begin_during_a_page(world, 0)

    first = world.sweep()

    assert others[0]["cause"] == "lease_taken"
    assert world.resume() == first
    assert (len(world.requested), len(world.summaries)) == (300, 1)


def test_second_sweep_is_carried_out_when_the_first_has_failed() -> None:
    world = SweepWorld(people(10))
    begin_during_a_page(world, 0)
    world.partoo.distort = lambda _, document: {**document, "count": 70}
    assert world.sweep()["status"] == "sweep_failed"
    world.partoo.distort = lambda _, document: document

    assert world.resume()["queued"] == 10


def test_execution_that_was_taken_for_dead_stops() -> None:
    world = SweepWorld(people(300))
    others = begin_during_a_page(world, 70)

    answer = world.sweep()

    assert (others[0]["status"], answer["cause"]) == ("swept", "lease_taken")
    assert world.resume() == others[0]
    assert (len(set(world.request_ids)), len(world.summaries)) == (300, 1)


def test_sweep_of_an_execution_that_died_is_left_alone_for_its_lease_and_then_comes_first() -> None:
    world = SweepWorld(people(200))
    world.steps.until_death = 20
    with pytest.raises(ExecutionDiedError):
        world.sweep()

    waiting = world.sweep(roles=["ORG_ADMIN"])
    answer = world.resume_to_the_end()

    assert (waiting["cause"], 50 < waiting["delay_seconds"] <= 62) == ("lease_taken", True)
    first, second = world.summaries
    assert (first["queued"], second["found"], answer) == (200, 0, second)


# Appointments.


def test_long_wait_for_a_token_is_spent_on_the_queue_for_each_page() -> None:
    world = SweepWorld(people(150))
    set_limiter(world, event_line_at=START + 400, event_kept_at=START, full_at=START + 400)

    answer = world.sweep()

    assert answer["cause"] == "quota"
    assert 400 <= answer["delay_seconds"] <= 402
    set_limiter(world, event_line_at=START + 900, event_kept_at=START + 400, full_at=START + 400)
    assert world.resume()["cause"] == "quota"
    assert len(world.partoo.searches) == 1


# What is said of a sweep.


def test_dry_run_requests_nothing_and_counts_what_the_sweep_that_follows_counts() -> None:
    world = SweepWorld([*people(200), *people(9, "sso", sso_only=True)])
    world.invited("user-00003")

    preview = world.sweep(dry_run=True)
    assert (world.sqs.waiting, world.sns.published) == ([], [])
    assert ("SWEEP", "SWEEP") not in world.table.items
    summary = world.sweep_to_the_end()

    same = ("found", "due", "skipped", "pages", "invitations", "never_invited_here")
    assert {name: preview[name] for name in same} == {name: summary[name] for name in same}
    assert (preview["dry_run"], preview["queued"], summary["queued"]) == (True, 0, 199)
    assert len(preview["users"]) == 100


def test_dry_run_shows_who_is_due_and_why_others_are_not() -> None:
    world = SweepWorld([*people(1), user("sso", sso_only=True)])

    assert world.sweep(dry_run=True)["users"] == [
        {"user_id": "sso", "due": False, "reason": "sso_only"},
        {"user_id": "user-00000", "due": True, "reason": "due"},
    ]


def test_summary_fits_the_schema_and_its_numbers_are_metrics(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = SweepWorld([*people(10), user("sso", sso_only=True, role="NEW_ROLE")])
    for number in range(7):
        world.invited(f"user-{number:05}", times=number)
    world.clock.advance(73 * HOUR)
    metrics.clear_metrics()

    summary = world.sweep_to_the_end()

    SCHEMA.validate(summary)
    assert (summary["seconds"], summary["started_at"]) == (0.3, "2027-01-18T09:00:00.000Z")
    assert summary["invitations"] == {"0": 5, **{str(number): 1 for number in range(1, 7)}}
    metrics.flush_metrics()
    written = points(capsys.readouterr().out.splitlines())
    counts = {each.name: each.value for each in written if not each.dimensions}
    assert {name: value for name, value in counts.items() if name.startswith("Sweep")} == {
        "SweepsEnded": 1,
        "SweepFailures": 0,
        "SweepUsersFound": 11,
        "SweepUsersDue": 6,
        "SweepRequestsQueued": 6,
    }
    by_invitations = {
        each.dimensions["invitations"]: each.value
        for each in written
        if each.name == "SweepUsersInvited"
    }
    assert by_invitations == {"0": 5, "1": 1, "2": 1, "3": 1, "4+": 3}
