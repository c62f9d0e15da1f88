"""How the list of invited users is read while it changes."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from invitations.sweeps.cursor import (
    Cursor,
    FoundUser,
    Listing,
    Page,
    UnreadableAnswerError,
    read_listing,
)

USER = {
    "id": "u1",
    "status": "invited",
    "role": "PUBLISHER",
    "disabled": False,
    "sso_only": False,
    "created_at": 1_577_836_800,
    "org_id": 7,
}


def names(number: int) -> list[str]:
    return [f"{index:06}" for index in range(number)]


def answer(page: Page, shown: list[Any], count: int, **fields: Any) -> str:
    return json.dumps({"page": page.number, "count": count, "users": shown, **fields})


def read_to_the_end(
    listed: list[str], change: Callable[[list[str]], None] = lambda _: None
) -> tuple[list[str], int]:
    """The users in the order in which they are found, and the searches; each changes the list."""
    cursor, found, searches = Cursor(), list[str](), 0
    while not cursor.has_ended:
        page = cursor.page
        shown = [FoundUser(each or None) for each in sorted(listed)[page.start : page.end]]
        cursor, users = cursor.advance(Listing(len(listed), shown))
        found += [user.user_id or "" for user in users]
        change(listed)
        searches += 1
    return found, searches


@pytest.mark.parametrize("position", [1, 50, 51, 100, 101, 2_520, 720_720])
def test_page_shows_the_position_and_many_before_it(position: int) -> None:
    page = Page.up_to(position)

    assert page.start < position < page.end
    assert page.size <= 100
    assert position - page.start >= min(position, 49)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200, 2_521])
def test_each_user_is_found_once(size: int) -> None:
    found, _ = read_to_the_end(names(size))

    assert sorted(found) == names(size)


def test_list_takes_little_more_than_a_search_for_a_hundred_users() -> None:
    _, searches = read_to_the_end(names(10_000))

    assert searches <= 125


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


@pytest.mark.parametrize("left", [150, 0])
def test_reading_continues_when_all_users_of_the_latest_page_have_left(left: int) -> None:
    listed = names(300)

    def leave(listed: list[str]) -> None:
        del listed[left:]

    found, _ = read_to_the_end(listed, leave)

    assert set(listed) <= set(found)


def test_list_that_doubles_at_once_is_read() -> None:
    listed, imported = names(1_000), [f"!{name}" for name in names(1_000)]

    def an_import(listed: list[str]) -> None:
        listed += imported
        imported.clear()

    found, _ = read_to_the_end(listed, an_import)

    assert len(set(found)) == len(listed) == 2_000


def test_list_that_grows_faster_than_it_can_be_read_is_an_error() -> None:
    def grow(listed: list[str]) -> None:
        listed += [f"{len(listed)}-{name}" for name in names(100)]

    with pytest.raises(UnreadableAnswerError, match="faster than it can be read"):
        read_to_the_end(names(700), grow)


def test_list_whose_users_cannot_be_known_again_is_an_error() -> None:
    with pytest.raises(UnreadableAnswerError, match="faster than it can be read"):
        read_to_the_end([""] * 700)


def test_user_is_read() -> None:
    listing = read_listing(answer(Page(), [USER], 1), Page())

    user = FoundUser("u1", "invited", "PUBLISHER", False, False, 1_577_836_800, "7")
    assert listing == Listing(1, [user])


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no count or no users"),
        ('{"count": 1}', "no count or no users"),
        ('{"users": []}', "no count or no users"),
        ('{"count": "1", "users": []}', "no count or no users"),
        ('{"count": -1, "users": []}', "no count or no users"),
        ('{"count": 1, "users": {}}', "no count or no users"),
    ],
)
def test_answer_that_is_no_list_is_an_error(body: str, sentence: str) -> None:
    with pytest.raises(UnreadableAnswerError, match=sentence):
        read_listing(body, Page())


@pytest.mark.parametrize(
    ("page", "count", "shown"),
    [
        (Page(1, 100), 700, 50),
        (Page(1, 100), 99, 100),
        (Page(9, 100), 899, 0),
        (Page(7, 100), 650, 51),
        (Page(7, 100), 500, 1),
    ],
)
def test_entries_that_do_not_fit_the_count_are_an_error(page: Page, count: int, shown: int) -> None:
    with pytest.raises(UnreadableAnswerError, match=f"counts {count} users.*shows {shown} "):
        read_listing(answer(page, [USER] * shown, count), page)


def test_another_page_than_the_one_asked_for_is_an_error() -> None:
    with pytest.raises(UnreadableAnswerError, match=r"page 2 .* as page 1"):
        read_listing(answer(Page(1), [USER] * 100, 700), Page(2))


@pytest.mark.parametrize("last", [6, 9])
def test_last_page_that_does_not_fit_the_count_is_an_error(last: int) -> None:
    with pytest.raises(UnreadableAnswerError, match=f"calls page {last} the last"):
        read_listing(answer(Page(), [USER] * 100, 700, max_page=last), Page())


@pytest.mark.parametrize("last", [7, 8, None])
def test_last_page_may_be_empty_or_unnamed(last: int | None) -> None:
    body = answer(Page(), [USER] * 100, 700, max_page=last)

    assert read_listing(body, Page()).count == 700


@pytest.mark.parametrize(
    "fields",
    [
        {"created_at": None},
        {"created_at": True},
        {"created_at": "2020-01-01"},
        {"created_at": float("nan")},
        {"created_at": 1_577_836_800_000},
        {"created_at": -1},
        {"created_at": 10**400},
        {"status": None},
        {"disabled": "False"},
        {"sso_only": None},
        {"role": 7},
    ],
)
def test_user_who_lacks_a_field_or_has_a_strange_one_cannot_be_judged(
    fields: dict[str, object],
) -> None:
    listing = read_listing(answer(Page(), [USER | fields], 1), Page())

    assert listing.users == [FoundUser("u1")]


@pytest.mark.parametrize("entry", [None, [], {}, {"id": 7}, {"id": ".."}])
def test_entry_without_a_usable_id_is_counted(entry: object) -> None:
    listing = read_listing(answer(Page(), [entry], 1), Page())

    assert listing.users == [FoundUser(None)]
