"""How the list of invited users is read while it changes."""

import json
import random
from collections.abc import Callable
from dataclasses import asdict
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
        shown = [{"id": each} for each in sorted(listed)[page.start : page.end]]
        cursor, users = cursor.advance(read_listing(answer(page, shown, len(listed)), page))
        # As it is stored between two searches.
        stored = json.loads(json.dumps(asdict(cursor)))
        cursor = Cursor(**{**stored, "seen": tuple(stored["seen"])})
        found += [user.user_id or "" for user in users]
        change(listed)
        searches += 1
    return found, searches


class TestPage:
    @pytest.mark.parametrize("position", [1, 2, 50, 51, 99, 100, 101, 250, 2_520, 9_999, 720_720])
    def test_shows_the_position_and_many_before_it(self, position: int) -> None:
        page = Page.up_to(position)

        assert page.start < position < page.end
        assert page.size <= 100
        assert position - page.start >= min(position, 49)

    def test_of_a_short_list_shows_all_of_it(self) -> None:
        assert Page.up_to(42) == Page(1, 100)


class TestCursor:
    @pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 102, 199, 200, 201, 700, 2_521])
    def test_finds_each_user_once(self, size: int) -> None:
        found, _ = read_to_the_end(names(size))

        assert sorted(found) == names(size)

    def test_takes_little_more_than_a_search_for_a_hundred_users(self) -> None:
        _, searches = read_to_the_end(names(10_000))

        assert searches <= 125

    @pytest.mark.parametrize("seed", range(30))
    def test_misses_no_user_who_stays_while_others_leave(self, seed: int) -> None:
        rng, listed = random.Random(seed), names(700)

        def some_leave(listed: list[str]) -> None:
            for name in rng.sample(listed, min(20, len(listed))):
                listed.remove(name)

        found, _ = read_to_the_end(listed, some_leave)

        assert set(listed) <= set(found)
        assert len(found) == len(set(found))

    @pytest.mark.parametrize("seed", range(30))
    def test_misses_no_user_who_stays_while_others_come_and_go(self, seed: int) -> None:
        rng, listed = random.Random(seed), names(700)
        stay = set(names(700))

        def some_come_and_go(listed: list[str]) -> None:
            for name in rng.sample(listed, min(rng.randrange(30), len(listed))):
                listed.remove(name)
                stay.discard(name)
            listed += [f"{rng.randrange(700):06}-{rng.random()}" for _ in range(rng.randrange(30))]

        found, _ = read_to_the_end(listed, some_come_and_go)

        assert stay <= set(found)
        assert len(found) == len(set(found))

    def test_continues_when_all_users_of_the_latest_page_have_left(self) -> None:
        listed = names(300)

        def the_end_leaves(listed: list[str]) -> None:
            del listed[150:]

        found, _ = read_to_the_end(listed, the_end_leaves)

        assert set(listed) <= set(found)

    def test_ends_when_the_list_is_empty_all_at_once(self) -> None:
        found, _ = read_to_the_end(names(300), list.clear)

        assert found == []

    def test_reads_a_list_that_doubles_at_once(self) -> None:
        listed = names(1_000)

        def an_import(listed: list[str]) -> None:
            if len(listed) == 1_000:
                listed += [f"!{name}" for name in names(1_000)]

        found, _ = read_to_the_end(listed, an_import)

        assert set(found) == set(listed)

    @pytest.mark.parametrize("order", ["new", "random"])
    def test_fails_when_the_list_changes_faster_than_it_can_be_read(self, order: str) -> None:
        rng, searches = random.Random(0), 0
        users = [FoundUser(name) for name in names(700)]
        cursor = Cursor()

        def shown(page: Page) -> Listing:
            if order == "new":
                # Always one more page.
                users.extend(FoundUser(f"{searches}-{name}") for name in names(page.size))
            else:
                rng.shuffle(users)
            return Listing(len(users), users[page.start : page.end])

        def read() -> None:
            nonlocal cursor, searches
            while not cursor.has_ended:
                searches += 1
                cursor, _ = cursor.advance(shown(cursor.page))

        if order == "new":
            with pytest.raises(UnreadableAnswerError, match="faster than it can be read"):
                read()
        else:
            read()
        assert searches < 200

    def test_fails_when_users_without_ids_hide_what_was_read(self) -> None:
        cursor = Cursor()

        def read() -> None:
            nonlocal cursor
            while not cursor.has_ended:
                page = cursor.page
                shown = min(max(700 - page.start, 0), page.size)
                cursor, _ = cursor.advance(Listing(700, [FoundUser(None)] * shown))

        with pytest.raises(UnreadableAnswerError):
            read()


class TestReading:
    def test_a_user_is_read(self) -> None:
        listing = read_listing(answer(Page(), [USER], 1), Page())

        user = FoundUser("u1", "invited", "PUBLISHER", False, False, 1_577_836_800, "7")
        assert listing == Listing(1, [user])

    @pytest.mark.parametrize(
        ("body", "sentence"),
        [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("[" * 100_000, "not JSON"),
            ("[]", "no count or no users"),
            ("null", "no count or no users"),
            ("{}", "no count or no users"),
            ('{"count": 1}', "no count or no users"),
            ('{"users": []}', "no count or no users"),
            ('{"count": "1", "users": []}', "no count or no users"),
            ('{"count": -1, "users": []}', "no count or no users"),
            ('{"count": 1, "users": {}}', "no count or no users"),
        ],
    )
    def test_an_answer_that_is_no_list_is_an_error(self, body: str, sentence: str) -> None:
        with pytest.raises(UnreadableAnswerError, match=sentence):
            read_listing(body, Page())

    @pytest.mark.parametrize(
        ("page", "count", "shown"),
        [
            (Page(1, 100), 700, 50),
            (Page(1, 100), 99, 100),
            (Page(1, 100), 80, 0),
            (Page(9, 100), 899, 0),
            (Page(7, 100), 650, 51),
            (Page(7, 100), 500, 1),
        ],
    )
    def test_entries_that_do_not_fit_the_count_are_an_error(
        self, page: Page, count: int, shown: int
    ) -> None:
        with pytest.raises(UnreadableAnswerError, match=f"counts {count} users.*shows {shown} "):
            read_listing(answer(page, [USER] * shown, count), page)

    def test_another_page_than_the_one_asked_for_is_an_error(self) -> None:
        with pytest.raises(UnreadableAnswerError, match=r"page 2 .* as page 1"):
            read_listing(answer(Page(1), [USER] * 100, 700), Page(2))

    @pytest.mark.parametrize(("last", "fits"), [(6, False), (7, True), (8, True), (9, False)])
    def test_a_last_page_that_does_not_fit_the_count_is_an_error(
        self, last: int, fits: bool
    ) -> None:
        body = answer(Page(), [USER] * 100, 700, max_page=last)

        if fits:
            assert read_listing(body, Page()).count == 700
        else:
            with pytest.raises(UnreadableAnswerError, match=f"calls page {last} the last"):
                read_listing(body, Page())

    @pytest.mark.parametrize("missing", ["status", "role", "disabled", "sso_only", "created_at"])
    def test_a_user_who_lacks_a_field_cannot_be_judged(self, missing: str) -> None:
        fields = {name: value for name, value in USER.items() if name != missing}

        listing = read_listing(answer(Page(), [fields], 1), Page())

        assert listing.users == [FoundUser("u1")]

    @pytest.mark.parametrize(
        "fields",
        [
            {"created_at": True},
            {"created_at": "2020-01-01"},
            {"created_at": float("nan")},
            {"created_at": 1_577_836_800_000},
            {"created_at": -1},
            {"created_at": 10**400},
            {"disabled": "False"},
            {"sso_only": None},
            {"role": 7},
        ],
    )
    def test_a_user_with_a_strange_field_cannot_be_judged(self, fields: dict[str, object]) -> None:
        listing = read_listing(answer(Page(), [USER | fields], 1), Page())

        assert listing.users == [FoundUser("u1")]

    @pytest.mark.parametrize("entry", [None, 7, "u1", [], {}, {"id": ""}, {"id": 7}, {"id": ".."}])
    def test_an_entry_without_a_usable_id_is_counted(self, entry: object) -> None:
        listing = read_listing(answer(Page(), [entry], 1), Page())

        assert listing.users == [FoundUser(None)]
