"""The check of the key: what is called, read and written; it is 2027-01-15."""

import json
import logging
from dataclasses import asdict
from typing import Any

import pytest

from invitations.key_check import WARNING_DAYS, Expiry, KeyCheck, read_expiry
from invitations.limited_call import LimitedCaller
from invitations.limiter_state import LimiterState, Quota
from invitations.observability import logger, metrics
from invitations.outcomes import Answered, NotSent, Response, Unknown
from invitations.rate_limiter import RateLimiter
from tests.sweep_world import (
    CALL_BUDGET_SECONDS,
    START,
    Clock,
    FakeKeys,
    FakePartoo,
    FakeTable,
    Steps,
)

EXECUTION_SECONDS = 60.0


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
    listed = len(entries) if count is None else count
    return json.dumps({"page": 1, "max_page": 1, "count": listed, "api_keys": entries})


def read(*entries: object, count: object = None) -> Expiry:
    return read_expiry(listing(*entries, count=count), START)


class World(FakePartoo):
    """The check, and an API that lists one key."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.keys, self.steps, self.entries = FakeKeys(), Steps(), [key()]
        self.called_at: list[float] = []
        self.table = FakeTable(self.steps)
        self.limiter = RateLimiter(self.table, 300, self.clock, self.clock.advance)

    def set(self, **state: Any) -> None:
        item = {**vars(LimiterState(**state)), "revision": "set"}
        self.table.items["LIMITER", "LIMITER"] = item

    def check(self) -> Expiry:
        caller = LimitedCaller(
            self.limiter, self.keys, CALL_BUDGET_SECONDS, self.clock, self.clock.advance
        )
        return KeyCheck(caller, self, self.clock).check(self.clock() + EXECUTION_SECONDS)

    def list_keys(self, api_key: str) -> Response:
        self.called_at.append(self.clock())
        if self.answers:
            return self.answers.pop(0)
        if api_key != self.key:
            return Answered(401, self.clock())
        return Answered(200, self.clock(), body=listing(*self.entries))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger.name)
    metrics.clear_metrics()
    return caplog


def written() -> dict[str, float]:
    """The metrics of the key, as they will be written."""
    return {
        name: metric["Value"][0]
        for name, metric in metrics.metric_set.items()
        if name.startswith("Key")
    }


def line(log: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The line that the check ends with."""
    (record,) = [vars(each) for each in log.records if each.msg == "key checked"]
    return record


class TestKnown:
    def test_date_of_the_only_key_is_read(self) -> None:
        assert read(key("2027-01-20")) == Expiry(1, "2027-01-20", 5)

    def test_key_without_a_date_never_expires(self) -> None:
        assert read(key(None)) == Expiry(1)

    def test_earliest_date_counts(self) -> None:
        assert read(key("2027-03-01"), key(None), key("2027-02-01")) == Expiry(3, "2027-02-01", 17)

    @pytest.mark.parametrize("other", [key("2027-01-14"), key("2027-01-16", disabled=True)])
    def test_key_that_the_api_would_refuse_does_not_count(self, other: object) -> None:
        assert read(other, key("2027-02-01")) == Expiry(1, "2027-02-01", 17)

    def test_today_counts_because_nobody_says_when_a_day_ends(self) -> None:
        assert read(key("2027-01-15")) == Expiry(1, "2027-01-15", 0)

    def test_time_behind_the_date_is_ignored(self) -> None:
        assert read(key("2027-01-20 11:46:38.914467+00")) == Expiry(1, "2027-01-20", 5)

    @pytest.mark.parametrize(
        ("days_left", "soon"),
        [(None, False), (0, True), (WARNING_DAYS, True), (WARNING_DAYS + 1, False)],
    )
    def test_two_weeks_are_soon(self, days_left: int | None, soon: bool) -> None:
        assert Expiry(1, "2027-01-20", days_left).is_soon is soon


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
    def test_answer_that_is_no_list(self, body: str) -> None:
        assert read_expiry(body, START) == Expiry(reason="key_list_unreadable")

    @pytest.mark.parametrize("entries", [[], [key("2026-12-31")], [key(None, disabled=True)]])
    def test_list_without_the_key(self, entries: list[object]) -> None:
        assert read(*entries) == Expiry(reason="key_not_listed")

    @pytest.mark.parametrize(
        "entry",
        [key("tomorrow"), key(""), key(1_800_000_000), key(True), {"id": 1}, None, "key", 7],
    )
    def test_date_that_cannot_be_read(self, entry: object) -> None:
        assert read(entry) == Expiry(1, reason="key_date_unreadable")

    @pytest.mark.parametrize("count", [2, "1", [], 1.5])
    def test_list_of_more_keys_than_are_shown(self, count: object) -> None:
        expected = Expiry(1, "2027-02-01", 17, "key_list_incomplete")

        assert read(key("2027-02-01"), count=count) == expected

    def test_date_beside_one_that_cannot_be_read(self) -> None:
        assert read(key("soon"), key("2027-01-20")) == Expiry(
            2, "2027-01-20", 5, "key_date_unreadable"
        )


class TestWarning:
    def test_comes_before_the_key_expires(
        self, world: World, log: pytest.LogCaptureFixture
    ) -> None:
        world.entries = [key("2027-01-20")]

        assert world.check() == Expiry(1, "2027-01-20", 5)
        assert written() == {"KeyDaysLeft": 5, "KeyExpiresSoon": 1, "KeyExpiryUnknown": 0}
        assert line(log)["levelname"] == "WARNING"

    def test_does_not_come_early(self, world: World, log: pytest.LogCaptureFixture) -> None:
        world.entries = [key("2027-02-01")]

        assert world.check().days_left == 17
        assert written() == {"KeyDaysLeft": 17, "KeyExpiresSoon": 0, "KeyExpiryUnknown": 0}
        assert line(log)["levelname"] == "INFO"

    def test_does_not_come_for_a_key_that_never_expires(
        self, world: World, log: pytest.LogCaptureFixture
    ) -> None:
        assert world.check() == Expiry(1)
        assert written() == {"KeyExpiresSoon": 0, "KeyExpiryUnknown": 0}

    def test_is_not_taken_back_by_a_check_that_found_nothing_out(
        self, world: World, log: pytest.LogCaptureFixture
    ) -> None:
        world.answers = [Answered(200, START, body=listing(key("2027-02-01"), count=200))]

        assert world.check() == Expiry(1, "2027-02-01", 17, "key_list_incomplete")
        assert written() == {"KeyDaysLeft": 17, "KeyExpiryUnknown": 1}

    def test_is_not_hidden_by_an_incomplete_list(
        self, world: World, log: pytest.LogCaptureFixture
    ) -> None:
        world.answers = [Answered(200, START, body=listing(key("2027-01-20"), count=200))]

        world.check()

        assert written() == {"KeyDaysLeft": 5, "KeyExpiresSoon": 1, "KeyExpiryUnknown": 1}


class TestCall:
    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (204, "key_list_unreadable"),
            (302, "redirected"),
            (400, "key_list_refused"),
            (403, "key_list_refused"),
            (404, "key_list_refused"),
            (408, "try_later"),
            (429, "throttled"),
            (500, "server_error"),
        ],
    )
    def test_answer_that_is_no_list_leaves_the_date_unknown(
        self, world: World, log: pytest.LogCaptureFixture, status: int, reason: str
    ) -> None:
        world.answers = [Answered(status, START)]

        assert world.check() == Expiry(reason=reason, http_status=status)
        assert written() == {"KeyExpiryUnknown": 1}
        assert line(log)["levelname"] == "WARNING"

    @pytest.mark.parametrize(
        ("response", "reason"),
        [(NotSent("refused"), "connection_failed"), (Unknown("timed out", START), "no_answer")],
    )
    def test_call_without_an_answer_leaves_the_date_unknown(
        self, world: World, response: Response, reason: str
    ) -> None:
        world.answers = [response]

        assert world.check() == Expiry(reason=reason)

    def test_secret_that_cannot_be_read_makes_no_call(self, world: World) -> None:
        world.keys.failures = 1

        assert world.check() == Expiry(reason="key_unavailable")
        assert (world.called_at, world.table.items) == ([], {})

    def test_table_that_does_not_answer_makes_no_call(self, world: World) -> None:
        world.steps.failures["table"] = 10

        assert world.check() == Expiry(reason="ledger_unavailable")
        assert world.called_at == []

    def test_takes_a_token(self, world: World) -> None:
        world.check()

        assert world.table.items["LIMITER", "LIMITER"]["full_at"] == START + Quota(300).interval

    def test_is_not_made_when_its_token_comes_too_late(self, world: World) -> None:
        world.set(event_line_at=START + 45, event_kept_at=START + 45, full_at=START + 45)

        assert world.check() == Expiry(reason="quota")
        assert (world.called_at, world.clock()) == ([], START)

    def test_is_not_made_in_a_pause(self, world: World) -> None:
        world.set(paused_until=START + 300, pause_reason="throttled")

        assert world.check() == Expiry(reason="throttled")
        assert world.called_at == []

    def test_is_not_made_while_the_key_is_refused(self, world: World) -> None:
        world.set(paused_until=START + 300, pause_reason="key_refused")

        assert world.check() == Expiry(reason="key_refused")
        assert world.called_at == []

    def test_is_made_again_with_a_replaced_key(self, world: World) -> None:
        world.key = world.keys.secret = "key-2"

        assert world.check() == Expiry(1)
        assert len(world.called_at) == 2

    def test_with_a_refused_key_stops_all_calls(self, world: World) -> None:
        world.key = "another"

        assert world.check() == Expiry(reason="unauthorized", http_status=401)
        assert world.table.items["LIMITER", "LIMITER"]["pause_reason"] == "key_refused"


def test_log_names_no_person_and_no_key(world: World, log: pytest.LogCaptureFixture) -> None:
    world.entries = [key(label="key-1")]

    expiry = world.check()

    assert expiry == Expiry(1)
    text = "\n".join([*(str(vars(each)) for each in log.records), str(asdict(expiry))])
    assert "key-1" not in text
    assert "Ada" not in text
