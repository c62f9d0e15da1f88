"""The check of the key: what is called, read and written; it is 2027-01-15."""

import json
import logging
from dataclasses import asdict
from typing import Any

import pytest

from invitations.calls import ApiCalls
from invitations.key_check import Expiry, KeyCheck, read_expiry
from invitations.limited_call import LimitedCaller
from invitations.limiter_state import LimiterState
from invitations.observability import logger, metrics
from invitations.outcomes import Answered, NotSent, Response, Unknown
from invitations.rate_limiter import RateLimiter
from tests.fakes import CALL_BUDGET_SECONDS, START
from tests.reinvite_world import Clock
from tests.sweep_world import FakeKeys, FakePartoo, FakeTable, Steps

EXECUTION_SECONDS = 60.0


def key(expiration_date: object = None, *, disabled: bool = False) -> dict[str, Any]:
    """An entry as the vendor's reference shows it."""
    return {
        "id": 3245,
        "label": "key-1",
        "user_name": "Ada Lovelace",
        "disabled": disabled,
        "expiration_date": expiration_date,
    }


def listing(*entries: object, count: object = None) -> str:
    listed = len(entries) if count is None else count
    return json.dumps({"page": 1, "max_page": 1, "count": listed, "api_keys": entries})


class World(FakePartoo):
    """The check, and an API that lists one key."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.keys, self.steps = FakeKeys(), Steps()
        self.called = 0
        self.table = FakeTable(self.steps)
        self.limiter = RateLimiter(self.table, 300, self.clock, self.clock.advance)

    def set(self, **state: Any) -> None:
        item = {**vars(LimiterState(**state)), "revision": "set"}
        self.table.items["LIMITER", "LIMITER"] = item

    def check(self) -> Expiry:
        caller = LimitedCaller(
            ApiCalls(self.limiter, self.keys, self.clock),
            CALL_BUDGET_SECONDS,
            self.clock,
            self.clock.advance,
        )
        return KeyCheck(caller, self, self.clock).check(self.clock() + EXECUTION_SECONDS)

    def list_keys(self, api_key: str) -> Response:
        self.called += 1
        if self.answers:
            return self.answers.pop(0)
        if api_key != self.key:
            return Answered(401, self.clock())
        return Answered(200, self.clock(), body=listing(key()))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger.name)
    metrics.clear_metrics()
    return caplog


def written_metrics() -> dict[str, float]:
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


@pytest.mark.parametrize(
    ("entries", "expiry"),
    [
        ([key("2027-01-20")], Expiry(1, "2027-01-20", 5)),
        ([key(None)], Expiry(1)),
        # The earliest date counts.
        ([key("2027-03-01"), key(None), key("2027-02-01")], Expiry(3, "2027-02-01", 17)),
        # The API would refuse these keys.
        ([key("2027-01-14"), key("2027-02-01")], Expiry(1, "2027-02-01", 17)),
        ([key("2027-01-16", disabled=True), key("2027-02-01")], Expiry(1, "2027-02-01", 17)),
        # Nobody says when a day ends.
        ([key("2027-01-15")], Expiry(1, "2027-01-15", 0)),
        ([key("2027-01-20 11:46:38.914467+00")], Expiry(1, "2027-01-20", 5)),
        ([], Expiry(reason="key_not_listed")),
        ([key("2026-12-31")], Expiry(reason="key_not_listed")),
        ([key(None, disabled=True)], Expiry(reason="key_not_listed")),
        ([key("soon"), key("2027-01-20")], Expiry(2, "2027-01-20", 5, "key_date_unreadable")),
        *[
            ([entry], Expiry(1, reason="key_date_unreadable"))
            for entry in (key("tomorrow"), key(1_800_000_000), {"id": 1}, None)
        ],
    ],
)
def test_earliest_date_of_the_keys_that_may_be_in_use_is_read(
    entries: list[object], expiry: Expiry
) -> None:
    assert read_expiry(listing(*entries), START) == expiry


@pytest.mark.parametrize("count", [2, "1"])
def test_list_of_more_keys_than_are_shown_is_incomplete(count: object) -> None:
    body = listing(key("2027-02-01"), count=count)

    assert read_expiry(body, START) == Expiry(1, "2027-02-01", 17, "key_list_incomplete")


@pytest.mark.parametrize("body", ["", "[" * 100_000, "[]", '{"count": 1, "api_keys": {}}'])
def test_answer_that_is_no_list_is_unreadable(body: str) -> None:
    assert read_expiry(body, START) == Expiry(reason="key_list_unreadable")


@pytest.mark.parametrize(
    ("date", "count", "days_left", "soon", "unknown", "level"),
    [
        ("2027-01-29", 1, 14, 1, 0, "WARNING"),
        ("2027-01-30", 1, 15, 0, 0, "INFO"),
        (None, 1, None, 0, 0, "INFO"),
        # A check that found nothing out ends no alarm; an incomplete list hides none.
        ("2027-02-01", 200, 17, None, 1, "WARNING"),
        ("2027-01-20", 200, 5, 1, 1, "WARNING"),
    ],
)
def test_warning_comes_two_weeks_before_the_key_expires(
    world: World,
    log: pytest.LogCaptureFixture,
    date: str | None,
    count: int,
    days_left: int | None,
    soon: int | None,
    unknown: int,
    level: str,
) -> None:
    world.answers = [Answered(200, START, body=listing(key(date), count=count))]

    world.check()

    written = written_metrics()
    assert written.get("KeyDaysLeft") == days_left
    assert written.get("KeyExpiresSoon") == soon
    assert written["KeyExpiryUnknown"] == unknown
    assert line(log)["levelname"] == level


@pytest.mark.parametrize(
    ("response", "expiry"),
    [
        (Answered(204, START), Expiry(reason="key_list_unreadable", http_status=204)),
        (Answered(302, START), Expiry(reason="redirected", http_status=302)),
        (Answered(404, START), Expiry(reason="key_list_refused", http_status=404)),
        (Answered(429, START), Expiry(reason="throttled", http_status=429)),
        (NotSent("refused"), Expiry(reason="connection_failed")),
        (Unknown("timed out", START), Expiry(reason="no_answer")),
    ],
)
def test_call_without_a_list_leaves_the_date_unknown(
    world: World, log: pytest.LogCaptureFixture, response: Response, expiry: Expiry
) -> None:
    world.answers = [response]

    assert world.check() == expiry
    assert written_metrics() == {"KeyExpiryUnknown": 1}
    assert line(log)["levelname"] == "WARNING"


def test_check_makes_no_call_without_a_token(world: World) -> None:
    world.set(paused_until=START + 300, pause_reason="throttled")

    assert world.check() == Expiry(reason="throttled")
    assert (world.called, world.clock()) == (0, START)


@pytest.mark.parametrize(
    ("keys_fail", "table_fails", "reason"),
    [(1, 0, "key_unavailable"), (0, 10, "ledger_unavailable")],
)
def test_check_makes_no_call_while_secret_or_table_are_down(
    world: World, keys_fail: int, table_fails: int, reason: str
) -> None:
    world.keys.failures = keys_fail
    world.steps.failures["table"] = table_fails

    assert world.check() == Expiry(reason=reason)
    assert world.called == 0


def test_log_names_no_person_and_no_key(world: World, log: pytest.LogCaptureFixture) -> None:
    expiry = world.check()

    assert expiry == Expiry(1)
    text = "\n".join([*(str(vars(each)) for each in log.records), str(asdict(expiry))])
    assert "key-1" not in text
    assert "Ada" not in text
