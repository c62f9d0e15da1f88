"""The check of the key: what is called, read and written; it is 2027-01-15."""

import json
import logging
from dataclasses import asdict, replace
from typing import Any
from unittest.mock import Mock

import pytest

from invitations.key_check import Expiry, check_key, read_expiry
from invitations.observability import logger, metrics
from invitations.outcomes import Cause, Outcome, judge
from tests.fakes import EXECUTION_SECONDS, START
from tests.sweep_world import SweepWorld


def key(expiration_date: object = None) -> dict[str, Any]:
    """An entry as the vendor's reference shows it."""
    return {
        "id": 3245,
        "label": "key-1",
        "user_name": "Ada Lovelace",
        "disabled": False,
        "expiration_date": expiration_date,
    }


def listing(*entries: object, count: int | None = None) -> str:
    return json.dumps({"count": count or len(entries), "api_keys": entries})


@pytest.fixture
def world() -> SweepWorld:
    metrics.clear_metrics()
    return SweepWorld()


def check(world: SweepWorld, response: Outcome) -> Expiry:
    """Check the key of an API that gives this response."""
    world.partoo.list_keys = Mock(return_value=response)  # type: ignore[method-assign]
    return check_key(world.sweeper.calls, world.partoo, START + EXECUTION_SECONDS)


def counted() -> dict[str, float]:
    """The metrics of the key."""
    written = metrics.metric_set.items()
    return {name: each["Value"][0] for name, each in written if name.startswith("Key")}


@pytest.mark.parametrize(
    ("entries", "expiry"),
    [
        ([key("2027-01-20")], Expiry("2027-01-20", 5)),
        ([key(None)], Expiry()),
        # The earliest date counts.
        ([key("2027-03-01"), key(None), key("2027-02-01")], Expiry("2027-02-01", 17)),
        # The API would refuse these keys.
        ([key("2027-01-14"), key("2027-02-01")], Expiry("2027-02-01", 17)),
        # Nobody says when a day ends.
        ([key("2027-01-15")], Expiry("2027-01-15", 0)),
        ([key("2027-01-20 11:46:38.914467+00")], Expiry("2027-01-20", 5)),
        ([], Expiry(reason="key_not_listed")),
        ([key("soon"), key("2027-01-20")], Expiry("2027-01-20", 5, "key_date_unreadable")),
        ([key("tomorrow")], Expiry(reason="key_date_unreadable")),
        ([None], Expiry(reason="key_date_unreadable")),
    ],
)
def test_earliest_date_of_the_keys_that_may_be_in_use_is_read(
    entries: list[object], expiry: Expiry
) -> None:
    assert read_expiry(listing(*entries), START) == expiry


LISTED = judge(200, START)
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
    world: SweepWorld, date: str | None, count: int, expected: dict[str, float]
) -> None:
    check(world, replace(LISTED, body=listing(key(date), count=count)))

    assert counted() == expected


def test_log_and_answer_name_no_person_and_no_key(
    world: SweepWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger.name)
    expiry = check(world, replace(LISTED, body=listing(key())))

    logged = str([asdict(expiry), *map(vars, caplog.records)])
    assert ("key checked" in logged, world.secret in logged, "Ada" in logged) == (
        True,
        False,
        False,
    )


@pytest.mark.parametrize(
    ("response", "expiry"),
    [
        (replace(LISTED, body="[]"), Expiry(reason="key_list_unreadable")),
        (judge(204, START), Expiry(reason="key_list_unreadable")),
        (judge(404, START), Expiry(reason="key_list_refused", http_status=404)),
        (Outcome(cause=Cause.NO_ANSWER), Expiry(reason="no_answer")),
    ],
)
def test_call_without_a_list_leaves_the_date_unknown(
    world: SweepWorld, response: Outcome, expiry: Expiry
) -> None:
    assert check(world, response) == expiry
    assert counted() == UNKNOWN


@pytest.mark.parametrize(("outages", "reason"), [(1, "key_unavailable"), (0, "throttled")])
def test_no_call_is_made_without_key_or_token(world: SweepWorld, outages: int, reason: str) -> None:
    world.change_limiter(paused_until=START + 300, pause_reason="throttled")
    world.steps.failures["secret"] = outages

    assert check(world, judge(200, START)) == Expiry(reason=reason)
