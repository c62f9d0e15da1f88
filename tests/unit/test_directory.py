"""How the list of invited users is read while it moves."""

import json
import random
from collections.abc import Callable

import pytest

from invitations.directory import Listing, Member, Unreadable, View, Walk, read_listing
from invitations.errors import UnreadableAnswerError

USER = {
    "id": "u1",
    "status": "invited",
    "role": "PUBLISHER",
    "disabled": False,
    "sso_only": False,
    "created_at": 1_577_836_800,
}


def member(name: str) -> Member:
    return Member(name, "invited", "PUBLISHER", disabled=False, sso_only=False, created_at=0)


def walk_through(
    names: list[str], change: Callable[[list[str]], None] = lambda _: None
) -> tuple[list[str], int]:
    """Those who were found, in order, and the pages it took; the list changes after each."""
    walk, found, pages = Walk(), list[str](), 0
    while not walk.ended:
        view = walk.view
        shown = sorted(names)[view.start : view.end]
        walk, unseen = walk.advance(Listing(len(names), [member(name) for name in shown]))
        found += [each.user_id or "" for each in unseen]
        change(names)
        pages += 1
        assert pages < 1_000
    return found, pages


def people(number: int) -> list[str]:
    return [f"{index:06}" for index in range(number)]


class TestView:
    @pytest.mark.parametrize("position", [1, 2, 50, 51, 99, 100, 101, 250, 2_520, 9_999, 720_720])
    def test_shows_the_position_and_many_before_it(self, position: int) -> None:
        view = View.up_to(position)

        assert view.start < position < view.end
        assert view.size <= 100
        assert position - view.start >= min(position, 49)

    def test_of_a_short_list_is_all_of_it(self) -> None:
        assert View.up_to(42) == View(1, 100)


class TestWalk:
    @pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 102, 199, 200, 201, 700, 2_521])
    def test_finds_everybody_once(self, size: int) -> None:
        found, _ = walk_through(people(size))

        assert sorted(found) == people(size)

    def test_takes_little_more_than_a_page_for_a_hundred(self) -> None:
        _, pages = walk_through(people(10_000))

        assert pages <= 125

    @pytest.mark.parametrize("seed", range(30))
    def test_misses_nobody_who_stays_while_others_leave(self, seed: int) -> None:
        chance, names = random.Random(seed), people(700)

        def some_leave(names: list[str]) -> None:
            for name in chance.sample(names, min(20, len(names))):
                names.remove(name)

        found, _ = walk_through(names, some_leave)

        assert set(names) <= set(found)
        assert len(found) == len(set(found))

    @pytest.mark.parametrize("seed", range(30))
    def test_misses_nobody_who_stays_while_others_come_and_go(self, seed: int) -> None:
        chance, names = random.Random(seed), people(700)
        stay = set(people(700))

        def some_come_and_go(names: list[str]) -> None:
            for name in chance.sample(names, min(chance.randrange(30), len(names))):
                names.remove(name)
                stay.discard(name)
            names += [
                f"{chance.randrange(700):06}-{chance.random()}" for _ in range(chance.randrange(30))
            ]

        found, _ = walk_through(names, some_come_and_go)

        assert stay <= set(found)
        assert len(found) == len(set(found))

    def test_goes_on_when_all_who_were_seen_have_left(self) -> None:
        names = people(300)

        def the_end_leaves(names: list[str]) -> None:
            del names[150:]

        found, _ = walk_through(names, the_end_leaves)

        assert set(names) <= set(found)

    def test_goes_on_when_the_list_is_empty_all_at_once(self) -> None:
        found, _ = walk_through(people(300), list.clear)

        assert found == []

    def test_can_be_gone_on_with_from_what_is_kept_of_it(self) -> None:
        names, walk, found = people(300), Walk(), list[str]()
        while not walk.ended:
            walk = Walk(walk.position, walk.seen, walk.ended)
            shown = names[walk.view.start : walk.view.end]
            walk, unseen = walk.advance(Listing(300, [member(name) for name in shown]))
            found += [each.user_id or "" for each in unseen]

        assert sorted(found) == names


class TestReading:
    def test_a_user_is_read(self) -> None:
        listing = read_listing(json.dumps({"count": 7, "page": 1, "users": [USER]}))

        assert listing == Listing(
            7, [Member("u1", "invited", "PUBLISHER", False, False, 1_577_836_800)]
        )

    @pytest.mark.parametrize(
        "body",
        [
            "",
            "{",
            "[]",
            "null",
            "{}",
            '{"count": 1}',
            '{"users": []}',
            '{"count": "1", "users": []}',
            '{"count": -1, "users": []}',
            '{"count": 1, "users": {}}',
            "[" * 100_000,
        ],
    )
    def test_what_is_no_list_is_an_error(self, body: str) -> None:
        with pytest.raises(UnreadableAnswerError):
            read_listing(body)

    @pytest.mark.parametrize("missing", ["status", "role", "disabled", "sso_only", "created_at"])
    def test_a_user_who_lacks_something_is_unreadable(self, missing: str) -> None:
        fields = {name: value for name, value in USER.items() if name != missing}

        listing = read_listing(json.dumps({"count": 1, "users": [fields]}))

        assert listing.entries == [Unreadable("u1")]

    @pytest.mark.parametrize(
        "fields",
        [
            {"created_at": True},
            {"created_at": "2020-01-01"},
            {"disabled": "False"},
            {"sso_only": None},
            {"role": 7},
        ],
    )
    def test_a_user_with_something_strange_is_unreadable(self, fields: dict[str, object]) -> None:
        listing = read_listing(json.dumps({"count": 1, "users": [USER | fields]}))

        assert listing.entries == [Unreadable("u1")]

    @pytest.mark.parametrize("entry", [None, 7, "u1", [], {}, {"id": ""}, {"id": 7}, {"id": ".."}])
    def test_who_has_no_usable_id_is_unreadable(self, entry: object) -> None:
        listing = read_listing(json.dumps({"count": 1, "users": [entry]}))

        assert listing.entries == [Unreadable()]
        assert listing.user_ids == ()
