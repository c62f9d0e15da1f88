"""How the list of invited users is read while it changes."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from invitations.sweeps.cursor import (
    Cursor,
    FoundUser,
    Page,
    UnreadableAnswerError,
    read_listing,
)
from tests.sweep_world import LONG_AGO, user

USER = user("u1", org_id=7)


def names(number: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{index:06}" for index in range(number)]


def read_to_the_end(
    listed: list[str], change: Callable[[list[str]], None] = lambda _: None
) -> tuple[list[str], int]:
    """The users in the order in which they are found, and the searches; each changes the list."""
    cursor, found, searches = Cursor(), list[str](), 0
    while not cursor.has_ended:
        page = cursor.page
        shown = [FoundUser(each or None) for each in sorted(listed)[page.start : page.end]]
        cursor, users = cursor.advance(len(listed), shown)
        found += [each.user_id or "" for each in users]
        change(listed)
        searches += 1
    return found, searches


# A list that changes


@pytest.mark.parametrize(
    ("size", "most_searches"), [(0, 1), (99, 1), (100, 3), (101, 3), (200, 5), (9_999, 125)]
)
def test_each_user_is_found_once_in_little_more_than_a_search_for_a_hundred(
    size: int, most_searches: int
) -> None:
    found, searches = read_to_the_end(names(size))

    assert sorted(found) == names(size)
    assert searches <= most_searches


@pytest.mark.parametrize("most_newcomers", [0, 30])
@pytest.mark.parametrize("seed", range(15))
def test_no_user_who_stays_is_missed_while_others_come_and_go(
    seed: int, most_newcomers: int
) -> None:
    rng, listed, stay = random.Random(seed), names(700), set(names(700))

    def come_and_go(listed: list[str]) -> None:
        for name in rng.sample(listed, min(rng.randrange(30), len(listed))):
            listed.remove(name)
            stay.discard(name)
        newcomers = rng.randint(0, most_newcomers)
        listed += [f"{rng.randrange(700):06}-{rng.random()}" for _ in range(newcomers)]

    found, _ = read_to_the_end(listed, come_and_go)

    assert stay <= set(found)
    assert len(found) == len(set(found))


# Answers


def answer(page: Page, shown: list[Any], count: int) -> str:
    return json.dumps({"page": page.number, "count": count, "users": shown})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "not JSON"),
        ("[]", "no count or no users"),
        ('{"count": "1", "users": []}', "no count or no users"),
        ('{"count": 1, "users": {}}', "no count or no users"),
        (answer(Page(2), [USER] * 100, 700), "page 1 .* as page 2"),
        (answer(Page(), [USER] * 50, 700), "counts 700 users, so page 1 .*it shows 50 "),
        (answer(Page(), [USER] * 100, 99), "counts 99 users, so page 1 .*it shows 100 "),
    ],
)
def test_answer_that_is_no_list_or_contradicts_itself_is_an_error(body: str, sentence: str) -> None:
    with pytest.raises(UnreadableAnswerError, match=sentence):
        read_listing(body, Page())


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (USER, FoundUser("u1", "invited", "PUBLISHER", False, False, LONG_AGO, "7")),
        # A field that is missing or strange: the user cannot be judged.
        *[
            (USER | {"created_at": value}, FoundUser("u1"))
            for value in (None, True, "2020-01-01", float("nan"), 1_577_836_800_000)
        ],
        (USER | {"disabled": "False"}, FoundUser("u1")),
        # No usable id: the entry counts.
        (None, FoundUser(None)),
        ({"id": ".."}, FoundUser(None)),
    ],
)
def test_entry_is_a_user_as_far_as_it_can_be_read(entry: object, found: FoundUser) -> None:
    assert read_listing(answer(Page(), [entry], 1), Page()) == (1, [found])
