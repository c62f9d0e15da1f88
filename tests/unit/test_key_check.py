"""The check of the key: what is called, read and written; it is 2027-01-15."""

import json
import logging
from dataclasses import asdict
from typing import Any

import pytest

from invitations.key_check import Expiry, KeyCheck, read_expiry
from invitations.limited_call import LimitedCaller
from invitations.observability import logger, metrics
from invitations.outcomes import Answered, Response, Unknown
from tests import reinvite_world
from tests.fakes import CALL_BUDGET_SECONDS, EXECUTION_SECONDS, START


def key(expiration_date: object = None, *, disabled: bool = False) -> dict[str, Any]:
    """An entry as the vendor's reference shows it."""
    return {
        "id": 3245,
        "label": "key-1",
        "user_name": "Ada Lovelace",
        "disabled": disabled,
        "expiration_date": expiration_date,
    }


def listing(*entries: object, count: int | None = None) -> str:
    return json.dumps({"count": count or len(entries), "api_keys": entries})


class World(reinvite_world.World):
    """The check, and an API that gives one response."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.keys = list[str]()
        self.api.list_keys = self.respond  # type: ignore[method-assign]
        self._response = response

    def respond(self, api_key: str) -> Response:
        self.keys.append(api_key)
        return self._response

    def check(self) -> Expiry:
        metrics.clear_metrics()
        calls, clock = self.reinviter.calls, self.clock
        caller = LimitedCaller(calls, CALL_BUDGET_SECONDS, clock, clock.advance)
        return KeyCheck(caller, self.api, clock).check(START + EXECUTION_SECONDS)


def counted() -> dict[str, float]:
    """The metrics of the key."""
    written = metrics.metric_set.items()
    return {name: each["Value"][0] for name, each in written if name.startswith("Key")}


@pytest.mark.parametrize(
    ("entries", "expiry"),
    [
        ([key("2027-01-20")], Expiry(1, "2027-01-20", 5)),
        ([key(None)], Expiry(1)),
        # The earliest date counts.
        ([key("2027-03-01"), key(None), key("2027-02-01")], Expiry(3, "2027-02-01", 17)),
        # The API would refuse these keys.
        ([key("2027-01-14"), key("2027-02-01")], Expiry(1, "2027-02-01", 17)),
        ([key("2027-01-16", disabled=True)], Expiry(reason="key_not_listed")),
        # Nobody says when a day ends.
        ([key("2027-01-15")], Expiry(1, "2027-01-15", 0)),
        ([key("2027-01-20 11:46:38.914467+00")], Expiry(1, "2027-01-20", 5)),
        ([], Expiry(reason="key_not_listed")),
        ([key("soon"), key("2027-01-20")], Expiry(2, "2027-01-20", 5, "key_date_unreadable")),
        ([key("tomorrow")], Expiry(1, reason="key_date_unreadable")),
        ([None], Expiry(1, reason="key_date_unreadable")),
    ],
)
def test_earliest_date_of_the_keys_that_may_be_in_use_is_read(
    entries: list[object], expiry: Expiry
) -> None:
    assert read_expiry(listing(*entries), START) == expiry


KNOWN, UNKNOWN, SOON = {"KeyExpiryUnknown": 0}, {"KeyExpiryUnknown": 1}, {"KeyExpiresSoon": 1}


@pytest.mark.parametrize(
    ("date", "count", "expected"),
    [
        ("2027-01-29", 1, {**KNOWN, **SOON, "KeyDaysLeft": 14}),
        ("2027-01-30", 1, {**KNOWN, "KeyExpiresSoon": 0, "KeyDaysLeft": 15}),
        (None, 1, {**KNOWN, "KeyExpiresSoon": 0}),
        # A check that found nothing out ends no alarm; an incomplete list hides none.
        ("2027-01-20", 200, {**UNKNOWN, **SOON, "KeyDaysLeft": 5}),
    ],
)
def test_warning_comes_two_weeks_before_the_key_expires(
    caplog: pytest.LogCaptureFixture, date: str | None, count: int, expected: dict[str, float]
) -> None:
    caplog.set_level(logging.INFO, logger.name)
    world = World(Answered(200, START, body=listing(key(date), count=count)))
    expiry = world.check()

    assert counted() == expected
    # The log names no person and no key.
    assert world.keys == ["key-1"]
    logged = str([asdict(expiry), *map(vars, caplog.records)])
    assert ("key-1" in logged, "Ada" in logged) == (False, False)


@pytest.mark.parametrize(
    ("response", "expiry"),
    [
        (Answered(200, START, body="[]"), Expiry(reason="key_list_unreadable")),
        (Answered(204, START), Expiry(reason="key_list_unreadable", http_status=204)),
        (Answered(404, START), Expiry(reason="key_list_refused", http_status=404)),
        (Unknown("timed out", START), Expiry(reason="no_answer")),
    ],
)
def test_call_without_a_list_leaves_the_date_unknown(response: Response, expiry: Expiry) -> None:
    assert World(response).check() == expiry
    assert counted() == UNKNOWN


@pytest.mark.parametrize(
    ("step", "reason"), [("secret.read", "key_unavailable"), ("nothing", "throttled")]
)
def test_no_call_is_made_without_key_or_token(step: str, reason: str) -> None:
    world = World(Answered(200, START))
    world.change_limiter(paused_until=START + 300, pause_reason="throttled")
    world.steps.fail(step)

    assert (world.check(), world.keys) == (Expiry(reason=reason), [])
