"""The judge of a soak finds each planted violation, and none in a correct history."""

from dataclasses import replace

import pytest

from local.chaos.judge import History, Promise, Publication, Trigger, judge
from local.partoo.control import Call

WINDOW_SECONDS = 10


def call(at: float, user_id: str, status: int | None, emailed_at: float | None = None) -> Call:
    path = f"/v2/user/{user_id}/invite"
    return Call(1, at, path, "invite", user_id, emailed_at, status)


CORRECT = History(
    seed=1,
    window_seconds=WINDOW_SECONDS,
    seconds=60,
    triggers=[Trigger(1, "r1", "u1"), Trigger(20, "r2", "u1"), Trigger(2, "r3", "u2")],
    publications=[
        Publication(3, "r1", "sent", "r1 sent"),
        Publication(23, "r2", "sent", "r2 sent"),
        Publication(24, "r2", "sent", "r2 sent"),
        Publication(5, "r3", "failed", "r3 failed"),
    ],
    dead_letters=["r3"],
    waiting=0,
    calls=[
        call(2, "u1", 200, emailed_at=2),
        call(21, "u1", 500),
        call(22, "u1", 200, emailed_at=22),
        call(4, "u2", 500),
    ],
)


def test_correct_history_has_no_violation() -> None:
    assert _broken(CORRECT) == []


def test_second_email_inside_the_window_is_found() -> None:
    calls = [
        *CORRECT.calls,
        call(22 + WINDOW_SECONDS - 0.001, "u1", 200, emailed_at=22 + WINDOW_SECONDS - 0.001),
    ]

    assert Promise.WINDOW in _broken(replace(CORRECT, calls=calls))


def test_call_without_email_inside_the_window_is_found() -> None:
    calls = [*CORRECT.calls, call(2.5, "u1", 400)]

    assert _broken(replace(CORRECT, calls=calls)) == [Promise.WINDOW]


def test_window_begins_with_the_email_and_not_with_its_call() -> None:
    calls = [*CORRECT.calls, call(25, "u1", None, emailed_at=30)]
    late = call(30 + WINDOW_SECONDS - 0.001, "u1", 403)

    violations = judge(replace(CORRECT, calls=[*calls, late]))

    assert [text for promise, text in violations if promise is Promise.WINDOW] == [
        "u1 was called at 25.000 s, 3.000 s after an e-mail",
        "u1 was called at 39.999 s, 9.999 s after an e-mail",
    ]


def test_window_of_another_user_does_not_count() -> None:
    triggers = [*CORRECT.triggers, Trigger(1, "r4", "u3")]
    publications = [*CORRECT.publications, Publication(3, "r4", "sent", "r4 sent")]
    calls = [*CORRECT.calls, call(2.1, "u3", 200, emailed_at=2.1)]

    history = replace(CORRECT, triggers=triggers, publications=publications, calls=calls)

    assert _broken(history) == []


def test_lost_request_is_found() -> None:
    triggers = [*CORRECT.triggers, Trigger(30, "lost", "u3")]

    ((promise, text),) = judge(replace(CORRECT, triggers=triggers))

    assert promise is Promise.CONSERVATION
    assert "lost" in text


def test_request_in_the_dead_letter_queue_is_not_lost() -> None:
    triggers = [*CORRECT.triggers, Trigger(30, "r4", "u3")]

    assert _broken(replace(CORRECT, triggers=triggers, dead_letters=["r3", "r4"])) == []


def test_two_results_of_one_request_are_found() -> None:
    publications = [*CORRECT.publications, Publication(30, "r1", "skipped", "r1 skipped")]

    assert _broken(replace(CORRECT, publications=publications)) == [Promise.IDENTITY]


def test_result_with_changed_content_is_found() -> None:
    publications = [*CORRECT.publications, Publication(30, "r1", "sent", "r1 sent, later")]

    assert _broken(replace(CORRECT, publications=publications)) == [Promise.IDENTITY]


def test_failed_request_that_was_sent_again_may_end_otherwise() -> None:
    triggers = [*CORRECT.triggers, Trigger(30, "r3", "u2")]
    publications = [*CORRECT.publications, Publication(33, "r3", "sent", "r3 sent")]
    calls = [*CORRECT.calls, call(32, "u2", 200, emailed_at=32)]

    assert (
        _broken(replace(CORRECT, triggers=triggers, publications=publications, calls=calls)) == []
    )


def test_failed_request_that_was_not_sent_again_may_not_end_otherwise() -> None:
    publications = [*CORRECT.publications, Publication(33, "r3", "sent", "r3 sent")]

    assert _broken(replace(CORRECT, publications=publications)) == [Promise.IDENTITY]


@pytest.mark.parametrize(
    "stray",
    [
        pytest.param(call(40, "u1", 403), id="all requests have ended"),
        pytest.param(call(0.5, "u1", 403), id="before any request"),
        pytest.param(call(40, "u3", 403), id="a user without requests"),
    ],
)
def test_call_without_an_open_request_is_found(stray: Call) -> None:
    assert _broken(replace(CORRECT, calls=[*CORRECT.calls, stray])) == [Promise.ONCE]


def test_missing_dead_letter_is_found() -> None:
    assert _broken(replace(CORRECT, dead_letters=[])) == [Promise.DEAD_LETTER]


def test_result_of_an_unknown_request_is_found() -> None:
    publications = [*CORRECT.publications, Publication(30, "r9", "sent", "r9 sent")]

    assert _broken(replace(CORRECT, publications=publications)) == [Promise.ORIGIN]


def _broken(history: History) -> list[Promise]:
    return [promise for promise, _ in judge(history)]
