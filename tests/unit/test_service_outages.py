"""What happens while something below the service is down: nothing is lost, nothing is repeated."""

import pytest

from invitations.envelopes import read_progress
from invitations.errors import QueueUnavailableError, TopicUnavailableError
from tests.fakes import Message, World, answers, in_short, never_sent, unanswered

WINDOW = 300
SKEW = 2

NOT_AFTER = {"not_after": "2020-01-01"}
"""Makes a request that fails at once."""


@pytest.fixture
def world() -> World:
    return World()


class TestLedger:
    def test_down_at_the_claim_defers_without_a_call(self, world: World) -> None:
        world.ledger.fail("claim")

        assert in_short(world.ask()) == "queued: ledger_unavailable"
        assert world.api.calls == []

    def test_down_at_the_claim_delays_the_result_only(self, world: World) -> None:
        world.ledger.fail("claim", times=3)
        world.ask()
        world.deliver_all_copies()

        assert [in_short(result) for result in world.topic.published] == ["sent: invited"]

    def test_that_took_the_claim_without_saying_so_makes_the_request_wait(
        self, world: World
    ) -> None:
        world.ledger.fail("claim", after_effect=True)
        world.ask()

        assert in_short(world.deliver_copy()) == "queued: in_progress"
        assert in_short(world.deliver_copy()) == "sent: invited"

    def test_down_at_the_record_defers_with_the_outcome(self, world: World) -> None:
        world.ledger.fail("finish")

        assert in_short(world.ask()) == "queued: ledger_unavailable"
        assert read_progress(world.queue.deferred[0].notes).unrecorded is not None

    @pytest.mark.parametrize("after_effect", [False, True], ids=["absent", "unknown"])
    def test_down_at_the_record_causes_no_second_call(
        self, world: World, after_effect: bool
    ) -> None:
        world.ledger.fail("finish", times=3, after_effect=after_effect)
        world.ask()
        world.deliver_all_copies()

        assert len(world.api.calls) == 1
        assert [in_short(result) for result in world.topic.published] == ["sent: invited"]

    def test_down_at_the_record_does_not_change_the_result(self, world: World) -> None:
        undisturbed = World().ask()
        world.ledger.fail("finish", times=3)
        world.ask()
        world.deliver_all_copies()

        assert world.topic.published == [undisturbed]

    def test_down_at_the_record_holds_the_window_meanwhile(self, world: World) -> None:
        world.ledger.fail("finish")
        world.ask("u1", "r1")

        assert in_short(world.ask("u1", "r2")) == "skipped: window_active"

    def test_down_at_the_record_for_days_still_causes_no_second_call(self, world: World) -> None:
        world.ledger.fail("finish")
        world.ask()
        world.clock.advance(3 * 86_400)
        world.deliver_all_copies()

        assert len(world.api.calls) == 1
        assert world.ledger.users["u1"].sent_count == 1

    def test_down_at_the_record_of_a_rejection_keeps_its_reason(self, world: World) -> None:
        world.api.script("u1", answers(404))
        world.ledger.fail("finish")
        world.ask()

        assert in_short(world.deliver_copy()) == "rejected: user_not_found"

    def test_down_at_the_record_outlives_the_requests_deadline(self, world: World) -> None:
        world.ledger.fail("finish")
        world.ask(not_after="2027-01-15T08:00:00Z")

        assert in_short(world.deliver_copy()) == "sent: invited"

    def test_down_at_the_record_needs_no_key_and_no_time_for_a_call_to_catch_up(
        self, world: World
    ) -> None:
        world.ledger.fail("finish")
        world.ask()
        world.keys.fail("read")
        (copy,) = world.queue.deferred

        assert in_short(world.deliver(copy, seconds=5)) == "sent: invited"

    def test_down_at_the_release_defers_all_the_same(self, world: World) -> None:
        world.api.script("u1", never_sent())
        world.ledger.fail("release")

        assert in_short(world.ask()) == "queued: connection_failed"

    def test_down_at_the_release_makes_the_request_wait_for_its_claim_to_end(
        self, world: World
    ) -> None:
        world.api.script("u1", unanswered())
        world.ledger.fail("release")
        world.ask()
        world.deliver_all_copies()

        first, second = world.calls_for("u1")
        assert second - first >= 60 + WINDOW
        assert in_short(world.topic.published[0]) == "sent: invited"

    def test_down_at_the_end_without_a_call_defers(self, world: World) -> None:
        world.ledger.fail("conclude")

        assert in_short(world.ask(**NOT_AFTER)) == "queued: ledger_unavailable"
        assert in_short(world.deliver_copy()) == "failed: deadline_passed"

    def test_down_at_a_skip_defers(self, world: World) -> None:
        world.ask("u1", "r1")
        world.ledger.fail("conclude")

        assert in_short(world.ask("u1", "r2")) == "queued: ledger_unavailable"
        assert in_short(world.deliver_copy()) == "skipped: window_active"


class TestKeys:
    def test_unreadable_defer_without_a_call(self, world: World) -> None:
        world.keys.fail("read")

        assert in_short(world.ask()) == "queued: key_unavailable"
        assert world.api.calls == []

    def test_unreadable_leave_the_window_untouched(self, world: World) -> None:
        world.keys.fail("read")
        world.ask("u1", "r1")

        assert in_short(world.ask("u1", "r2")) == "sent: invited"

    def test_unreadable_delay_the_result_only(self, world: World) -> None:
        world.keys.fail("read", times=20)
        world.ask()
        world.deliver_all_copies()

        (result,) = world.topic.published
        assert (in_short(result), result.attempts) == ("sent: invited", 1)


class TestTopic:
    def test_down_defers_the_publication(self, world: World) -> None:
        world.topic.fail("publish")

        assert in_short(world.ask()) == "queued: topic_unavailable"

    def test_down_causes_no_second_call(self, world: World) -> None:
        world.topic.fail("publish", times=3)
        world.ask()
        world.deliver_all_copies()

        assert len(world.api.calls) == 1
        assert [in_short(result) for result in world.topic.published] == ["sent: invited"]

    def test_down_does_not_change_the_result(self, world: World) -> None:
        undisturbed = World().ask()
        world.topic.fail("publish", times=3)
        world.ask()
        world.deliver_all_copies()

        assert world.topic.published == [undisturbed]

    def test_down_keeps_a_failed_message_from_the_dead_letter_queue(self, world: World) -> None:
        world.topic.fail("publish")
        world.ask(**NOT_AFTER)

        assert world.queue.parked == []

    def test_down_leaves_a_failed_message_to_be_parked_later(self, world: World) -> None:
        world.topic.fail("publish")
        world.ask(**NOT_AFTER)
        world.deliver_copy()

        assert len(world.queue.parked) == 1

    def test_down_leaves_invalid_input_where_it_is(self, world: World) -> None:
        world.topic.fail("publish")

        with pytest.raises(TopicUnavailableError):
            world.deliver(Message("m1", "no JSON"))
        assert (world.queue.deferred, world.queue.parked) == ([], [])


class TestQueue:
    def test_down_leaves_the_message_where_it_is(self, world: World) -> None:
        world.api.script("u1", never_sent())
        world.queue.fail("defer")

        with pytest.raises(QueueUnavailableError):
            world.ask()

    def test_down_lets_the_message_go_on_when_it_comes_again(self, world: World) -> None:
        world.api.script("u1", never_sent())
        world.queue.fail("defer")
        with pytest.raises(QueueUnavailableError):
            world.ask()

        world.deliver(world.message(), receive_count=2)

        (result,) = world.topic.published
        assert (in_short(result), result.attempts) == ("sent: invited", 2)

    def test_that_takes_no_parked_message_gets_it_later(self, world: World) -> None:
        world.queue.fail("park")

        assert in_short(world.ask(**NOT_AFTER)) == "queued: queue_unavailable"
        assert in_short(world.deliver_copy()) == "failed: deadline_passed"
        assert len(world.queue.parked) == 1

    def test_that_takes_no_parked_message_changes_no_result(self, world: World) -> None:
        world.queue.fail("park")
        world.ask(**NOT_AFTER)
        world.deliver_copy()

        first, second = world.topic.published
        assert first == second

    def test_that_takes_no_invalid_message_leaves_it_where_it_is(self, world: World) -> None:
        world.queue.fail("park")

        with pytest.raises(QueueUnavailableError):
            world.deliver(Message("m1", "no JSON"))


class TestEverything:
    def test_down_together_loses_neither_the_window_nor_the_message(self, world: World) -> None:
        world.ledger.fail("finish")
        world.queue.fail("defer")
        with pytest.raises(QueueUnavailableError):
            world.ask()

        assert in_short(world.deliver(world.message(), receive_count=2)) == "queued: in_progress"
