"""When the key to the API expires, as far as the vendor's list of keys says. Pure.

`GET /api_keys` shows the keys that a key gives access to, without their values, and does not say
which of them asked. So the first to expire among those that it can be is the one to be ready for.
Source: "List user API keys" on developers.partoo.co, and the schemas of
PartooHub/developers-website. Neither says in which zone a date begins: here it is UTC.
"""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

WARNING_DAYS = 14
"""Time enough to get a key from the person who may make one, over a holiday."""

_NEVER = date.max
# An ISO 8601 date, whatever may follow it.
_DATE_CHARACTERS = len("yyyy-mm-dd")


@dataclass(frozen=True, slots=True)
class Expiry:
    """What is known; with neither a date nor a reason, the key never expires."""

    keys: int = 0
    """How many the key can be, of those that were listed."""
    expires_on: str | None = None
    days_left: int | None = None
    """Until that day begins, from today."""
    reason: str | None = None
    """Why it is not known, or not for sure."""
    http_status: int | None = None

    @property
    def is_soon(self) -> bool:
        return self.days_left is not None and self.days_left <= WARNING_DAYS


def read_expiry(body: str, now: float) -> Expiry:
    """Read the answer to the key whose expiry is wanted, received at `now` (epoch seconds)."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    match document:
        case {"count": count, "api_keys": list(entries)}:
            return _first(entries, datetime.fromtimestamp(now, UTC).date(), all_of_them=count)
    return Expiry(reason="key_list_unreadable")


def _first(entries: list[Any], today: date, *, all_of_them: object) -> Expiry:
    dates = [_date(each) for each in entries if not _is_revoked(each)]
    # The key was let in just now, so that it is none of those whose day is over.
    possible = [each for each in dates if each is None or each >= today]
    reason = None
    if len(entries) != all_of_them:
        reason = "key_list_incomplete"
    elif not possible:
        reason = "key_not_listed"
    elif None in possible:
        reason = "key_date_unreadable"
    first = min((each for each in possible if each is not None), default=_NEVER)
    if first == _NEVER:
        return Expiry(len(possible), reason=reason)
    return Expiry(len(possible), first.isoformat(), (first - today).days, reason)


def _is_revoked(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("disabled") is True


def _date(entry: Any) -> date | None:
    """The day on which a key has expired; None when that cannot be read."""
    match entry:
        case {"expiration_date": None}:
            return _NEVER
        case {"expiration_date": str(text)}:
            try:
                return date.fromisoformat(text[:_DATE_CHARACTERS])
            except ValueError:
                return None
    return None
