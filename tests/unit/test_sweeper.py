"""What a sweep asks for, what it says of itself, and how it goes on or ends when something fails.

`tests/simulation/test_sweep_simulation.py` shows what holds through deaths, outages and overlaps.
"""

import json
from typing import Any

import pytest

from invitations.limiter_state import LimiterState
from invitations.messages import Pace
from invitations.outcomes import judge
from invitations.results import Source
from tests.fakes import START, ExecutionDiedError
from tests.sweep_world import BULK, HOUR, SweepWorld, people, user

# Who is requested.


def test_sweep_requests_all_who_are_due_and_counts_the_others_with_the_reason() -> None:
    odd = {"id": "odd", "email": "odd", "status": "invited", "org_id": 1, "role": "X"}
    others = [user("sso", sso_only=True), user("new", created_at=START - HOUR), odd]
    world = SweepWorld([*people(250), *others])

    summary = world.sweep_to_the_end()

    assert sorted(world.requested) == [each["id"] for each in people(250)]
    assert (summary["found"], summary["due"], summary["queued"]) == (253, 250, 250)
    assert (summary["status"], summary["reason"]) == ("swept", "completed")
    assert summary["skipped"] == {"sso_only": 1, "created_recently": 1, "user_unreadable": 1}
    # A request carries what must still hold.
    message = world.on(BULK)[0]
    assert json.loads(message.body)["correlation_id"] == summary["sweep_id"]
    assert (message.state.max_invites, message.state.min_age_seconds) == (3, 72 * HOUR)
    assert (message.text("source"), message.state.asked_at) == (Source.SWEEP, START)


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


def test_summary_counts_users_by_their_invitations_and_unknown_roles() -> None:
    world = SweepWorld([*people(3), user("a", role="FRANCHISE_LEAD")])
    world.invited("user-00001", times=2)
    world.clock.advance(73 * HOUR)

    everybody = world.sweep_to_the_end()
    named = world.sweep_to_the_end(roles=["FRANCHISE_LEAD", "NOBODY"])

    assert everybody["invitations"] == {"0": 3, "2": 1}
    assert everybody["never_invited_here"] == 3
    assert everybody["started_at"] == "2027-01-18T09:00:00.000Z"
    assert (everybody["due"], everybody["unknown_roles"]) == (4, {"FRANCHISE_LEAD": 1})
    assert (named["due"], named["unknown_roles"]) == (1, {"FRANCHISE_LEAD": 1, "NOBODY": 0})


@pytest.mark.parametrize(
    ("refused", "max_users", "reason", "organisations"),
    [
        ({}, 0, "completed", [("1", "completed", 150), ("2", "completed", 150)]),
        ({"1": 403}, 0, "search_refused", [("1", "search_refused", 0), ("2", "completed", 150)]),
        ({"1": 503}, 0, "server_error", [("1", "server_error", 0), ("2", "completed", 150)]),
        ({}, 200, "max_users_reached", [("1", "completed", 150), ("2", "max_users_reached", 50)]),
        ({}, 100, "max_users_reached", [("1", "max_users_reached", 100)]),
    ],
)
def test_organisations_are_swept_in_turn_share_the_cap_and_fail_alone(
    refused: dict[str, int], max_users: int, reason: str, organisations: list[Any]
) -> None:
    world = SweepWorld([*people(150, "a", org_id=1), *people(150, "b", org_id=2)])
    world.partoo.statuses = refused

    summary = world.sweep_to_the_end(org_ids=["1", "2"], max_users=max_users)

    status = "sweep_failed" if refused else "swept"
    assert (summary["status"], summary["reason"]) == (status, reason)
    ends = [(each["org_id"], each["reason"], each["due"]) for each in summary["organisations"]]
    assert ends == organisations
    assert len(set(world.requested)) == summary["due"] == sum(due for *_, due in organisations)


def test_user_of_another_organisation_than_the_one_asked_for_is_skipped() -> None:
    """A key that may not choose is shown its own organisation."""
    world = SweepWorld()
    world.partoo.distort = lambda *_: {"count": 1, "users": [user("a", org_id=1)]}

    assert world.sweep_to_the_end(org_ids=["2"])["skipped"] == {"other_organisation": 1}


def test_dry_run_requests_nothing_and_says_what_the_sweep_that_follows_would() -> None:
    world = SweepWorld([*people(200), user("zso", sso_only=True)])
    world.invited("user-00003")

    preview = world.sweep(dry_run=True)
    assert (world.messages, world.summaries) == ([], [])
    assert ("SWEEP", "SWEEP") not in world.table.items
    summary = world.sweep_to_the_end()

    same = ("found", "due", "skipped", "pages", "invitations", "never_invited_here")
    assert {name: preview[name] for name in same} == {name: summary[name] for name in same}
    assert (preview["dry_run"], preview["queued"], summary["queued"]) == (True, 0, 199)
    assert len(preview["users"]) == 100
    # The list is read from its end.
    assert {"user_id": "zso", "due": False, "reason": "sso_only"} in preview["users"]
    assert {"user_id": "user-00199", "due": True, "reason": "due"} in preview["users"]


# How a sweep fails.


@pytest.mark.parametrize(
    ("status", "dry_run", "reason"),
    [
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
    world.partoo.answers = [judge(status, START)]

    summary = world.sweep(dry_run=dry_run)

    assert (summary["status"], summary["reason"]) == ("sweep_failed", reason)


@pytest.mark.parametrize(
    ("pause", "reason"),
    [({}, "server_error"), ({"paused_until": 1e11, "pause_reason": "operator"}, "operator")],
)
def test_trouble_without_end_ends_the_sweep_in_hours(pause: dict[str, Any], reason: str) -> None:
    world = SweepWorld(people(10))
    world.partoo.answers = [judge(503, START)] * 100
    world.change_limiter(**pause)

    summary = world.sweep_to_the_end(org_ids=["1", "2"])

    assert [each["reason"] for each in summary["organisations"]] == [reason] * 2
    assert summary["detail"] == "The sweep was rescheduled 12 times without a page being read."
    assert world.resumed == 12 * 2
    assert 1_800 < world.clock() - START < 8 * HOUR


def grow(world: SweepWorld) -> None:
    world.partoo.add(people(100, f"{len(world.partoo.users)}-"))


def forget_ids(world: SweepWorld) -> None:
    """No user can be known again."""
    world.partoo.distort = lambda _, document: {
        **document,
        "users": [{} for _ in document["users"]],
    }


@pytest.mark.parametrize("change", [grow, forget_ids])
def test_list_that_cannot_be_read_to_its_end_ends_the_sweep(change: Any) -> None:
    world = SweepWorld(people(700))
    world.partoo.after_search = lambda: change(world)

    summary = world.sweep_to_the_end()

    assert (summary["reason"], summary["pages"]) == ("answer_unreadable", 100 + 700 // 25 + 1)
    assert "faster than it can be read" in summary["detail"]


# How a sweep goes on.


def test_long_wait_for_a_token_is_spent_on_the_queue_for_each_page() -> None:
    world = SweepWorld(people(150))
    line = LimiterState(START + 400, {Pace.EVENT: START + 400}, {Pace.EVENT: START})
    world.change_limiter(**vars(line))

    answer = world.sweep()

    assert answer["cause"] == "quota"
    assert 400 <= answer["delay_seconds"] <= 402
    world.change_limiter(line_at={Pace.EVENT: START + 900}, kept_at={Pace.EVENT: START + 400})
    assert world.resume()["cause"] == "quota"
    assert len(world.partoo.searches) == 1


@pytest.mark.parametrize("roles", [[], ["ORG_ADMIN"]])
def test_sweep_that_comes_while_another_is_carried_on_leaves_it_alone(roles: list[str]) -> None:
    world = SweepWorld(people(120))
    waiting = []

    def come() -> None:
        world.partoo.after_search = lambda: None
        waiting.append(world.sweep(roles=roles))

    world.partoo.after_search = come
    answer = world.sweep()

    assert waiting[0]["cause"] == "lease_taken"
    assert (world.summaries, answer["queued"]) == ([answer], 120)
    last = world.resume_to_the_end()
    assert world.summaries == [answer, last][: 1 + len(roles)]


def test_execution_that_was_too_slow_for_its_lease_stops() -> None:
    world = SweepWorld(people(120))
    answers = []

    def lose_lease() -> None:
        world.partoo.after_search = lambda: None
        world.clock.advance(121)
        answers.append(world.sweep())

    world.partoo.after_search = lose_lease
    waiting = world.sweep()

    assert (waiting["cause"], 120 <= waiting["delay_seconds"] <= 121) == ("lease_taken", True)
    assert world.resume() == answers[0] == world.summaries[0]
    assert len(set(world.requested)) == answers[0]["queued"] == 120


def test_sweep_of_an_execution_that_died_is_left_alone_for_its_lease_and_then_comes_first() -> None:
    world = SweepWorld(people(120))
    world.steps.until_death = 20
    with pytest.raises(ExecutionDiedError):
        world.sweep()

    waiting = world.sweep(roles=["ORG_ADMIN"])
    answer = world.resume_to_the_end()

    assert (waiting["cause"], 110 < waiting["delay_seconds"] <= 122) == ("lease_taken", True)
    first, second = world.summaries
    assert (first["queued"], second["found"], answer) == (120, 0, second)
