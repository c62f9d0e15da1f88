"""When the key expires, as read out of the vendor's list of keys; the clock says 2027-01-15."""

import json
from typing import Any

import pytest

from invitations.expiry import WARNING_DAYS, Expiry, read_expiry
from tests.fakes import START


def key(expiration_date: object = None, **fields: object) -> dict[str, Any]:
    """An entry as the vendor's reference shows it."""
    return {
        "id": 3245,
        "label": "Re-invitations",
        "user_name": "Ada Lovelace",
        "disabled": False,
        "expiration_date": expiration_date,
        **fields,
    }


def listing(*entries: object, count: object = None) -> str:
    return json.dumps(
        {
            "page": 1,
            "max_page": 1,
            "count": len(entries) if count is None else count,
            "api_keys": entries,
        }
    )


def read(*entries: object, count: object = None) -> Expiry:
    return read_expiry(listing(*entries, count=count), START)


class TestKnown:
    def test_is_the_date_of_the_only_key(self) -> None:
        assert read(key("2027-01-20")) == Expiry(1, "2027-01-20", 5)

    def test_is_never_without_a_date(self) -> None:
        assert read(key(None)) == Expiry(1)

    def test_is_the_first_of_those_that_it_can_be(self) -> None:
        assert read(key("2027-03-01"), key(None), key("2027-02-01")) == Expiry(3, "2027-02-01", 17)

    @pytest.mark.parametrize("other", [key("2027-01-14"), key("2027-01-16", disabled=True)])
    def test_is_not_that_of_a_key_that_cannot_have_been_let_in(self, other: object) -> None:
        assert read(other, key("2027-02-01")) == Expiry(1, "2027-02-01", 17)

    def test_may_be_today_as_nobody_says_when_a_day_ends(self) -> None:
        assert read(key("2027-01-15")) == Expiry(1, "2027-01-15", 0)

    def test_is_read_with_a_time_behind_the_date(self) -> None:
        assert read(key("2027-01-20 11:46:38.914467+00")) == Expiry(1, "2027-01-20", 5)


class TestUnknown:
    @pytest.mark.parametrize(
        "body",
        [
            "",
            "no JSON",
            "[" * 100_000,
            "[]",
            "null",
            '{"count": 1}',
            '{"count": 1, "api_keys": {}}',
            '{"api_keys": []}',
        ],
    )
    def test_when_the_answer_is_no_list(self, body: str) -> None:
        assert read_expiry(body, START) == Expiry(reason="key_list_unreadable")

    @pytest.mark.parametrize("entries", [[], [key("2026-12-31")], [key(None, disabled=True)]])
    def test_when_the_key_is_not_in_the_list(self, entries: list[object]) -> None:
        assert read(*entries) == Expiry(reason="key_not_listed")

    @pytest.mark.parametrize(
        "entry",
        [key("tomorrow"), key(""), key(1_800_000_000), key(True), {"id": 1}, None, "key", 7],
    )
    def test_when_a_date_cannot_be_read(self, entry: object) -> None:
        assert read(entry) == Expiry(1, reason="key_date_unreadable")

    @pytest.mark.parametrize("count", [2, "1", [], 1.5])
    def test_for_sure_when_there_are_more_keys_than_were_listed(self, count: object) -> None:
        expected = Expiry(1, "2027-02-01", 17, "key_list_incomplete")

        assert read(key("2027-02-01"), count=count) == expected

    def test_for_sure_while_the_first_that_is_known_still_counts(self) -> None:
        assert read(key("soon"), key("2027-01-20")) == Expiry(
            2, "2027-01-20", 5, "key_date_unreadable"
        )


@pytest.mark.parametrize(
    ("days_left", "soon"),
    [(None, False), (0, True), (WARNING_DAYS, True), (WARNING_DAYS + 1, False)],
)
def test_is_soon_when_two_weeks_are_left(days_left: int | None, soon: bool) -> None:
    assert Expiry(1, "2027-01-20", days_left).is_soon is soon
