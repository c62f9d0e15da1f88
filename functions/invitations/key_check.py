"""Checks when the API key expires, as far as the vendor's list of keys says.

`GET /api_keys` lists the keys that a key gives access to, without their values, and does not say
which of them asked. So the earliest date of all keys that may be the one in use is the one to be
ready for. Source: "List user API keys" on developers.partoo.co, and the schemas of
PartooHub/developers-website. Neither says in which time zone a date begins: here it is UTC.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from invitations.errors import DependencyUnavailableError
from invitations.limited_call import LimitedCaller
from invitations.limiter_state import Wait
from invitations.observability import count, log_dependency, logger
from invitations.outcomes import Answered
from invitations.partoo import PartooApi
from invitations.results import Status

WARNING_DAYS = 14
"""Time enough to get a new key from the person who may make one, over a holiday."""

_ABOUT = {"call": "GET /api_keys"}
_NEVER = date.max
# An ISO 8601 date, whatever may follow it.
_DATE_CHARACTERS = len("yyyy-mm-dd")


@dataclass(frozen=True)
class Expiry:
    """The result of a check; without a date and a reason, the key never expires."""

    keys: int = 0
    """Keys of the list that may be the one in use."""
    expires_on: str | None = None
    days_left: int | None = None
    """From today until that day begins."""
    reason: str | None = None
    """Why the date is unknown or uncertain."""
    http_status: int | None = None

    @property
    def is_soon(self) -> bool:
        return self.days_left is not None and self.days_left <= WARNING_DAYS


@dataclass(frozen=True)
class KeyCheck:
    caller: LimitedCaller
    api: PartooApi
    clock: Callable[[], float] = time.time

    def check(self, deadline: float) -> Expiry:
        """Find out when the key expires, or why that is not known, and log it.

        Ends by `deadline` (epoch seconds). Never raises for what the API, the table or the secret
        does, because the next day brings another check.
        """
        try:
            expiry = self._ask(deadline)
        except DependencyUnavailableError as error:
            log_dependency(_ABOUT, error)
            expiry = Expiry(reason=error.cause)
        is_unknown = expiry.reason is not None
        log = logger.warning if expiry.is_soon or is_unknown else logger.info
        log("key checked", extra=asdict(expiry))
        count("KeyExpiryUnknown", int(is_unknown))
        if expiry.is_soon or not is_unknown:
            # Write no 0 when the date is unknown: it would end an alarm.
            count("KeyExpiresSoon", int(expiry.is_soon))
        if expiry.days_left is not None:
            count("KeyDaysLeft", expiry.days_left, MetricUnit.NoUnit)
        return expiry

    def _ask(self, deadline: float) -> Expiry:
        called = self.caller.call("list keys", self.api.list_keys, _ABOUT, deadline)
        if isinstance(called, Wait):
            return Expiry(reason=called.cause)
        response, outcome = called
        if isinstance(response, Answered) and response.http_status == 200:
            return read_expiry(response.body, self.clock())
        reason = str(outcome.cause)
        if outcome.status is not None:
            # `judge` interprets answers to invitations; a list of keys has reasons of its own.
            refused = outcome.status == Status.REJECTED
            reason = "key_list_refused" if refused else "key_list_unreadable"
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
            dates = [_date(each) for each in entries if not _is_revoked(each)]
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
        return Expiry(len(possible), reason=reason)
    return Expiry(len(possible), earliest.isoformat(), (earliest - today).days, reason)


def _is_revoked(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("disabled") is True


def _date(entry: Any) -> date | None:
    """Return the day on which a key has expired; None when it cannot be read."""
    match entry:
        case {"expiration_date": None}:
            return _NEVER
        case {"expiration_date": str(text)}:
            try:
                return date.fromisoformat(text[:_DATE_CHARACTERS])
            except ValueError:
                return None
    return None
