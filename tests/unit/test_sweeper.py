"""Whom a sweep asks again, and that it gets to its end whatever happens on the way."""

from dataclasses import replace

import pytest

from invitations.models import Cap, Source
from invitations.sweeper import PutOff
from invitations.sweeps import Summary, Sweep
from local.partoo.state import User
from tests.fakes import START, ExecutionDiedError
from tests.sweep_world import (
    HOUR,
    LONG_AGO,
    SweepWorld,
    answered,
    invited_users,
    never_sent,
    unanswered,
)


class TestWhoIsDue:
    def test_everybody_who_waits(self) -> None:
        world = SweepWorld(invited_users(250))

        summary = world.sweep_to_the_end()

        assert sorted(world.asked_users()) == [user.id for user in invited_users(250)]
        assert (summary.found, summary.due, summary.queued) == (250, 250, 250)
        assert (summary.status, summary.reason, summary.skipped) == ("swept", "completed", {})

    @pytest.mark.parametrize(
        ("user", "reason"),
        [
            (User("u1", created_at=LONG_AGO, sso_only=True), "sso_only"),
            (User("u1", created_at=int(START - 72 * HOUR + 60)), "created_recently"),
        ],
    )
    def test_nobody_whom_an_invitation_does_not_help(self, user: User, reason: str) -> None:
        world = SweepWorld([user])

        assert world.sweep_to_the_end().skipped == {reason: 1}
        assert world.asked == []

    def test_who_was_created_just_so_long_ago(self) -> None:
        world = SweepWorld([User("u1", created_at=int(START - 72 * HOUR))])

        assert world.sweep_to_the_end().due == 1

    def test_the_disabled_are_left_out_at_the_source(self) -> None:
        world = SweepWorld(invited_users(3, disabled=True))

        assert world.sweep_to_the_end().found == 0

    def test_only_the_roles_that_are_asked_for(self) -> None:
        users = [*invited_users(2), User("admin", role="ORG_ADMIN", created_at=LONG_AGO)]
        world = SweepWorld(users)

        assert world.sweep_to_the_end(roles=("ORG_ADMIN",)).found == 1
        assert world.asked_users() == ["admin"]

    def test_nobody_who_was_asked_in_the_last_hours(self) -> None:
        world = SweepWorld(invited_users(3))
        world.sweep_to_the_end()
        world.invite_those_asked()

        assert world.sweep_to_the_end().skipped == {"asked_recently": 3}
        assert world.asked == []

    def test_again_after_the_hours_until_it_was_often_enough(self) -> None:
        world = SweepWorld(invited_users(1))
        due = []
        for _ in range(5):
            due.append(world.sweep_to_the_end().due)
            world.invite_those_asked()
            world.clock.advance(73 * HOUR)

        assert due == [1, 1, 1, 0, 0]
        assert world.summaries[-1].skipped == {"max_invites_reached": 1}

    def test_no_more_than_the_cap(self) -> None:
        world = SweepWorld(invited_users(250))

        summary = world.sweep_to_the_end(max_users=120)

        assert len(world.asked) == summary.queued == summary.due == 120
        assert summary.reason == "max_users_reached"

    def test_requests_say_where_they_come_from_and_what_must_still_hold(self) -> None:
        world = SweepWorld(invited_users(1))
        summary = world.sweep_to_the_end()

        (copy,) = world.asked
        assert copy.progress.source is Source.SWEEP
        assert copy.progress.cap == Cap(3, 72 * HOUR)
        assert copy.progress.request_id == copy.progress.life_id
        assert summary.sweep_id in copy.body


class TestComplete:
    def test_nobody_is_missed_or_asked_twice_while_people_accept(self) -> None:
        world = SweepWorld(invited_users(700))
        world.partoo.set_churn(accepting=20, appearing=0)

        world.sweep_to_the_end()

        asked = world.asked_users()
        waiting = {user.id for user in world.partoo.users() if user.status == "invited"}
        assert waiting <= set(asked)
        assert len(asked) == len(set(asked))

    @pytest.mark.parametrize("dies_at", range(0, 213, 7))
    def test_a_sweep_that_dies_is_gone_on_with(self, dies_at: int) -> None:
        world = SweepWorld(invited_users(200), dies_at=dies_at)
        with pytest.raises(ExecutionDiedError):
            world.sweep_to_the_end()

        world.sweep_to_the_end()

        asked = {copy.progress.request_id for copy in world.asked}
        assert len(asked) == 200
        assert {summary.queued for summary in world.summaries} == {200}

    def test_what_a_dead_sweep_has_checked_off_is_not_read_again(self) -> None:
        world = SweepWorld(invited_users(1_000))
        # It has read the list's size, and checked off most of it.
        world.dies_at = 800
        with pytest.raises(ExecutionDiedError):
            world.sweep()
        pages = len(world.pages)

        world.sweep_to_the_end()

        assert len(world.pages) - pages < 6

    def test_a_dead_sweep_is_left_alone_for_no_longer_than_its_hold(self) -> None:
        world = SweepWorld(invited_users(200), dies_at=150)
        with pytest.raises(ExecutionDiedError):
            world.sweep()

        outcome = world.sweep()

        assert isinstance(outcome, PutOff)
        assert (outcome.cause, 30 < outcome.delay_seconds <= 62) == ("held", True)
        assert isinstance(world.go_on(), Summary)

    def test_a_second_sweep_asks_nobody_twice(self) -> None:
        world = SweepWorld(invited_users(300))
        second: list[Summary | PutOff] = []

        def begin_a_second(world: SweepWorld) -> None:
            if not second:
                second.append(PutOff(None, "", 0))
                second[0] = world.sweep()

        world.on_page = begin_a_second
        first = world.sweep()

        (put_off,) = second
        assert isinstance(put_off, PutOff)
        assert world.go_on() == first
        assert (len(world.asked), len(world.summaries)) == (300, 1)

    def test_an_order_of_other_terms_is_carried_out_after_the_one_under_way(self) -> None:
        world = SweepWorld(invited_users(200), dies_at=150)
        with pytest.raises(ExecutionDiedError):
            world.sweep()

        outcome = world.sweep_to_the_end(roles=("ORG_ADMIN",))

        first, second = world.summaries
        assert (first.queued, second.found) == (200, 0)
        assert outcome == second

    def test_one_that_was_thought_dead_and_is_not_stops(self) -> None:
        world = SweepWorld(invited_users(300))
        rivals: list[Summary | PutOff] = []

        def sleep_long(world: SweepWorld) -> None:
            if not rivals:
                world.clock.advance(70)
                rivals.append(PutOff(None, "", 0))
                rivals[0] = world.sweep()

        world.on_page = sleep_long
        outcome = world.sweep()

        assert isinstance(rivals[0], Summary)
        assert isinstance(outcome, PutOff)
        assert world.go_on() == rivals[0]
        assert len({copy.progress.request_id for copy in world.asked}) == 300
        assert len(world.summaries) == 1

    def test_one_that_runs_out_of_time_goes_on_where_it_was(self) -> None:
        world = SweepWorld(invited_users(1_000))
        world.on_page = lambda world: world.clock.advance(60)

        world.sweep_to_the_end()

        assert len(world.asked) == 1_000
        assert len(world.pages) <= 16

    def test_users_who_take_their_place_in_the_list_twice_are_asked_once(self) -> None:
        world = SweepWorld(invited_users(101))

        world.sweep_to_the_end()

        assert len(world.asked) == len(set(world.asked_users())) == 101


class TestTrouble:
    @pytest.mark.parametrize(
        "answer",
        [answered(429, "30"), answered(503), answered(401), never_sent(), unanswered()],
        ids=["429", "503", "401", "never sent", "unanswered"],
    )
    def test_that_passes_puts_it_off(self, answer: object) -> None:
        world = SweepWorld(invited_users(150))
        world.answers = [answer]  # type: ignore[list-item]  # each is one

        assert isinstance(world.sweep(), PutOff)
        assert isinstance(world.go_on(), Summary)

        assert len(world.asked) == 150

    def test_of_a_429_stops_everybody_for_so_long(self) -> None:
        world = SweepWorld(invited_users(150))
        world.answers = [answered(429, "30")]

        outcome = world.sweep()

        assert isinstance(outcome, PutOff)
        assert (outcome.cause, outcome.delay_seconds) == ("throttled", 30)
        assert world.gate.last_known.paused_until == world.clock() + 30

    def test_a_key_that_was_replaced_is_read_again(self) -> None:
        world = SweepWorld(invited_users(10))
        world.keys.current()
        world.partoo.set_key("key-2")
        world.keys.secret = "key-2"

        assert world.sweep_to_the_end().queued == 10

    @pytest.mark.parametrize("status", [400, 403, 404, 422])
    def test_a_search_that_is_refused_ends_it(self, status: int) -> None:
        world = SweepWorld(invited_users(10))
        world.answers = [answered(status)]

        summary = world.sweep()

        assert isinstance(summary, Summary)
        assert (summary.status, summary.reason) == ("sweep_failed", "search_refused")
        assert summary.http_status == status
        assert world.summaries == [summary]

    @pytest.mark.parametrize("body", ["", "{", "[]", '{"count": 1}', '{"users": []}'])
    def test_an_unreadable_answer_ends_it(self, body: str) -> None:
        world = SweepWorld(invited_users(10))
        world.answers = [answered(200, body=body)]

        summary = world.sweep()

        assert isinstance(summary, Summary)
        assert (summary.status, summary.reason) == ("sweep_failed", "answer_unreadable")

    def test_without_end_ends_it(self) -> None:
        world = SweepWorld(invited_users(10))
        world.answers = [answered(503)] * 20

        summary = world.sweep_to_the_end()

        assert (summary.status, summary.reason) == ("sweep_failed", "server_error")
        assert world.clock() - START > 1_000

    def test_the_next_sweep_after_a_failed_one_begins_anew(self) -> None:
        world = SweepWorld(invited_users(10))
        world.answers = [answered(403)]
        world.sweep()

        assert world.sweep_to_the_end().queued == 10

    def test_that_ended_another_sweep_leaves_the_order_that_waited_to_be_carried_out(self) -> None:
        world = SweepWorld(invited_users(10), dies_at=4)
        with pytest.raises(ExecutionDiedError):
            world.sweep()
        assert isinstance(world.sweep(), PutOff)
        world.clock.advance(70)
        world.answers = [answered(403)]
        world.sweeper.sweep(replace(world.order(), ordered_at=START), world.clock() + 300)

        summary = world.go_on()

        assert isinstance(summary, Summary)
        assert (summary.status, summary.queued) == ("swept", 10)

    @pytest.mark.parametrize("port", ["store", "queue", "topic"])
    def test_of_our_own_puts_it_off_or_leaves_it_to_be_repeated(self, port: str) -> None:
        world = SweepWorld(invited_users(150))
        order = world.order()
        world.failures[port] = 2
        for _ in range(5):
            try:
                outcome = world.sweeper.sweep(order, world.clock() + 300)
            except Exception:  # noqa: BLE001  # the queue hands it over again
                world.clock.advance(360)
                continue
            if isinstance(outcome, Summary):
                break
            world.clock.advance(outcome.delay_seconds)

        assert isinstance(outcome, Summary)
        assert len({copy.progress.request_id for copy in world.asked}) == 150
        assert [summary.queued for summary in world.summaries] == [150]

    def test_a_ledger_that_cannot_be_read_puts_it_off(self) -> None:
        world = SweepWorld(invited_users(10))
        world.ledger.fail("look_up")

        outcome = world.sweep()

        assert isinstance(outcome, PutOff)
        assert outcome.cause == "ledger_unavailable"
        assert isinstance(world.go_on(), Summary)

    def test_a_key_that_cannot_be_read_puts_it_off(self) -> None:
        world = SweepWorld(invited_users(10))
        world.keys.fail("read")

        outcome = world.sweep()

        assert isinstance(outcome, PutOff)
        assert outcome.cause == "key_unavailable"

    def test_users_about_whom_too_little_is_said_are_counted(self) -> None:
        world = SweepWorld()
        body = '{"count": 3, "users": [{"id": "u1"}, {}, 7]}'
        world.answers = [answered(200, body=body)]

        summary = world.sweep_to_the_end()

        assert summary.skipped == {"user_unreadable": 3}

    def test_an_empty_organisation_is_swept(self) -> None:
        summary = SweepWorld().sweep_to_the_end()

        assert (summary.status, summary.found, summary.pages) == ("swept", 0, 1)


class TestQuota:
    def test_searches_take_their_turn(self) -> None:
        world = SweepWorld(invited_users(2_000), requests_per_minute=60)
        moments: list[float] = []
        world.on_page = lambda world: moments.append(world.clock())

        world.sweep_to_the_end()

        crowded = [sum(0 <= later - first < 60 for later in moments) for first in moments]
        assert max(crowded) <= 60

    def test_a_long_wait_is_spent_on_the_queue(self) -> None:
        world = SweepWorld(invited_users(10))
        world.gate.last_known = world.gate.last_known.pause(world.clock() + 60)

        outcome = world.sweep()

        assert isinstance(outcome, PutOff)
        assert (outcome.cause, outcome.delay_seconds) == ("paused", 60)


class TestPreview:
    def test_asks_nobody_and_says_who_would_be(self) -> None:
        users = [*invited_users(3), User("sso", created_at=LONG_AGO, sso_only=True)]
        world = SweepWorld(users)

        preview = world.sweeper.preview(world.order(), world.clock() + 300)

        assert (world.asked, world.summaries, world.stored) == ([], [], (0, None))
        assert dict(preview.users) == {
            **{user.id: "due" for user in invited_users(3)},
            "sso": "sso_only",
        }

    def test_counts_what_the_sweep_that_follows_counts(self) -> None:
        users = [
            *invited_users(200),
            *[User(f"sso-{number}", created_at=LONG_AGO, sso_only=True) for number in range(9)],
        ]
        world = SweepWorld(users)
        world.invited(users[3].id)

        preview = world.sweeper.preview(world.order(), world.clock() + 300).summary
        summary = world.sweep_to_the_end()

        assert preview.queued == 0
        assert (preview.found, preview.due, preview.skipped, preview.pages) == (
            summary.found,
            summary.due,
            summary.skipped,
            summary.pages,
        )

    def test_shows_about_a_page_of_users(self) -> None:
        world = SweepWorld(invited_users(500))

        assert len(world.sweeper.preview(world.order(), world.clock() + 300).users) == 100

    def test_that_cannot_go_on_says_why(self) -> None:
        world = SweepWorld(invited_users(10))
        world.answers = [answered(403)]

        summary = world.sweeper.preview(world.order(), world.clock() + 300).summary

        assert (summary.status, summary.reason) == ("sweep_failed", "search_refused")


def test_a_sweep_is_kept_whole() -> None:
    world = SweepWorld(invited_users(300), dies_at=250)
    with pytest.raises(ExecutionDiedError):
        world.sweep(roles=("BUSINESS_MANAGER",))

    _, sweep = world.stored
    assert sweep is not None
    assert Sweep.from_json(sweep.to_json()) == sweep
    assert sweep.walk.seen
