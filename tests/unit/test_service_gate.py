"""Nobody calls when the vendor does not want it, and nobody is lost meanwhile."""

import logging

import pytest

from invitations.errors import QueueUnavailableError
from invitations.gate import LATENESS_SECONDS, Gate, Pace
from tests.fakes import START, Message, World, answers, in_short, unanswered


def patient_world(requests_per_minute: int = 300) -> World:
    """One whose calls take no time, as if those of a batch were made side by side."""
    world = World(pace=Pace.within(requests_per_minute))
    world.api.seconds = 0
    return world


@pytest.fixture
def world() -> World:
    return patient_world()


def requests(world: World, count: int, prefix: str = "u") -> list[Message]:
    return [world.message(f"{prefix}{i}", f"{prefix}-r{i}") for i in range(count)]


class TestQuota:
    def test_a_batch_calls_at_once(self, world: World) -> None:
        world.deliver_together(*requests(world, 10))

        assert {call.called_at for call in world.api.calls} == {START}

    def test_the_next_batch_waits_for_its_turn(self, world: World) -> None:
        world.deliver_together(*requests(world, 10))
        world.deliver_together(*requests(world, 10, "v"))

        second = [call.called_at - START for call in world.api.calls[10:]]
        assert second == pytest.approx([Pace.within(300).interval_seconds] * 10)

    def test_who_would_wait_long_waits_on_the_queue(self) -> None:
        world = patient_world(120)
        world.deliver_together(*requests(world, 10))

        outcomes = world.deliver_together(*requests(world, 10, "v"))

        assert {in_short(each) for each in outcomes if not isinstance(each, Exception)} == {
            "queued: quota"
        }
        assert {copy.due_at - START for copy in world.queue.deferred} == {6}

    def test_everybody_is_sent_in_the_end(self) -> None:
        world = patient_world(60)
        world.deliver_together(*requests(world, 50))
        world.deliver_all_copies()

        assert len({call.user_id for call in world.api.calls}) == len(world.api.calls) == 50
        assert {result.status for result in world.topic.published} == {"sent"}

    def test_waiting_on_the_queue_makes_no_later_failure_wait_longer(self) -> None:
        world = patient_world(60)
        world.deliver_together(*requests(world, 50))

        assert {copy.notes and '"deferrals": 0' in copy.notes for copy in world.queue.deferred} == {
            True
        }

    def test_what_needs_no_call_takes_no_place(self, world: World) -> None:
        world.deliver_together(
            Message("m1", "no JSON"),
            world.message("u1", "r1", not_after="2020-01-01"),
        )

        assert world.gate.last_known == Gate()

    def test_what_the_ledger_refuses_takes_no_place(self, world: World) -> None:
        world.ask("u1", "r1")
        before = world.gate.last_known
        world.deliver_together(world.message("u1", "r1"), world.message("u1", "r2"))

        assert world.gate.last_known == before
        assert [each.reason for each in world.topic.published] == [
            "invited",
            "invited",
            "window_active",
        ]

    def test_one_reservation_is_enough_for_a_batch(self, world: World) -> None:
        world.deliver_together(*requests(world, 10))

        assert world.gate.changes == 1

    def test_a_call_whose_place_has_passed_is_not_made(self, world: World) -> None:
        claim = world.ledger.claim

        def slow_claim(*arguments: object, **terms: object) -> object:
            world.clock.advance(LATENESS_SECONDS + 0.1)
            return claim(*arguments, **terms)  # type: ignore[arg-type]  # handed on as they came

        world.ledger.claim = slow_claim  # type: ignore[assignment]  # as above

        assert in_short(world.ask()) == "queued: place_missed"
        assert world.api.calls == []
        world.ledger.claim = claim  # type: ignore[method-assign]
        assert in_short(world.deliver_copy()) == "sent: invited"
        assert world.topic.published[0].attempts == 1

    def test_without_the_limiter_nobody_calls(self, world: World) -> None:
        world.gate.fail("change")

        assert in_short(world.ask()) == "queued: ledger_unavailable"
        assert world.api.calls == []

    def test_many_of_one_invocation_are_admitted_together(self, world: World) -> None:
        outcomes = world.deliver_together(*requests(world, 100))

        assert [each for each in outcomes if isinstance(each, Exception)] == []
        assert len(world.api.calls) == 20
        assert len(world.queue.deferred) == 80


class TestPause:
    def test_of_a_429_stops_everybody(self, world: World) -> None:
        world.api.script("u1", answers(429, "4"))
        world.ask("u1", "r1")

        assert in_short(world.ask("u2", "r2")) == "queued: paused"
        world.deliver_all_copies()
        first, *others = [call.called_at for call in world.api.calls]
        assert len(others) == 2
        assert min(others) >= first + 4

    def test_stops_those_who_wait_for_their_turn(self, world: World) -> None:
        world.deliver_together(*requests(world, 10))
        until = world.clock() + 60
        world.clock.now = START + 0.5
        sleep = world.clock.advance

        def sleep_while_another_is_refused(seconds: float) -> None:
            world.gate.last_known = world.gate.last_known.pause(until)
            sleep(seconds)

        world.service.caller.sleep = sleep_while_another_is_refused

        assert in_short(world.ask("v1", "w1")) == "queued: paused"
        assert len(world.api.calls) == 10

    def test_is_over_for_all(self, world: World) -> None:
        world.api.script("u0", answers(429, "4"))
        for message in requests(world, 10):
            world.deliver(message)
        world.deliver_all_copies()

        assert [in_short(result) for result in world.topic.published] == ["sent: invited"] * 10

    def test_is_told_in_the_log(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        world.api.script("u1", answers(429, "4"))
        world.ask("u1", "r1")

        (line,) = [vars(each) for each in caplog.records if each.msg == "quota pause"]
        assert line["paused_until"] == "2027-01-15T08:00:04.000Z"


class TestBreaker:
    @pytest.fixture
    def shut(self, world: World) -> World:
        for number, message in enumerate(requests(world, 10, "down")):
            world.api.script(f"down{number}", unanswered())
            world.deliver(message)
        return world

    def test_opens_after_ten_failures_in_a_row(self, shut: World) -> None:
        assert in_short(shut.ask("u1", "r1")) == "queued: outage"
        assert len(shut.api.calls) == 10

    def test_lets_one_call_try_and_closes_when_it_is_answered(self, shut: World) -> None:
        shut.clock.advance(15)
        calls = len(shut.api.calls)
        first = shut.deliver_together(*requests(shut, 5))
        second = shut.deliver_together(*requests(shut, 5, "v"))

        assert [in_short(each) for each in first if not isinstance(each, Exception)] == [
            "sent: invited",
            *["queued: outage"] * 4,
        ]
        assert [in_short(each) for each in second if not isinstance(each, Exception)] == [
            "sent: invited"
        ] * 5
        assert len(shut.api.calls) == calls + 6

    def test_stays_open_when_that_one_fails(self, shut: World) -> None:
        shut.clock.advance(15)
        shut.api.script("u1", answers(503))
        shut.ask("u1", "r1")

        assert in_short(shut.ask("u2", "r2")) == "queued: outage"

    def test_is_no_pause(self, shut: World) -> None:
        assert shut.gate.last_known.paused_until == 0

    def test_loses_nobody(self, shut: World) -> None:
        shut.deliver_together(*requests(shut, 10))
        shut.deliver_all_copies()

        sent = {result.user_id for result in shut.topic.published if result.status == "sent"}
        assert len(sent) == 20

    def test_is_told_in_the_log(self, shut: World, caplog: pytest.LogCaptureFixture) -> None:
        shut.clock.advance(15)
        with caplog.at_level(logging.INFO):
            shut.api.script("u1", answers(503))
            shut.ask("u1", "r1")
            shut.clock.advance(30)
            shut.ask("u2", "r2")

        told = [(each.msg, vars(each)["cause"]) for each in caplog.records if "breaker" in each.msg]
        assert told == [("breaker open", "outage"), ("breaker closed", "outage")]


class TestRefusedKey:
    @pytest.fixture
    def refused(self, world: World) -> World:
        world.api.script("u1", answers(401))
        world.ask("u1", "r1")
        return world

    def test_stops_everybody(self, refused: World) -> None:
        assert in_short(refused.ask("u2", "r2")) == "queued: key_refused"
        assert len(refused.api.calls) == 1

    def test_lets_one_try_later_and_all_when_the_key_is_right(self, refused: World) -> None:
        refused.deliver_together(*requests(refused, 10, "v"))
        refused.deliver_all_copies()

        assert {result.status for result in refused.topic.published} == {"sent"}
        assert len(refused.topic.published) == 11

    def test_that_was_replaced_stops_nobody(self, world: World) -> None:
        world.api.script("u1", answers(401))
        world.keys.current()
        world.keys.secret = "key-2"

        assert in_short(world.ask("u1", "r1")) == "sent: invited"
        assert in_short(world.ask("u2", "r2")) == "sent: invited"

    def test_that_cannot_be_told_to_the_others_costs_nobody_the_request(self, world: World) -> None:
        world.api.script("u1", answers(401))
        world.gate.fail("change", after_effect=True)
        world.ask("u1", "r1")
        world.deliver_all_copies()

        assert [in_short(result) for result in world.topic.published] == ["sent: invited"]


class TestBatch:
    def test_one_that_fails_harms_no_other(self, world: World) -> None:
        world.ledger.fail("claim", error=QueueUnavailableError("a queue is down"))

        first, second = world.deliver_together(*requests(world, 2))

        assert isinstance(first, QueueUnavailableError)
        assert not isinstance(second, Exception)
        assert in_short(second) == "sent: invited"

    def test_a_result_that_is_not_taken_waits_alone(self, world: World) -> None:
        world.topic.fail("publish")

        outcomes = world.deliver_together(*requests(world, 3))

        assert [in_short(each) for each in outcomes if not isinstance(each, Exception)] == [
            "queued: topic_unavailable",
            "sent: invited",
            "sent: invited",
        ]

    def test_an_invalid_one_that_is_not_taken_comes_back_by_itself(self, world: World) -> None:
        world.topic.fail("publish")

        (outcome,) = world.deliver_together(Message("m1", "no JSON"))

        assert isinstance(outcome, Exception)
        assert world.queue.deferred == world.queue.parked == []
