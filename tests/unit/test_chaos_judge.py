"""The judge of a soak finds what is planted, and nothing where all is well."""

from dataclasses import replace

import pytest

from local.chaos.judge import Call, History, Promise, Publication, Trigger, judge

WINDOW_SECONDS = 10

WELL = History(
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
    parked=["r3"],
    left_on_queue=0,
    calls=[
        Call(2, "u1", 200, email_sent=True),
        Call(21, "u1", 500, email_sent=False),
        Call(22, "u1", 200, email_sent=True),
        Call(4, "u2", 500, email_sent=False),
    ],
    incidents=[],
    aws_faults={},
    killed_workers=0,
)


def test_nothing_is_found_where_all_is_well() -> None:
    assert judge(WELL) == []


def test_a_second_email_inside_the_window_is_found() -> None:
    calls = [*WELL.calls, Call(22 + WINDOW_SECONDS - 0.001, "u1", 200, email_sent=True)]

    assert Promise.WINDOW in _broken(replace(WELL, calls=calls))


def test_a_call_inside_the_window_is_found_although_it_sent_no_email() -> None:
    calls = [*WELL.calls, Call(2.5, "u1", 400, email_sent=False)]

    assert _broken(replace(WELL, calls=calls)) == [Promise.WINDOW]


def test_the_window_of_one_user_does_not_bind_another() -> None:
    triggers = [*WELL.triggers, Trigger(1, "r4", "u3")]
    publications = [*WELL.publications, Publication(3, "r4", "sent", "r4 sent")]
    calls = [*WELL.calls, Call(2.1, "u3", 200, email_sent=True)]

    history = replace(WELL, triggers=triggers, publications=publications, calls=calls)

    assert judge(history) == []


def test_a_lost_request_is_found() -> None:
    triggers = [*WELL.triggers, Trigger(30, "lost", "u3")]

    (violation,) = judge(replace(WELL, triggers=triggers))

    assert violation.promise is Promise.LOST
    assert "lost" in violation.text


def test_a_request_without_result_in_the_dead_letter_queue_is_not_lost() -> None:
    triggers = [*WELL.triggers, Trigger(30, "r4", "u3")]

    assert judge(replace(WELL, triggers=triggers, parked=["r3", "r4"])) == []


def test_a_request_that_may_be_on_the_queue_is_not_called_lost() -> None:
    triggers = [*WELL.triggers, Trigger(30, "r4", "u3")]

    assert _broken(replace(WELL, triggers=triggers, left_on_queue=1)) == [Promise.SETTLED]


def test_two_results_of_one_request_are_found() -> None:
    publications = [*WELL.publications, Publication(30, "r1", "skipped", "r1 skipped")]

    assert _broken(replace(WELL, publications=publications)) == [Promise.IDENTITY]


def test_a_result_that_changes_its_content_is_found() -> None:
    publications = [*WELL.publications, Publication(30, "r1", "sent", "r1 sent, later")]

    assert _broken(replace(WELL, publications=publications)) == [Promise.IDENTITY]


def test_a_failed_request_that_was_sent_again_may_end_otherwise() -> None:
    triggers = [*WELL.triggers, Trigger(30, "r3", "u2")]
    publications = [*WELL.publications, Publication(33, "r3", "sent", "r3 sent")]
    calls = [*WELL.calls, Call(32, "u2", 200, email_sent=True)]

    assert judge(replace(WELL, triggers=triggers, publications=publications, calls=calls)) == []


def test_a_failed_request_that_nobody_sent_again_may_not_end_otherwise() -> None:
    publications = [*WELL.publications, Publication(33, "r3", "sent", "r3 sent")]

    assert _broken(replace(WELL, publications=publications)) == [Promise.IDENTITY]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(Call(40, "u1", 403, email_sent=False), id="all requests answered"),
        pytest.param(Call(0.5, "u1", 403, email_sent=False), id="before any request"),
        pytest.param(Call(40, "u3", 403, email_sent=False), id="a user nobody asked for"),
    ],
)
def test_a_call_without_an_open_request_is_found(call: Call) -> None:
    assert _broken(replace(WELL, calls=[*WELL.calls, call])) == [Promise.ONCE]


def test_a_failed_or_invalid_request_that_is_not_kept_is_found() -> None:
    assert _broken(replace(WELL, parked=[])) == [Promise.PARKED]


def test_a_result_under_an_unknown_name_is_found() -> None:
    publications = [*WELL.publications, Publication(30, "r9", "sent", "r9 sent")]

    assert _broken(replace(WELL, publications=publications)) == [Promise.NO_STRAY]


def _broken(history: History) -> list[Promise]:
    return [violation.promise for violation in judge(history)]
