"""Checks when the API key expires, as far as the vendor's list of keys says.

`GET /api_keys` lists the keys that a key gives access to, without their values, and does not say
which of them asked. So the earliest date of all keys that may be the one in use is the one to be
ready for. Source: "List user API keys" on developers.partoo.co, and the schemas of
PartooHub/developers-website. Neither says in which time zone a date begins: here it is UTC.
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from invitations.calls import ApiCalls
from invitations.errors import DependencyUnavailableError
from invitations.limiter_state import Wait
from invitations.observability import count, log_dependency, logger
from invitations.partoo import PartooApi
from invitations.results import Status

WARNING_DAYS = 14
"""Time enough to get a new key from the person who may make one, over a holiday."""

_NEVER = date.max


@dataclass(frozen=True)
class Expiry:
    """The result of a check; without a date and a reason, the key never expires."""

    expires_on: str | None = None
    days_left: int | None = None
    """From today until that day begins."""
    reason: str | None = None
    """Why the date is unknown or uncertain."""
    http_status: int | None = None


def check_key(calls: ApiCalls, api: PartooApi, deadline: float) -> Expiry:
    """Find out when the key expires, or why that is not known, and log it.

    Ends by `deadline` (epoch seconds). Never raises for what the API, the table or the secret does,
    because the next day brings another check.
    """
    try:
        expiry = _ask(calls, api, deadline)
    except DependencyUnavailableError as error:
        log_dependency(error)
        expiry = Expiry(reason=error.cause)
    is_soon = expiry.days_left is not None and expiry.days_left <= WARNING_DAYS
    is_unknown = expiry.reason is not None
    log = logger.warning if is_soon or is_unknown else logger.info
    log("key checked", extra=asdict(expiry))
    count("KeyExpiryUnknown", int(is_unknown))
    if is_soon or not is_unknown:
        # Write no 0 when the date is unknown: it would end an alarm.
        count("KeyExpiresSoon", int(is_soon))
    if expiry.days_left is not None:
        count("KeyDaysLeft", expiry.days_left, MetricUnit.NoUnit)
    return expiry


def _ask(calls: ApiCalls, api: PartooApi, deadline: float) -> Expiry:
    outcome = calls.wait_and_make("list keys", api.list_keys, deadline)
    if isinstance(outcome, Wait):
        return Expiry(reason=outcome.cause)
    if outcome.status == Status.SENT:
        return read_expiry(outcome.body, calls.clock())
    reason = "key_list_refused" if outcome.cause is None else outcome.cause
    return Expiry(reason=reason, http_status=outcome.http_status)


def read_expiry(body: str, now: float) -> Expiry:
    """Read the answer that the key in use got at `now` (epoch seconds)."""
    today = datetime.fromtimestamp(now, UTC).date()
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {"count": listed, "api_keys": list(entries)}:
            dates = list(map(_date, entries))
        case _:
            return Expiry(reason="key_list_unreadable")
    # The API accepted the key just now: it has not expired.
    possible = [each for each in dates if each is None or each >= today]
    reason = None
    if len(entries) != listed:
        reason = "key_list_incomplete"
    elif not possible:
        reason = "key_not_listed"
    elif None in possible:
        reason = "key_date_unreadable"
    earliest = min((each for each in possible if each is not None), default=_NEVER)
    if earliest == _NEVER:
        return Expiry(reason=reason)
    return Expiry(earliest.isoformat(), (earliest - today).days, reason)


def _date(entry: Any) -> date | None:
    """Return the day on which a key has expired; None when it cannot be read."""
    match entry:
        case {"expiration_date": None}:
            return _NEVER
        case {"expiration_date": str(text)}:
            with suppress(ValueError):
                # A time may follow.
                return date.fromisoformat(text[: len("yyyy-mm-dd")])
    return None
