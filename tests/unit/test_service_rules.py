"""What always holds: the window, one result for each request, one e-mail, the key's secrecy."""

import json
from dataclasses import astuple, replace

import jmespath
import pytest

from invitations.envelopes import read_progress, write_progress
from invitations.models import Cap, Delivery, Progress, Queued, Result, Source
from invitations.observability import logger
from invitations.service import Policy
from tests.fakes import (
    START,
    ExecutionDiedError,
    Message,
    World,
    answers,
    in_short,
    never_sent,
    one_by_one,
    unanswered,
)

WINDOW = 300
SKEW = 2

NAMELESS = Message("m1", ' {"user_id": "u1"} ')
"""A request that is named after its message."""

STEPS = [
    ("ledger", "claim"),
    ("api", "invite"),
    ("ledger", "finish"),
    ("topic", "publish"),
]
STEPS_OF_A_DEFERRAL = [
    ("ledger", "claim"),
    ("api", "invite"),
    ("ledger", "release"),
    ("queue", "defer"),
]
STEPS_OF_A_FAILURE = [
    ("ledger", "conclude"),
    ("topic", "publish"),
    ("queue", "park"),
]


@pytest.fixture
def world() -> World:
    return World()


class TestWindow:
    def test_lets_another_request_skip_by_default(self, world: World) -> None:
        world.ask("u1", "r1")

        assert in_short(world.ask("u1", "r2")) == "skipped: window_active"
        assert len(world.api.calls) == 1

    def test_is_told_to_those_who_skip(self, world: World) -> None:
        world.ask("u1", "r1")
        world.ask("u1", "r2")

        sent, skipped = world.topic.published
        assert skipped.window_ends_at == sent.window_ends_at

    def test_lets_another_request_wait_when_it_asks_to(self, world: World) -> None:
        world.ask("u1", "r1")

        assert world.ask("u1", "r2", on_active_window="defer") == Queued(
            "r2", "u1", "window_active", WINDOW + SKEW
        )

    def test_lets_the_waiting_request_call_once_it_is_over(self, world: World) -> None:
        world.ask("u1", "r1")
        world.ask("u1", "r2", on_active_window="defer")

        assert in_short(world.deliver_copy()) == "sent: invited"

    def test_keeps_waiting_requests_apart_from_each_other(self, world: World) -> None:
        world.ask("u1", "r1")
        world.ask("u1", "r2", on_active_window="defer")
        world.ask("u1", "r3", on_active_window="defer")
        world.deliver_all_copies()

        first, second, third = world.calls_for("u1")
        assert second - first > WINDOW
        assert third - second > WINDOW

    def test_waiting_for_it_counts_no_attempt(self, world: World) -> None:
        world.ask("u1", "r1")
        world.ask("u1", "r2", on_active_window="defer")
        world.deliver_all_copies()

        assert world.topic.published[-1].attempts == 1

    def test_longer_than_any_delay_is_waited_for_in_several(self) -> None:
        world = World(Policy(3600, 3, jmespath.compile("detail.user_id")))
        world.ask("u1", "r1")

        assert world.ask("u1", "r2", on_active_window="defer") == Queued(
            "r2", "u1", "window_active", 900
        )
        world.deliver_all_copies()
        first, second = world.calls_for("u1")
        assert second - first > 3600

    def test_does_not_concern_other_users(self, world: World) -> None:
        world.ask("u1", "r1")

        assert in_short(world.ask("u2", "r2")) == "sent: invited"

    def test_that_a_request_holds_itself_is_waited_for_and_not_skipped(self, world: World) -> None:
        world.api.script("u1", unanswered())
        world.ask(on_active_window="skip")

        assert in_short(world.deliver(world.message(), receive_count=2)) == "queued: in_progress"

    def test_holds_between_an_unanswered_call_and_its_repetition(self, world: World) -> None:
        world.api.script("u1", unanswered())
        world.ask()
        world.deliver_copy()

        first, second = world.calls_for("u1")
        assert second - first > WINDOW

    def test_holds_between_a_call_that_nobody_recorded_and_its_repetition(
        self, world: World
    ) -> None:
        world.api.fail("invite", after_effect=True)
        with pytest.raises(ExecutionDiedError):
            world.ask()
        world.deliver(world.message(), receive_count=2)
        world.deliver_copy()

        first, second = world.calls_for("u1")
        assert second - first > WINDOW


class TestOnce:
    def test_a_message_delivered_again_publishes_the_same_result(self, world: World) -> None:
        world.ask()
        world.deliver(world.message(), receive_count=2)

        first, second = world.topic.published
        assert first == second

    def test_a_message_delivered_again_makes_no_call(self, world: World) -> None:
        world.ask()
        world.deliver(world.message(), receive_count=2)

        assert len(world.api.calls) == 1

    def test_a_message_delivered_again_after_14_days_makes_no_call(self, world: World) -> None:
        world.ask()
        world.clock.advance(14 * 86_400)
        world.deliver(world.message(), receive_count=2)

        assert len(world.api.calls) == 1

    def test_the_same_request_in_another_message_makes_no_call(self, world: World) -> None:
        world.ask()
        world.deliver(replace(world.message(), message_id="another"))

        assert len(world.api.calls) == 1

    def test_a_copy_and_its_original_make_one_successful_call(self, world: World) -> None:
        world.api.script("u1", never_sent())
        world.ask()
        world.deliver(world.message(), receive_count=2)
        world.deliver_all_copies()

        assert len(world.api.calls) == 2
        assert [in_short(result) for result in world.topic.published] == ["sent: invited"] * 2

    def test_a_message_delivered_again_counts_on_from_its_copy(self, world: World) -> None:
        world.api.script("u1", never_sent(), never_sent())
        world.ask()
        world.deliver_copy()
        world.deliver(world.message(), receive_count=2)

        assert world.topic.published[0].attempts == 3

    def test_an_outcome_recorded_too_late_gives_way_to_the_result_on_record(
        self, world: World
    ) -> None:
        world.api.script("u1", answers(404))
        world.ledger.fail("finish")
        world.ask()
        world.clock.advance(60 + WINDOW + SKEW)
        world.deliver(world.message(), receive_count=2)
        world.deliver_copy()

        first, second = world.topic.published
        assert first == second

    def test_a_message_delivered_again_is_pardoned_what_its_copies_were(self, world: World) -> None:
        world.api.script("u1", *[answers(429)] * 4)
        world.ask()
        world.deliver_copies(3)
        world.clock.advance(60)

        assert in_short(world.deliver(world.message(), receive_count=2)) == "sent: invited"

    def test_an_unrecorded_e_mail_is_recorded_before_a_duplicate_can_call(
        self, world: World
    ) -> None:
        world.api.script("u1", *[answers(429)] * 8)
        world.ask()
        world.deliver_copies(7)
        duplicate = replace(world.queue.deferred[0], due_at=world.clock() + 1000)
        world.ledger.fail("finish")
        world.deliver_copy()
        world.queue.deferred.append(replace(duplicate, due_at=world.clock() + 60 + WINDOW + SKEW))
        world.deliver_all_copies()

        assert len(world.api.calls) == 9

    def test_an_e_mail_recorded_after_a_failure_still_forbids_another(self, world: World) -> None:
        message = world.message(not_after="2027-01-15T08:03:00Z")
        world.ledger.fail("finish")
        world.deliver(message)
        world.clock.advance(60 + WINDOW + SKEW)
        world.deliver(message, receive_count=2)
        world.deliver_copy()

        assert world.ledger.users["u1"].sent_count == 1


class TestConservation:
    @pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(("part", "step"), STEPS)
    def test_a_crash_at_any_step_to_an_e_mail_loses_nothing(
        self, world: World, part: str, step: str, after_effect: bool
    ) -> None:
        getattr(world, part).fail(step, after_effect=after_effect, error=ExecutionDiedError())
        with pytest.raises(ExecutionDiedError):
            world.ask()
        world.deliver(world.message(), receive_count=2)
        world.deliver_all_copies()

        assert in_short(world.topic.published[-1]) == "sent: invited"
        assert len(set(world.topic.published)) == 1

    @pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(("part", "step"), STEPS_OF_A_DEFERRAL)
    def test_a_crash_at_any_step_to_a_deferral_loses_nothing(
        self, world: World, part: str, step: str, after_effect: bool
    ) -> None:
        world.api.script("u1", never_sent())
        getattr(world, part).fail(step, after_effect=after_effect, error=ExecutionDiedError())
        with pytest.raises(ExecutionDiedError):
            world.ask()
        world.deliver(world.message(), receive_count=2)
        world.deliver_all_copies()

        assert in_short(world.topic.published[-1]) == "sent: invited"
        assert len(set(world.topic.published)) == 1

    @pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(("part", "step"), STEPS_OF_A_FAILURE)
    def test_a_crash_at_any_step_to_a_failure_loses_nothing(
        self, world: World, part: str, step: str, after_effect: bool
    ) -> None:
        late = world.message(not_after="2020-01-01")
        getattr(world, part).fail(step, after_effect=after_effect, error=ExecutionDiedError())
        with pytest.raises(ExecutionDiedError):
            world.deliver(late)
        world.clock.advance(360)
        world.deliver(late, receive_count=2)

        assert in_short(world.topic.published[-1]) == "failed: deadline_passed"
        assert len(set(world.topic.published)) == 1
        assert world.queue.parked[-1].body == late.body

    def test_a_result_is_recorded_before_it_is_published(self, world: World) -> None:
        world.topic.fail("publish", error=ExecutionDiedError())
        with pytest.raises(ExecutionDiedError):
            world.ask()

        assert world.ledger.users["u1"].result is not None

    def test_a_copy_is_on_the_queue_before_the_message_may_go(self, world: World) -> None:
        world.queue.fail("defer", after_effect=True, error=ExecutionDiedError())
        world.api.script("u1", never_sent())
        with pytest.raises(ExecutionDiedError):
            world.ask()

        assert len(world.queue.deferred) == 1

    def test_a_deferred_request_keeps_its_name_and_body(self, world: World) -> None:
        world.api.script("u1", never_sent())
        world.deliver(NAMELESS)

        (copy,) = world.queue.deferred
        assert copy.body == NAMELESS.body
        assert read_progress(copy.notes).request_id == "m1"

    def test_a_deferred_request_keeps_its_source(self, world: World) -> None:
        world.api.script("u1", never_sent())
        delivery = Delivery("d1", NAMELESS.body, Source.DIRECT, received_at=START)
        world.service.reinvite([delivery], START + 60, one_by_one)
        world.deliver_copy()

        assert world.topic.published[0].source is Source.DIRECT


class TestDeadline:
    def test_that_has_passed_ends_the_request_without_a_call(self, world: World) -> None:
        outcome = world.ask(not_after="2027-01-15T07:59:59Z")

        assert in_short(outcome) == "failed: deadline_passed"
        assert world.api.calls == []

    def test_of_this_moment_has_not_passed(self, world: World) -> None:
        assert in_short(world.ask(not_after="2027-01-15T08:00:00Z")) == "sent: invited"

    def test_can_pass_while_the_request_waits(self, world: World) -> None:
        world.api.script("u1", unanswered())
        world.ask(not_after="2027-01-15T08:03:00Z")

        assert in_short(world.deliver_copy()) == "failed: deadline_passed"
        assert world.topic.published[0].attempts == 1

    def test_that_passes_after_a_call_which_nobody_recorded_tells_of_the_call(
        self, world: World
    ) -> None:
        message = world.message(not_after="2027-01-15T08:03:00Z")
        world.api.fail("invite", after_effect=True)
        with pytest.raises(ExecutionDiedError):
            world.deliver(message)
        world.deliver(message, receive_count=2)
        world.deliver_copy()

        (result,) = world.topic.published
        assert (in_short(result), result.attempts) == ("failed: deadline_passed", 1)

    def test_that_is_noticed_long_after_such_a_call_tells_of_it_too(self, world: World) -> None:
        message = world.message(not_after="2027-01-15T08:03:00Z")
        world.api.fail("invite", after_effect=True)
        with pytest.raises(ExecutionDiedError):
            world.deliver(message)
        world.clock.advance(3600)
        world.deliver(message, receive_count=2)

        (result,) = world.topic.published
        assert (in_short(result), result.attempts) == ("failed: deadline_passed", 1)

    def test_that_passes_after_the_e_mail_changes_nothing(self, world: World) -> None:
        message = world.message(not_after="2027-01-15T08:03:00Z")
        world.deliver(message)
        world.clock.advance(3600)

        assert in_short(world.deliver(message, receive_count=2)) == "sent: invited"

    def test_that_passes_during_a_call_waits_for_its_outcome(self, world: World) -> None:
        message = world.message(not_after="2027-01-15T08:03:00Z")
        world.api.fail("invite")
        with pytest.raises(ExecutionDiedError):
            world.deliver(message)
        world.clock.advance(240)

        assert in_short(world.deliver(message, receive_count=2)) == "queued: in_progress"


class TestFailed:
    @pytest.fixture
    def world(self) -> World:
        """A world in which the nameless request has failed."""
        world = World()
        world.api.script("u1", *[never_sent()] * 3)
        world.deliver(NAMELESS)
        world.deliver_all_copies()
        return world

    def test_message_is_parked_with_its_body_untouched(self, world: World) -> None:
        (parked,) = world.queue.parked
        assert (parked.body, parked.status, parked.reason) == (
            NAMELESS.body,
            "failed",
            "attempts_exhausted",
        )

    def test_request_gets_a_new_life_when_it_is_redriven(self, world: World) -> None:
        redriven = replace(world.queue.parked[0], message_id="redriven")

        assert in_short(world.deliver(redriven)) == "sent: invited"

    def test_request_keeps_its_name_when_it_is_redriven(self, world: World) -> None:
        world.deliver(replace(world.queue.parked[0], message_id="redriven"))

        failed, sent = world.topic.published
        assert (failed.request_id, sent.request_id) == ("m1", "m1")

    def test_and_sent_are_results_with_ids_of_their_own(self, world: World) -> None:
        world.deliver(replace(world.queue.parked[0], message_id="redriven"))

        failed, sent = world.topic.published
        assert failed.result_id != sent.result_id

    def test_request_counts_attempts_anew_when_it_is_redriven(self, world: World) -> None:
        world.api.script("u1", never_sent(), never_sent())
        world.deliver(replace(world.queue.parked[0], message_id="redriven"))
        world.deliver_all_copies()

        result = world.topic.published[-1]
        assert (in_short(result), result.attempts) == ("sent: invited", 3)

    def test_request_is_not_restarted_by_its_first_message(self, world: World) -> None:
        world.deliver(NAMELESS)

        first, second = world.topic.published
        assert first == second
        assert len(world.api.calls) == 3

    def test_request_is_not_restarted_by_a_copy_of_its_message(self) -> None:
        world = World()
        world.api.script("u1", *[never_sent()] * 3)
        world.deliver(NAMELESS)
        (copy,) = world.queue.deferred
        world.deliver_all_copies()
        world.deliver(copy, receive_count=2)

        first, second = world.topic.published
        assert first == second
        assert len(world.api.calls) == 3


class TestInvalid:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("no JSON", "malformed_json"),
            ('["u1"]', "not_an_object"),
            ("{}", "user_id_missing"),
            ('{"user_id": ".."}', "user_id_dot_segment"),
            ('{"user_id": "u1", "not_after": "soon"}', "not_after_malformed"),
        ],
    )
    def test_input_ends_at_once_with_the_reason(self, world: World, body: str, reason: str) -> None:
        assert in_short(world.deliver(Message("m1", body))) == f"invalid: {reason}"

    def test_input_is_told_with_the_way_that_it_came(self, world: World) -> None:
        event = {"source": "crm", "detail-type": "user pending", "detail": {}}
        world.deliver(Message("m1", json.dumps(event)))

        assert world.topic.published[0].source == "eventbridge"
        assert (world.api.calls, world.queue.deferred) == ([], [])

    def test_message_is_parked_with_its_body_untouched(self, world: World) -> None:
        world.deliver(Message("m1", ' {"user_id": 7} '))

        (parked,) = world.queue.parked
        assert (parked.body, parked.status, parked.reason) == (
            ' {"user_id": 7} ',
            "invalid",
            "user_id_not_a_string",
        )

    def test_result_is_the_same_when_the_message_is_delivered_again(self, world: World) -> None:
        world.deliver(Message("m1", "no JSON"))
        world.clock.advance(360)
        world.deliver(Message("m1", "no JSON"), receive_count=2)

        first, second = world.topic.published
        assert first == second

    def test_results_of_two_messages_have_ids_of_their_own(self, world: World) -> None:
        world.deliver(Message("m1", '{"request_id": "r1"}'))
        world.deliver(Message("m2", '{"request_id": "r1"}'))

        first, second = world.topic.published
        assert first.result_id != second.result_id

    def test_result_names_the_request_when_it_can(self, world: World) -> None:
        world.deliver(Message("m1", '{"request_id": "r1", "correlation_id": "c1"}'))

        (result,) = world.topic.published
        assert (result.request_id, result.correlation_id, result.user_id) == ("r1", "c1", None)

    def test_notes_of_a_stranger_end_the_message(self, world: World) -> None:
        message = replace(world.message(), notes='{"attempts": "many"}')

        assert in_short(world.deliver(message)) == "invalid: malformed_progress"


class TestRequestIdOfTwoUsers:
    """One order of the sender for many users may give all of them its own id."""

    def test_names_a_request_of_each(self, world: World) -> None:
        outcomes = [world.ask("u1", "r1"), world.ask("u2", "r1")]

        assert [in_short(outcome) for outcome in outcomes] == ["sent: invited"] * 2

    def test_gives_each_a_result_of_its_own(self, world: World) -> None:
        world.ask("u1", "r1")
        world.ask("u2", "r1")

        first, second = world.topic.published
        assert first.result_id != second.result_id

    def test_answers_each_as_before_when_it_comes_again(self, world: World) -> None:
        world.ask("u1", "r1")
        world.ask("u2", "r1")
        world.deliver(world.message("u1", "r1"))
        world.deliver(world.message("u2", "r1"))

        assert world.topic.published[:2] == world.topic.published[2:]
        assert len(world.api.calls) == 2


class TestSweepRequest:
    """What the sweep found due must still be so when its request is carried out."""

    def deliver(self, world: World, request_id: str = "r2") -> Result | Queued:
        progress = Progress(request_id, Source.SWEEP, request_id, cap=Cap(2, 3_600))
        return world.deliver(
            replace(world.message(request_id=request_id), notes=write_progress(progress))
        )

    def test_is_sent_when_nothing_has_come_in_between(self, world: World) -> None:
        result = self.deliver(world)

        assert isinstance(result, Result)
        assert (in_short(result), result.source) == ("sent: invited", Source.SWEEP)

    def test_is_skipped_when_the_user_was_asked_meanwhile(self, world: World) -> None:
        world.ask("u1", "r1")
        world.clock.advance(3_599)

        assert in_short(self.deliver(world)) == "skipped: not_due"
        assert len(world.api.calls) == 1

    def test_is_sent_when_that_was_long_enough_ago(self, world: World) -> None:
        world.ask("u1", "r1")
        world.clock.advance(3_600)

        assert in_short(self.deliver(world)) == "sent: invited"

    def test_is_skipped_when_the_user_was_asked_often_enough(self, world: World) -> None:
        for request_id in ("r0", "r1"):
            world.ask("u1", request_id)
            world.clock.advance(4_000)

        assert in_short(self.deliver(world)) == "skipped: not_due"

    def test_that_was_sent_stays_so(self, world: World) -> None:
        first, again = self.deliver(world), self.deliver(world)

        assert first == again

    def test_takes_no_place_at_the_quota_when_it_is_not_due(self, world: World) -> None:
        world.ask("u1", "r1")
        before = world.gate.changes
        self.deliver(world)

        assert world.gate.changes == before

    def test_keeps_its_cap_while_it_waits(self, world: World) -> None:
        world.api.script("u1", never_sent())
        self.deliver(world)
        world.ask("u1", "r1")
        world.clock.advance(400)

        assert in_short(world.deliver_copy()) == "skipped: not_due"


class TestIdentity:
    def test_of_a_nameless_request_is_its_messages(self, world: World) -> None:
        world.deliver(NAMELESS)

        assert world.topic.published[0].request_id == "m1"

    def test_of_a_nameless_request_is_pinned_when_its_message_comes_again(
        self, world: World
    ) -> None:
        assert world.deliver(NAMELESS, receive_count=2) == Queued("m1", "u1", "identity_pinned", 0)

    def test_that_is_pinned_is_not_pinned_again(self, world: World) -> None:
        world.deliver(NAMELESS, receive_count=2)
        (copy,) = world.queue.deferred

        assert in_short(world.deliver(copy, receive_count=2)) == "sent: invited"

    def test_that_is_pinned_outlives_the_dead_letter_queue(self, world: World) -> None:
        world.deliver(NAMELESS, receive_count=2)
        redriven = replace(world.queue.deferred[0], message_id="redriven")
        world.deliver(redriven)

        assert world.topic.published[0].request_id == "m1"

    def test_that_the_sender_chose_needs_no_pinning(self, world: World) -> None:
        assert in_short(world.deliver(world.message(), receive_count=2)) == "sent: invited"

    def test_that_the_event_bus_chose_needs_no_pinning(self, world: World) -> None:
        event = {"id": "e1", "source": "crm", "detail-type": "", "detail": {"user_id": "u1"}}
        world.deliver(Message("m1", json.dumps(event)), receive_count=2)

        assert world.topic.published[0].request_id == "e1"


class TestKey:
    def test_is_in_the_call_and_nowhere_else(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG", logger.name)
        world.keys.current()
        world.keys.secret = "key-2"
        world.api.script("u1", answers(401), answers(500), answers(403))
        world.api.script("u2", *[never_sent()] * 3)
        world.ledger.fail("finish")
        world.ask("u1", "r1")
        world.ask("u2", "r2")
        world.deliver(Message("m3", "no JSON"))
        world.deliver_all_copies()

        told = [
            *(vars(record) for record in caplog.records),
            *world.topic.published,
            *(astuple(parked) for parked in world.queue.parked),
            vars(world.ledger),
        ]
        assert caplog.records
        assert "key-" not in str(told)


class TestLog:
    @pytest.fixture(autouse=True)
    def _every_level(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG", logger.name)

    def test_says_which_request_ended_how(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.ask("u1", "r1", correlation_id="c1")

        (line,) = [vars(each) for each in caplog.records if each.msg == "result published"]
        assert line == line | {
            "request_id": "r1",
            "user_id": "u1",
            "correlation_id": "c1",
            "result_id": world.topic.published[0].result_id,
            "status": "sent",
            "reason": "invited",
        }

    def test_says_which_request_waits_for_what(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.api.script("u1", answers(429, "7"))
        world.ask("u1", "r1", correlation_id="c1")

        line = vars(caplog.records[-1])
        assert line == line | {
            "msg": "request deferred",
            "request_id": "r1",
            "user_id": "u1",
            "correlation_id": "c1",
            "cause": "throttled",
            "delay_seconds": 7,
            "attempts": 1,
        }

    def test_says_what_the_api_answered(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.api.script("u1", answers(404))
        world.ask("u1", "r1", correlation_id="c1")

        line = vars(caplog.records[0])
        assert line == line | {
            "msg": "call did not succeed",
            "request_id": "r1",
            "user_id": "u1",
            "correlation_id": "c1",
            "http_status": 404,
        }

    def test_says_why_no_answer_came(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        world.api.script("u1", unanswered())
        world.ask("u1", "r1")

        line = vars(caplog.records[0])
        assert line == line | {"request_id": "r1", "error": "read timed out"}

    def test_says_what_failed_below(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        world.ledger.fail("claim")
        world.ask("u1", "r1", correlation_id="c1")

        line = vars(caplog.records[0])
        assert line == line | {
            "msg": "dependency unavailable",
            "levelname": "ERROR",
            "request_id": "r1",
            "user_id": "u1",
            "correlation_id": "c1",
            "error": "the fake table is down",
        }

    def test_says_why_input_is_no_request(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.deliver(Message("m1", "no JSON"))

        line = vars(caplog.records[-1])
        assert line == line | {
            "status": "invalid",
            "request_id": "m1",
            "reason": "malformed_json",
            "error": "the body is not JSON",
        }
