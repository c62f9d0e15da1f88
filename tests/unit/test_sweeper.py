"""What a sweep asks for, and that it ends whatever happens meanwhile."""

import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from invitations.errors import DependencyUnavailableError
from invitations.limiter_state import LimiterState
from invitations.messages import SweepCriteria
from invitations.outcomes import Answered, Email, NotSent, Outcome, Response, Unknown
from invitations.results import Source
from invitations.sweeps.criteria import SweepRequest
from tests.documents import REPOSITORY
from tests.sweep_world import (
    BULK,
    CRITERIA,
    HOUR,
    START,
    SWEEPS,
    ExecutionDiedError,
    SweepWorld,
    people,
    retry_state,
    user,
)

SCHEMA = Draft202012Validator(
    json.loads((REPOSITORY / "schemas" / "sweep-1.1.json").read_text(encoding="utf-8")),
    format_checker=FormatChecker(),
)


def answered(status: int, retry_after: str | None = None, body: str = "") -> Response:
    return Answered(status, START, retry_after, body=body)


class TestDue:
    def test_users_who_wait_are_requested(self) -> None:
        world = SweepWorld(people(250))

        summary = world.sweep_to_the_end()

        assert sorted(world.requested) == sorted(each["id"] for each in people(250))
        assert (summary["found"], summary["due"], summary["queued"]) == (250, 250, 250)
        assert (summary["status"], summary["reason"], summary["skipped"]) == (
            "swept",
            "completed",
            {},
        )

    def test_others_are_counted_with_the_reason(self) -> None:
        world = SweepWorld(
            [
                user("sso", sso_only=True),
                user("new", created_at=START - HOUR),
                {"id": "odd", "email": "odd", "status": "invited", "org_id": 1, "role": "X"},
            ]
        )

        summary = world.sweep_to_the_end()

        assert summary["skipped"] == {"sso_only": 1, "created_recently": 1, "user_unreadable": 1}
        assert world.requested == []

    def test_the_search_asks_for_the_invited_in_order(self) -> None:
        world = SweepWorld()

        world.sweep_to_the_end(roles=["PUBLISHER", "PROVIDER"], org_ids=[1])

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

    def test_users_are_asked_again_after_the_hours_until_it_was_often_enough(self) -> None:
        world = SweepWorld(people(1))
        due = []
        for _ in range(5):
            due.append(world.sweep_to_the_end()["due"])
            world.carry_out_requests()
            assert world.sweep_to_the_end()["due"] == 0
            world.clock.advance(73 * HOUR)

        assert due == [1, 1, 1, 0, 0]
        assert world.summaries[-1]["skipped"] == {"max_invites_reached": 1}

    def test_no_more_are_requested_than_the_cap(self) -> None:
        world = SweepWorld(people(250))

        summary = world.sweep_to_the_end(max_users=120)

        assert len(world.requested) == summary["queued"] == summary["due"] == 120
        assert summary["reason"] == "max_users_reached"

    def test_requests_carry_what_must_still_hold(self) -> None:
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


class TestMaySend:
    """An API that sends the e-mail and answers 502."""

    def test_calls_count_as_invitations(self) -> None:
        world = SweepWorld(people(20))
        world.partoo.invite_status = 502
        for _ in range(24):
            world.sweep_to_the_end()
            world.carry_out_requests()
            world.clock.advance(24 * HOUR)

        times: dict[str, list[float]] = {}
        for at, user_id in world.partoo.invitations:
            times.setdefault(user_id, []).append(at)
        assert {len(each) for each in times.values()} == {3}
        gaps = [later - first for each in times.values() for first, later in pairwise(each)]
        assert min(gaps) >= 72 * HOUR
        assert world.summaries[-1]["invitations"] == {"3": 20}

    def test_calls_of_executions_that_died_count_too(self) -> None:
        world = SweepWorld(people(1))
        world.sweep_to_the_end()

        def die(user_id: str, api_key: str) -> Response:
            raise ExecutionDiedError

        world.partoo.invite = die  # type: ignore[method-assign]
        with pytest.raises(ExecutionDiedError):
            world.carry_out_requests()
        world.clock.advance(HOUR)

        assert world.sweep_to_the_end()["skipped"] == {"asked_recently": 1}


class TestFirstInvitation:
    def test_is_left_to_the_organisation_if_the_deployer_wants_it(self) -> None:
        world = SweepWorld([*people(3), *people(2, "new", created_at=START)])
        world.invited("user-00001")
        world.clock.advance(73 * HOUR)

        summary = world.sweep_to_the_end(first_invitation=False)

        assert world.requested == ["user-00001"]
        assert summary["skipped"] == {"never_invited_here": 4}
        assert summary["never_invited_here"] == 4

    @pytest.mark.parametrize("dry_run", [True, False])
    def test_is_counted(self, dry_run: bool) -> None:
        world = SweepWorld([*people(3), user("sso", sso_only=True)])
        world.invited("user-00001")
        world.clock.advance(73 * HOUR)

        summary = world.sweep_to_the_end(dry_run=dry_run)

        assert (summary["due"], summary["never_invited_here"]) == (3, 2)


class TestRoles:
    def test_that_are_not_known_are_swept_and_listed(self) -> None:
        world = SweepWorld([*people(2, role="FRANCHISE_LEAD"), user("m", role="ORG_MANAGER")])

        summary = world.sweep_to_the_end()

        assert summary["due"] == 3
        assert summary["unknown_roles"] == {"FRANCHISE_LEAD": 2}

    def test_that_are_not_known_may_be_searched_for(self) -> None:
        world = SweepWorld([user("a", role="FRANCHISE_LEAD"), user("b")])

        summary = world.sweep_to_the_end(roles=["FRANCHISE_LEAD", "NOBODY"])

        assert world.requested == ["a"]
        assert summary["unknown_roles"] == {"FRANCHISE_LEAD": 1, "NOBODY": 0}

    def test_without_number_do_not_fill_the_item(self) -> None:
        world = SweepWorld(user(f"u{n:03}", role=f"ROLE_{'X' * n}") for n in range(300))

        summary = world.sweep_to_the_end()

        assert len(summary["unknown_roles"]) == 20
        assert max(map(len, summary["unknown_roles"])) <= 50


class TestOrganisations:
    def two(self) -> SweepWorld:
        return SweepWorld([*people(150, "a", org_id=1), *people(150, "b", org_id=2)])

    def test_are_swept_in_turn(self) -> None:
        world = self.two()

        summary = world.sweep_to_the_end(org_ids=["1", "2"])

        assert Counter(each[0] for each in world.requested) == {"a": 150, "b": 150}
        assert (summary["status"], summary["due"], summary["pages"]) == ("swept", 300, 6)
        assert [(each["org_id"], each["due"]) for each in summary["organisations"]] == [
            ("1", 150),
            ("2", 150),
        ]

    @pytest.mark.parametrize("refused", ["1", "2"])
    def test_that_are_refused_do_not_end_the_others(self, refused: str) -> None:
        world = self.two()
        world.partoo.statuses = {refused: 403}

        summary = world.sweep_to_the_end(org_ids=["1", "2"])

        assert len(world.requested) == 150
        assert (summary["status"], summary["reason"]) == ("sweep_failed", "search_refused")
        assert summary["http_status"] == 403
        ends = {each["org_id"]: each for each in summary["organisations"]}
        assert (ends[refused]["status"], ends[refused]["due"]) == ("sweep_failed", 0)
        del ends[refused]
        (other,) = ends.values()
        assert (other["status"], other["reason"], other["due"]) == ("swept", "completed", 150)
        SCHEMA.validate(summary)

    def test_that_never_answer_do_not_end_the_others(self) -> None:
        world = self.two()
        world.partoo.statuses = {"1": 503}

        summary = world.sweep_to_the_end(org_ids=["1", "2"])

        assert [each["reason"] for each in summary["organisations"]] == [
            "server_error",
            "completed",
        ]
        assert len(world.requested) == 150

    def test_share_the_cap(self) -> None:
        world = self.two()

        summary = world.sweep_to_the_end(org_ids=["1", "2"], max_users=200)

        assert len(world.requested) == summary["due"] == 200
        assert summary["reason"] == "max_users_reached"

    def test_after_the_cap_are_not_searched(self) -> None:
        world = self.two()

        summary = world.sweep_to_the_end(org_ids=["1", "2"], max_users=100)

        assert [each["org_id"] for each in summary["organisations"]] == ["1"]

    def test_are_not_mixed_up_by_a_key_that_cannot_choose(self) -> None:
        world = self.two()

        def own_organisation(query: dict[str, str], _: dict[str, Any]) -> dict[str, Any]:
            return {"count": 1, "page": int(query["page"]), "users": [user("a", org_id=1)]}

        world.partoo.distort = own_organisation
        summary = world.sweep_to_the_end(org_ids=["2"])

        assert world.requested == []
        assert summary["skipped"] == {"other_organisation": 1}


def count_off(_: dict[str, str], document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "count": document["count"] + 200, "max_page": document["max_page"] + 2}


def hidden_users(_: dict[str, str], document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "users": document["users"][:-3]}


def cut_to_50(_: dict[str, str], document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "users": document["users"][:50]}


def capped_count(_: dict[str, str], document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "count": min(document["count"], 500), "max_page": None}


def one_more_page(query: dict[str, str], _: dict[str, Any]) -> dict[str, Any]:
    page, size = int(query["page"]), int(query["per_page"])
    shown = [user(f"{number:06}") for number in range((page - 1) * size, page * size)]
    return {"page": page, "max_page": page + 1, "count": (page + 1) * size, "users": shown}


def one_more_page_of_new_users(query: dict[str, str], _: dict[str, Any]) -> dict[str, Any]:
    document = one_more_page(query, _)
    prefix = f"{query['page']}-{query['per_page']}"
    users = [user(f"{prefix}-{each['id']}") for each in document["users"]]
    return {**document, "users": users}


class TestContradiction:
    @pytest.mark.parametrize(
        ("distort", "sentence"),
        [
            (count_off, "counts 900 users, so page 10"),
            (hidden_users, "has to show 100; it shows 97"),
            (cut_to_50, "has to show 100; it shows 50"),
            (capped_count, "counts 500 users, so page"),
            (one_more_page, "faster than it can be read"),
            (one_more_page_of_new_users, "faster than it can be read"),
        ],
    )
    def test_ends_the_sweep_with_a_sentence(
        self, distort: Callable[..., Any], sentence: str
    ) -> None:
        world = SweepWorld(people(700))
        world.partoo.distort = distort

        summary = world.sweep_to_the_end()

        assert (summary["status"], summary["reason"]) == ("sweep_failed", "answer_unreadable")
        assert sentence in summary["detail"]
        assert len(world.partoo.searches) < 200
        assert len(world.requested) == len(set(world.requested))
        SCHEMA.validate(summary)

    def test_that_comes_in_the_middle_leaves_what_was_queued(self) -> None:
        world = SweepWorld(people(700))

        def begin() -> None:
            if len(world.partoo.searches) == 4:
                world.partoo.distort = cut_to_50

        world.partoo.after_search = begin
        summary = world.sweep_to_the_end()
        world.partoo.distort = lambda _, document: document
        world.carry_out_requests()
        world.sweep_to_the_end()
        world.carry_out_requests()

        assert 0 < summary["queued"] < 700
        assert Counter(each for _, each in world.partoo.invitations) == Counter(
            each["id"] for each in people(700)
        )

    @pytest.mark.parametrize("body", ["", "{", "[]", '{"count": 1}', '{"users": []}'])
    def test_an_answer_that_is_no_list_ends_the_sweep(self, body: str) -> None:
        world = SweepWorld(people(10))
        world.partoo.answers = [answered(200, body=body)]

        summary = world.sweep()

        assert (summary["status"], summary["reason"]) == ("sweep_failed", "answer_unreadable")
        assert summary["detail"]

    def test_a_success_without_a_list_ends_the_sweep(self) -> None:
        world = SweepWorld(people(10))
        world.partoo.answers = [answered(204)]

        assert world.sweep()["reason"] == "answer_unreadable"


class TestEnd:
    @pytest.mark.parametrize("status", [400, 403, 404, 422])
    def test_a_refused_search_ends_the_sweep(self, status: int) -> None:
        world = SweepWorld(people(10))
        world.partoo.answers = [answered(status)]

        summary = world.sweep()

        assert (summary["status"], summary["reason"]) == ("sweep_failed", "search_refused")
        assert summary["http_status"] == status
        assert world.summaries == [summary]

    @pytest.mark.parametrize(
        "answer",
        [
            answered(503),
            answered(429, "3600"),
            answered(401),
            NotSent("refused"),
            Unknown("read timed out", START),
        ],
        ids=["503", "429", "401", "not sent", "unknown"],
    )
    def test_trouble_without_end_ends_the_sweep(self, answer: Response) -> None:
        world = SweepWorld(people(10))
        world.partoo.answers = [answer] * 100

        summary = world.sweep_to_the_end()

        assert summary["status"] == "sweep_failed"
        assert summary["detail"] == "The sweep was rescheduled 12 times without a page being read."
        assert 1_800 < world.clock() - START < 6 * HOUR
        assert len(world.partoo.searches) <= 13

    def test_executions_too_short_for_a_page_end_the_sweep(self) -> None:
        world = SweepWorld(people(10))
        request = SweepRequest(CRITERIA, START)
        for _ in range(13):
            answer = world.sweeper.sweep(request, world.clock() + 10)
            if answer["status"] == "rescheduled":
                message = json.loads(world.sqs.receive(SWEEPS)["MessageBody"])
                request = SweepRequest(CRITERIA, START, delays=message["delays"])

        assert (answer["status"], answer["reason"]) == ("sweep_failed", "time_budget_exhausted")
        assert world.partoo.searches == []

    def test_an_operators_pause_ends_the_sweep_in_hours(self) -> None:
        world = SweepWorld(people(10))
        state = LimiterState(paused_until=START + 10**6, pause_reason="operator")
        world.table.items["LIMITER", "LIMITER"] = {**vars(state), "revision": "r"}

        summary = world.sweep_to_the_end(org_ids=["1", "2"])

        assert [each["reason"] for each in summary["organisations"]] == ["operator", "operator"]
        assert 2 * HOUR < world.clock() - START < 5 * HOUR

    def test_the_next_sweep_after_a_failed_one_begins_anew(self) -> None:
        world = SweepWorld(people(10))
        world.partoo.answers = [answered(403)]
        world.sweep()

        assert world.sweep_to_the_end()["queued"] == 10

    def test_an_empty_organisation_is_swept(self) -> None:
        summary = SweepWorld().sweep_to_the_end()

        assert (summary["status"], summary["found"], summary["pages"]) == ("swept", 0, 1)
        SCHEMA.validate(summary)


class TestTrouble:
    @pytest.mark.parametrize(
        "answer",
        [
            answered(429, "30"),
            answered(503),
            answered(302),
            answered(408),
            answered(401),
            NotSent("refused"),
            Unknown("read timed out", START),
        ],
        ids=["429", "503", "302", "408", "401", "not sent", "unknown"],
    )
    def test_that_passes_reschedules_the_sweep(self, answer: Response) -> None:
        world = SweepWorld(people(150))
        world.partoo.answers = [answer]

        assert world.sweep()["status"] == "rescheduled"
        while (result := world.resume())["status"] == "rescheduled":
            pass
        assert result["status"] == "swept"
        assert len(world.requested) == 150

    def test_of_a_429_stops_all_calls_for_as_long(self) -> None:
        world = SweepWorld(people(150))
        world.partoo.answers = [answered(429, "30")]

        answer = world.sweep()

        assert (answer["cause"], answer["delay_seconds"]) == ("throttled", 30)
        assert world.table.items["LIMITER", "LIMITER"]["paused_until"] == world.clock() + 30

    def test_of_a_replaced_key_is_mended_at_once(self) -> None:
        world = SweepWorld(people(10))
        world.partoo.key = world.keys.secret = "key-2"

        assert world.sweep()["queued"] == 10

    def test_of_the_secret_reschedules_the_sweep(self) -> None:
        world = SweepWorld(people(10))
        world.keys.failures = 1

        assert world.sweep()["cause"] == "key_unavailable"
        assert world.resume()["status"] == "swept"

    @pytest.mark.parametrize("service", ["table", "queue", "topic"])
    @pytest.mark.parametrize("times", [1, 5])
    @pytest.mark.parametrize("after", range(0, 42, 6))
    def test_of_aws_loses_nothing(self, service: str, times: int, after: int) -> None:
        world = SweepWorld(people(120))
        original, calls = world.steps.take, 0

        def take(which: str) -> bool:
            nonlocal calls
            calls += 1
            if calls == after:
                world.steps.failures[service] = times
            return original(which)

        world.steps.take = take  # type: ignore[method-assign, assignment]
        answer: Any = None
        for _ in range(10):
            try:
                resume = bool(world.sqs.on(SWEEPS))
                answer = world.resume() if resume else world.sweep()
            except DependencyUnavailableError:
                # SQS delivers the message again, Lambda the event.
                world.clock.advance(360)
                continue
            if answer["status"] != "rescheduled":
                break

        assert answer["status"] == "swept"
        assert len(set(world.request_ids)) >= 120
        assert set(world.requested) == {each["id"] for each in people(120)}

    def test_of_the_clock_is_no_reason_to_read_a_page_again(self) -> None:
        world = SweepWorld(people(1_000))
        world.partoo.after_search = lambda: world.clock.advance(50)

        summary = world.sweep_to_the_end()

        assert summary["queued"] == len(set(world.requested)) == len(world.requested) == 1_000
        assert len(world.partoo.searches) <= 16


class TestDeath:
    @pytest.mark.parametrize("dies_at", range(60))
    def test_at_any_step_loses_and_repeats_nothing(self, dies_at: int) -> None:
        world = SweepWorld(people(200))
        world.steps.until_death = dies_at
        try:
            world.sweep_to_the_end()
        except ExecutionDiedError:
            world.sweep_to_the_end()
        world.steps.until_death = None

        sweeps = {each["sweep_id"] for each in world.summaries}
        assert {each["queued"] for each in world.summaries} == {200}
        # A death after the end begins a sweep of its own.
        assert len(set(world.request_ids)) == 200 * len(sweeps)
        assert set(world.requested) == {each["id"] for each in people(200)}
        if dies_at % 6 == 0:
            # Takes half a second.
            world.carry_out_requests()
            assert Counter(each for _, each in world.partoo.invitations) == Counter(
                each["id"] for each in people(200)
            )

    def test_after_requests_were_carried_out_counts_them_as_due(self) -> None:
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

    def test_leaves_pages_with_a_checkpoint_read(self) -> None:
        world = SweepWorld(people(1_000))

        def die() -> None:
            if len(world.partoo.searches) == 10:
                raise ExecutionDiedError

        world.partoo.after_search = die
        with pytest.raises(ExecutionDiedError):
            world.sweep()
        world.sweep_to_the_end()

        assert len(world.partoo.searches) <= 10 + 6

    def test_leaves_the_sweep_alone_for_no_longer_than_its_lease(self) -> None:
        world = SweepWorld(people(200))
        world.steps.until_death = 20
        with pytest.raises(ExecutionDiedError):
            world.sweep()

        answer = world.sweep()

        assert (answer["cause"], 50 < answer["delay_seconds"] <= 62) == ("lease_taken", True)
        assert world.resume()["status"] == "swept"


class TestOverlap:
    def begin_during_a_page(self, world: SweepWorld, sleep_seconds: float, **of: Any) -> list[Any]:
        others: list[Any] = []

        def begin() -> None:
            if not others:
                others.append(None)
                world.clock.advance(sleep_seconds)
                others[0] = world.sweep(**of)
                world.clock.advance(1)

        world.partoo.after_search = begin
        return others

    def test_of_two_sweeps_asks_nobody_twice(self) -> None:
        world = SweepWorld(people(300))
        others = self.begin_during_a_page(world, 0)

        first = world.sweep()

        assert others[0]["cause"] == "lease_taken"
        assert world.resume() == first
        assert (len(world.requested), len(world.summaries)) == (300, 1)

    def test_with_other_criteria_continues_the_sweep_under_way_first(self) -> None:
        world = SweepWorld(people(200))
        world.steps.until_death = 20
        with pytest.raises(ExecutionDiedError):
            world.sweep()

        answer = world.sweep_to_the_end(roles=["ORG_ADMIN"])

        first, second = world.summaries
        assert (first["queued"], second["found"]) == (200, 0)
        assert answer == second

    def test_stops_an_execution_that_was_taken_for_dead(self) -> None:
        world = SweepWorld(people(300))
        others = self.begin_during_a_page(world, 70)

        answer = world.sweep()

        assert others[0]["status"] == "swept"
        assert answer["cause"] == "lease_taken"
        assert world.resume() == others[0]
        assert len(set(world.request_ids)) == 300
        assert len(world.summaries) == 1

    def test_leaves_a_sweep_that_waited_for_a_failed_one_to_be_carried_out(self) -> None:
        world = SweepWorld(people(10))
        self.begin_during_a_page(world, 0)
        world.partoo.distort = lambda _, document: {**document, "count": 70}
        assert world.sweep()["status"] == "sweep_failed"
        world.partoo.distort = lambda _, document: document

        assert world.resume()["queued"] == 10


class TestQuota:
    def test_searches_keep_to_it(self) -> None:
        world = SweepWorld(people(2_000), requests_per_minute=60)

        world.sweep_to_the_end()

        times = [at for at, _ in world.partoo.searches]
        assert max(sum(0 <= later - first < 60 for later in times) for first in times) <= 60

    def test_a_long_wait_is_spent_on_the_queue_and_keeps_its_appointment(self) -> None:
        world = SweepWorld(people(10))
        state = LimiterState(event_line_at=START + 400, event_kept_at=START, full_at=START + 400)
        world.table.items["LIMITER", "LIMITER"] = {**vars(state), "revision": "r"}

        answer = world.sweep()

        assert answer["cause"] == "quota"
        assert 400 <= answer["delay_seconds"] <= 402
        (message,) = world.sqs.on(SWEEPS)
        assert json.loads(message["MessageBody"])["has_appointment"] is True
        assert world.resume()["status"] == "swept"

    def test_a_sweep_at_its_appointment_waits_in_no_line(self) -> None:
        world = SweepWorld(people(10))
        at = START + 400
        state = LimiterState(event_line_at=at, event_kept_at=START, full_at=START)
        world.table.items["LIMITER", "LIMITER"] = {**vars(state), "revision": "r"}

        answer = world.execute(SweepRequest(CRITERIA, START, has_appointment=True))

        assert answer["status"] == "swept"

    def test_a_search_is_an_events_call(self) -> None:
        world = SweepWorld(people(10))
        state = LimiterState(bulk_line_at=START + 400)
        world.table.items["LIMITER", "LIMITER"] = {**vars(state), "revision": "r"}

        assert world.sweep()["status"] == "swept"


class TestPreview:
    def test_requests_nothing_and_shows_who_is_due(self) -> None:
        world = SweepWorld([*people(3), user("sso", sso_only=True)])

        answer = world.sweep(dry_run=True)

        assert (world.sqs.waiting, world.sns.published) == ([], [])
        assert ("SWEEP", "SWEEP") not in world.table.items
        assert {each["user_id"]: each["reason"] for each in answer["users"]} == {
            "user-00000": "due",
            "user-00001": "due",
            "user-00002": "due",
            "sso": "sso_only",
        }
        assert [each["due"] for each in answer["users"]].count(True) == 3
        assert answer["dry_run"] is True

    def test_counts_what_the_sweep_that_follows_counts(self) -> None:
        world = SweepWorld([*people(200), *people(9, "sso", sso_only=True)])
        world.invited("user-00003")

        preview, summary = world.sweep(dry_run=True), world.sweep_to_the_end()

        same = ("found", "due", "skipped", "pages", "invitations", "never_invited_here")
        assert {name: preview[name] for name in same} == {name: summary[name] for name in same}
        assert (preview["queued"], summary["queued"]) == (0, 199)

    def test_shows_a_hundred_users(self) -> None:
        assert len(SweepWorld(people(500)).sweep(dry_run=True)["users"]) == 100

    @pytest.mark.parametrize(("status", "reason"), [(403, "search_refused"), (503, "server_error")])
    def test_that_cannot_continue_says_why(self, status: int, reason: str) -> None:
        world = SweepWorld(people(10))
        world.partoo.answers = [answered(status)]

        answer = world.sweep(dry_run=True)

        assert (answer["status"], answer["reason"]) == ("sweep_failed", reason)


class TestSummary:
    def test_says_how_often_users_were_invited(self) -> None:
        world = SweepWorld([*people(10), user("sso", sso_only=True)])
        world.invited("user-00001")
        world.invited("user-00002", times=4)

        summary = world.sweep_to_the_end()

        assert summary["invitations"] == {"0": 9, "1": 1, "4": 1}

    def test_fits_the_schema(self) -> None:
        world = SweepWorld([*people(120), user("sso", sso_only=True, role="NEW_ROLE")])

        summary = world.sweep_to_the_end()

        SCHEMA.validate(summary)
        assert (summary["seconds"], summary["started_at"]) == (0.9, "2027-01-15T08:00:00.000Z")


def test_the_report_of_an_outage_is_shared() -> None:
    world = SweepWorld(people(10))
    for _ in range(9):
        world.limiter.report(Outcome(Email.NO, is_outage=True))
    world.partoo.answers = [answered(503)]

    world.sweep()

    assert world.table.items["LIMITER", "LIMITER"]["pause_reason"] == "outage"
