"""Who is due, and what a sweep request may say. No AWS, no clock; times are epoch seconds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from invitations.ledger import UserRecord
from invitations.results import known_fields
from invitations.sweeps.cursor import FoundUser

# The vendor adds roles: one that is not known here is allowed, and listed in the summary.
KNOWN_ROLES = {
    "PROVIDER",
    "ORG_ADMIN",
    "ORG_MANAGER",
    "GROUP_MANAGER",
    "BUSINESS_MANAGER",
    "PUBLISHER",
}
MAX_ORGANISATIONS = 100

DUE = "due"


class InvalidSweepRequestError(Exception):
    """A sweep request has an unknown field, or a value that is not allowed."""


@dataclass(frozen=True)
class Criteria:
    min_age_hours: float
    max_invites: int
    max_users: int
    """Requests of one sweep; 0: no limit."""
    roles: tuple[str, ...] = ()
    """Empty: all."""
    org_ids: tuple[str, ...] = ()
    """Empty: the key's own organisation."""
    first_invitation: bool = True
    """Whether sweeps may ask for users whom this stack has never invited."""

    @property
    def min_age_seconds(self) -> float:
        return self.min_age_hours * 3600

    def verdict(self, user: FoundUser, org_id: str | None, record: UserRecord, now: float) -> str:
        """Return `due`, or why the user is not."""
        if user.created_at is None:
            return "user_unreadable"
        if None not in (org_id, user.org_id) and org_id != user.org_id:
            # The API ignores the organisation for keys that may not choose one.
            return "other_organisation"
        if user.status != "invited":
            return "not_invited"
        if user.disabled or user.sso_only:
            return "disabled" if user.disabled else "sso_only"
        if self.roles and user.role not in self.roles:
            return "role_excluded"
        if now - user.created_at < self.min_age_seconds:
            return "created_recently"
        if not (self.first_invitation or record.invited_at):
            return "never_invited_here"
        return record.not_due(self.max_invites, self.min_age_seconds, now) or DUE


def read_sweep_request(event: Any, defaults: Criteria) -> Criteria:
    """Check a sweep request and return its criteria; `defaults` hold for those it does not name.

    Raises InvalidSweepRequestError.
    """
    if not isinstance(event, Mapping):
        raise InvalidSweepRequestError(f"a sweep request is an object, not {event!r:.50}")
    for name, value in event.items():
        if name not in _FIELDS:
            raise InvalidSweepRequestError(
                f"unknown: {name!r:.50}; a sweep request may have {', '.join(_FIELDS)}"
            )
        if not _is_allowed(name, value):
            raise InvalidSweepRequestError(f"{name} must be {_FIELDS[name][1]}")
    given = known_fields(Criteria, event)
    lists = {name: tuple(dict.fromkeys(map(str, given[name]))) for name in _FORMS if name in given}
    return replace(defaults, **given | lists)


def _is_allowed(name: str, value: Any) -> bool:
    types, _ = _FIELDS[name]
    # A bool is an int, too, but no number in JSON.
    if type(value) not in types:
        return False
    if isinstance(value, list):
        return len(value) <= MAX_ORGANISATIONS and all(
            isinstance(each, str | int) and re.fullmatch(_FORMS[name], str(each)) for each in value
        )
    return bool(0 <= value <= 10**10)


_FORMS = {"roles": "[A-Z][A-Z_]{0,49}", "org_ids": "[A-Za-z0-9_-]{1,50}"}
_FIELDS: Mapping[str, tuple[set[type], str]] = {
    "min_age_hours": ({int, float}, "a number from 0"),
    "max_invites": ({int}, "a whole number from 0"),
    "max_users": ({int}, "a whole number from 0, 0 for no limit"),
    "roles": ({list}, "a list of roles such as PUBLISHER, empty for all"),
    "org_ids": ({list}, "a list of up to 100 organisations' ids, empty for the key's"),
    "first_invitation": ({bool}, "true or false"),
    "dry_run": ({bool}, "true or false"),
    # A rescheduled request has it besides.
    "asked_at": ({int, float}, "a number from 0"),
}
