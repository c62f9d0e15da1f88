"""What each outcome of a call means for the window and for the request."""

import pytest

from invitations.models import Queued, Result, Source, Status
from tests.fakes import (
    CALL_BUDGET_SECONDS,
    EXECUTION_SECONDS,
    START,
    ExecutionDiedError,
    Outcome,
    World,
    answers,
    in_short,
    never_sent,
    unanswered,
)

WINDOW = 300
SKEW = 2

ANSWERED_AT = START + 0.5

WITHOUT_EMAIL = {
    "400": answers(400),
    "401": answers(401),
    "403": answers(403),
    "404": answers(404),
    "415": answers(415),
    "422": answers(422),
    "429": answers(429),
    "redirect": answers(302),
    "never sent": never_sent(),
}
WITH_EMAIL_PERHAPS = {
    "200": answers(200),
    "500": answers(500),
    "503": answers(503),
    "unanswered": unanswered(),
}
COUNTED_AND_OPEN = {
    "redirect": answers(302),
    "500": answers(500),
    "never sent": never_sent(),
    "unanswered": unanswered(),
}


def parametrize_outcome(outcomes: dict[str, Outcome]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("outcome", outcomes.values(), ids=outcomes.keys())


@pytest.fixture
def world() -> World:
    return World()


class TestEmail:
    @parametrize_outcome(WITHOUT_EMAIL)
    def test_that_did_not_go_out_frees_the_window(self, world: World, outcome: Outcome) -> None:
        world.api.script("u1", outcome)
        world.ask("u1", "r1")
        # A 401 and a 429 make everybody wait, for less than a window.
        world.clock.advance(60)

        assert in_short(world.ask("u1", "r2")) == "sent: invited"

    @parametrize_outcome(WITH_EMAIL_PERHAPS)
    def test_that_may_have_gone_out_holds_the_window_from_the_answer(
        self, world: World, outcome: Outcome
    ) -> None:
        world.api.script("u1", outcome)
        world.ask("u1", "r1")
        world.clock.now = ANSWERED_AT + WINDOW + SKEW - 0.001

        assert in_short(world.ask("u1", "r2")) == "skipped: window_active"

    @parametrize_outcome(WITH_EMAIL_PERHAPS)
    def test_that_may_have_gone_out_holds_the_window_no_longer_than_needed(
        self, world: World, outcome: Outcome
    ) -> None:
        world.api.script("u1", outcome)
        world.ask("u1", "r1")
        world.clock.now = ANSWERED_AT + WINDOW + SKEW

        assert in_short(world.ask("u1", "r2")) == "sent: invited"


class TestSent:
    def test_result_says_what_happened_and_when(self, world: World) -> None:
        result = world.ask(correlation_id="c1")

        assert result == Result(
            result_id="14934dc5-4d50-5226-9bdd-d8cb4b4affec",
            request_id="r1",
            user_id="u1",
            correlation_id="c1",
            source=Source.SQS,
            status=Status.SENT,
            reason="invited",
            http_status=200,
            attempts=1,
            occurred_at="2027-01-15T08:00:00.500Z",
            window_ends_at="2027-01-15T08:05:00.500Z",
            invitation_expires_at="2027-01-18T08:00:00.500Z",
            sent_count=1,
        )

    def test_result_is_published(self, world: World) -> None:
        result = world.ask()

        assert world.topic.published == [result]

    def test_request_is_neither_deferred_nor_parked(self, world: World) -> None:
        world.ask()

        assert (world.queue.deferred, world.queue.parked) == ([], [])


class TestRejected:
    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (400, "bad_request"),
            (403, "forbidden"),
            (404, "user_not_found"),
            (415, "unsupported_media_type"),
            (422, "client_error"),
        ],
    )
    def test_request_ends_with_the_reason(self, world: World, code: int, reason: str) -> None:
        world.api.script("u1", answers(code))

        assert in_short(world.ask()) == f"rejected: {reason}"

    def test_result_names_the_status_and_no_window(self, world: World) -> None:
        world.api.script("u1", answers(404))
        world.ask()

        (result,) = world.topic.published
        assert (result.http_status, result.window_ends_at, result.invitation_expires_at) == (
            404,
            None,
            None,
        )

    def test_message_is_not_parked(self, world: World) -> None:
        world.api.script("u1", answers(404))
        world.ask()

        assert world.queue.parked == []


class TestThrottled:
    @pytest.mark.parametrize(
        ("retry_after", "delay"),
        [
            ("7", 7),
            ("Fri, 15 Jan 2027 08:02:00 GMT", 120),
            (None, 60),
            ("soon", 60),
            ("86400", 900),
        ],
    )
    def test_request_is_deferred_for_as_long_as_the_api_asks(
        self, world: World, retry_after: str | None, delay: int
    ) -> None:
        world.api.script("u1", answers(429, retry_after))

        assert world.ask() == Queued("r1", "u1", "throttled", delay)

    def test_calls_do_not_count_towards_the_limit(self, world: World) -> None:
        world.api.script("u1", *[answers(429)] * 5)
        world.ask()
        world.deliver_all_copies()

        (result,) = world.topic.published
        assert (in_short(result), result.attempts) == ("sent: invited", 6)

    def test_calls_count_towards_no_later_limit_either(self, world: World) -> None:
        world.api.script("u1", *[answers(429)] * 5, never_sent(), never_sent())
        world.ask()
        world.deliver_all_copies()

        assert in_short(world.topic.published[-1]) == "sent: invited"


class TestUnauthorized:
    def test_with_the_same_key_is_deferred(self, world: World) -> None:
        world.api.script("u1", answers(401))

        assert in_short(world.ask()) == "queued: unauthorized"
        assert len(world.api.calls) == 1

    def test_with_a_new_key_is_tried_again_at_once(self, world: World) -> None:
        world.keys.current()
        world.keys.secret = "key-2"
        world.api.script("u1", answers(401))

        assert in_short(world.ask()) == "sent: invited"
        assert [call.api_key for call in world.api.calls] == ["key-1", "key-2"]

    def test_both_calls_are_told_as_attempts(self, world: World) -> None:
        world.keys.current()
        world.keys.secret = "key-2"
        world.api.script("u1", answers(401))
        world.ask()

        assert world.topic.published[0].attempts == 2

    def test_with_a_new_key_that_is_refused_too_is_deferred(self, world: World) -> None:
        world.keys.current()
        world.keys.secret = "key-2"
        world.api.script("u1", answers(401), answers(401))

        assert in_short(world.ask()) == "queued: unauthorized"
        assert len(world.api.calls) == 2

    def test_with_a_new_key_and_no_answer_holds_the_window_from_the_second_call(
        self, world: World
    ) -> None:
        world.keys.current()
        world.keys.secret = "key-2"
        world.api.script("u1", answers(401), unanswered())

        assert world.ask() == Queued("r1", "u1", "no_answer", WINDOW + SKEW)

    def test_with_a_secret_that_cannot_be_read_is_deferred(self, world: World) -> None:
        world.keys.current()
        world.keys.fail("read")
        world.api.script("u1", answers(401))

        assert in_short(world.ask()) == "queued: unauthorized"

    def test_with_a_new_key_and_too_little_time_is_deferred(self, world: World) -> None:
        world.keys.current()
        world.keys.secret = "key-2"
        world.api.script("u1", answers(401))
        world.api.seconds = EXECUTION_SECONDS - CALL_BUDGET_SECONDS + 1

        assert in_short(world.ask()) == "queued: unauthorized"
        assert len(world.api.calls) == 1

    def test_calls_do_not_count_towards_the_limit(self, world: World) -> None:
        world.api.script("u1", *[answers(401)] * 5)
        world.ask()
        world.deliver_all_copies()

        assert in_short(world.topic.published[-1]) == "sent: invited"

    def test_first_call_does_not_count_when_the_second_does(self, world: World) -> None:
        world.keys.current()
        world.keys.secret = "key-2"
        world.api.script("u1", answers(401), never_sent(), never_sent())
        world.ask()
        world.deliver_all_copies()

        (result,) = world.topic.published
        assert (in_short(result), result.attempts) == ("sent: invited", 4)


class TestNotSent:
    @parametrize_outcome({"redirect": answers(302), "never sent": never_sent()})
    def test_is_deferred_for_some_seconds_at_first(self, world: World, outcome: Outcome) -> None:
        world.api.script("u1", outcome)
        world.ask()

        assert 2 < world.queue.deferred[0].due_at - world.clock() <= 5

    def test_is_deferred_for_longer_each_time(self, world: World) -> None:
        world.api.script("u1", never_sent(), never_sent())
        world.ask()
        world.deliver_copy()

        assert 5 < world.queue.deferred[0].due_at - world.clock() <= 10


class TestUnknown:
    @parametrize_outcome({"500": answers(500), "unanswered": unanswered()})
    def test_is_deferred_to_the_end_of_the_window(self, world: World, outcome: Outcome) -> None:
        world.api.script("u1", outcome)
        world.ask()

        assert world.queue.deferred[0].due_at == ANSWERED_AT + WINDOW + SKEW

    @parametrize_outcome({"500": answers(500), "unanswered": unanswered()})
    def test_is_called_again_then(self, world: World, outcome: Outcome) -> None:
        world.api.script("u1", outcome)
        world.ask()

        assert in_short(world.deliver_copy()) == "sent: invited"

    def test_waits_longer_when_the_message_comes_too_early(self, world: World) -> None:
        world.api.script("u1", unanswered())
        world.ask()

        assert world.deliver(world.message(), receive_count=2) == Queued(
            "r1", "u1", "in_progress", WINDOW + SKEW
        )
        assert len(world.api.calls) == 1


class TestExhausted:
    @parametrize_outcome(COUNTED_AND_OPEN)
    def test_request_fails_with_the_last_attempt(self, world: World, outcome: Outcome) -> None:
        world.api.script("u1", *[outcome] * 3)
        world.ask()
        world.deliver_all_copies()

        (result,) = world.topic.published
        assert (in_short(result), result.attempts) == ("failed: attempts_exhausted", 3)

    def test_request_keeps_the_window_when_the_last_call_may_have_sent(self, world: World) -> None:
        world.api.script("u1", *[unanswered()] * 3)
        world.ask()
        world.deliver_all_copies()

        assert in_short(world.ask("u1", "r2")) == "skipped: window_active"

    def test_request_fails_without_a_call_when_the_last_execution_died(self, world: World) -> None:
        world.api.script("u1", never_sent(), never_sent())
        world.ask()
        world.deliver_copy()
        (copy,) = world.queue.deferred
        world.api.fail("invite", after_effect=True)
        with pytest.raises(ExecutionDiedError):
            world.deliver_copy()
        world.deliver(copy, receive_count=2)

        assert in_short(world.deliver_copy()) == "failed: attempts_exhausted"
        assert len(world.api.calls) == 3


class TestExecutionThatDied:
    def test_before_its_call_holds_the_window_as_if_it_had_called(self, world: World) -> None:
        world.api.fail("invite")
        with pytest.raises(ExecutionDiedError):
            world.ask("u1", "r1")

        assert in_short(world.ask("u1", "r2")) == "skipped: window_active"

    def test_lets_the_request_wait_for_the_last_moment_of_a_call_and_the_window(
        self, world: World
    ) -> None:
        world.api.fail("invite")
        with pytest.raises(ExecutionDiedError):
            world.ask()
        world.deliver(world.message(), receive_count=2)

        assert world.queue.deferred[0].due_at == START + EXECUTION_SECONDS + WINDOW + SKEW

    def test_counts_as_an_attempt(self, world: World) -> None:
        world.api.fail("invite", after_effect=True)
        with pytest.raises(ExecutionDiedError):
            world.ask()
        world.deliver(world.message(), receive_count=2)
        world.deliver_copy()

        (result,) = world.topic.published
        assert (in_short(result), result.attempts) == ("sent: invited", 2)


class TestTooLittleTime:
    def test_puts_the_request_back_at_once(self, world: World) -> None:
        outcome = world.deliver(world.message(), seconds=CALL_BUDGET_SECONDS - 0.001)

        assert outcome == Queued("r1", "u1", "no_time_left", 0)
        assert world.api.calls == []

    def test_leaves_the_window_untouched(self, world: World) -> None:
        world.deliver(world.message("u1", "r1"), seconds=1)

        assert in_short(world.ask("u1", "r2")) == "sent: invited"

    def test_counts_no_attempt(self, world: World) -> None:
        world.deliver(world.message(), seconds=1)
        world.deliver_copy()

        assert world.topic.published[0].attempts == 1

    def test_just_enough_time_is_enough(self, world: World) -> None:
        outcome = world.deliver(world.message(), seconds=CALL_BUDGET_SECONDS)

        assert in_short(outcome) == "sent: invited"
