"""The judge of a soak finds each planted violation, and none in a correct history."""

from dataclasses import replace
from typing import Any

import pytest

from local.chaos.judge import History, Promise, Publication, Trigger, judge
from local.partoo.control import Call


def call(at: float, user_id: str, status: int | None, emailed_at: float | None = None) -> Call:
    return Call(at, f"/v2/user/{user_id}/invite", "invite", user_id, emailed_at, status)


CORRECT = History(
    seed=1,
    window_seconds=10,
    triggers=[Trigger(1, "r1", "u1"), Trigger(20, "r2", "u1"), Trigger(2, "r3", "u2")],
    publications=[
        Publication(3, "r1", "sent", "r1 sent"),
        Publication(23, "r2", "sent", "r2 sent"),
        Publication(24, "r2", "sent", "r2 sent"),
        Publication(5, "r3", "failed", "r3 failed"),
    ],
    dead_letters=["r3"],
    calls=[
        call(2, "u1", 200, emailed_at=2),
        call(21, "u1", 500),
        call(22, "u1", 200, emailed_at=22),
        call(4, "u2", 500),
    ],
)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, []),
        # A call counts although the API sent no e-mail for it.
        ({"calls": [call(2.5, "u1", 400)]}, [Promise.WINDOW]),
        # The window begins with the e-mail and not with its call.
        (
            {
                "calls": [call(40, "u2", None, emailed_at=45), call(54.9, "u2", 403)],
                "triggers": [Trigger(30, "r4", "u2")],
                "dead_letters": ["r4"],
            },
            [Promise.WINDOW],
        ),
        ({"triggers": [Trigger(30, "lost", "u3")]}, [Promise.CONSERVATION]),
        ({"triggers": [Trigger(30, "r4", "u1")], "dead_letters": ["r4"]}, []),
        ({"publications": [Publication(30, "r1", "sent", "r1 sent later")]}, [Promise.IDENTITY]),
        # A failed request may end otherwise if it is sent again.
        ({"publications": [Publication(33, "r3", "sent", "r3 sent")]}, [Promise.IDENTITY]),
        (
            {
                "publications": [Publication(33, "r3", "sent", "r3 sent")],
                "triggers": [Trigger(30, "r3", "u2")],
                "calls": [call(32, "u2", 200, emailed_at=32)],
            },
            [],
        ),
        # All requests have ended; before any request; a user without requests.
        ({"calls": [call(40, "u1", 403)]}, [Promise.ONCE]),
        ({"calls": [call(0.5, "u1", 403)]}, [Promise.ONCE]),
        ({"calls": [call(40, "u3", 403)]}, [Promise.ONCE]),
        (
            {
                "triggers": [Trigger(1, "r4", "u4")],
                "publications": [Publication(3, "r4", "invalid", "r4 invalid")],
            },
            [Promise.DEAD_LETTER],
        ),
    ],
)
def test_judge_names_the_promises_that_more_entries_break(
    more: dict[str, Any], expected: list[Promise]
) -> None:
    entries: dict[str, Any] = {name: [*vars(CORRECT)[name], *each] for name, each in more.items()}

    assert [promise for promise, _ in judge(replace(CORRECT, **entries))] == expected
