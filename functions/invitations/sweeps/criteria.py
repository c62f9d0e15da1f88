"""Who is due, and the request for a sweep. No AWS, no clock; times are epoch seconds."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from invitations.ledger import UserRecord
from invitations.messages import RequestCriteria
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
ROLE_FORM, ORG_ID_FORM = "[A-Z][A-Z_]{0,49}", "[A-Za-z0-9_-]{1,50}"
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
    def of_requests(self) -> RequestCriteria:
        """The criteria that a request must still meet when it is carried out."""
        return RequestCriteria(self.max_invites, self.min_age_hours * 3600)

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
        if now - user.created_at < self.of_requests.min_age_seconds:
            return "created_recently"
        if not (self.first_invitation or record.invited_at):
            return "never_invited_here"
        return record.not_due(self.of_requests, now) or DUE


@dataclass(frozen=True)
class SweepRequest:
    """The wish for a sweep; it waits on a queue between two executions."""

    criteria: Criteria
    asked_at: float
    dry_run: bool = False
    delays: int = 0
    """How often in a row it was rescheduled without a page being read."""
    has_appointment: bool = False
    """Whether it comes back at an appointment of the rate limiter."""

    def to_json(self) -> str:
        """Write the request so that `read_sweep_request` reads it, whatever its defaults are."""
        document = {**vars(self.criteria), **vars(self)}
        del document["criteria"]
        return json.dumps(document)


def read_sweep_request(event: Any, defaults: Criteria, now: float) -> SweepRequest:
    """Read an invocation's payload; `defaults` hold for what it does not name.

    Raises InvalidSweepRequestError.
    """
    if not isinstance(event, Mapping):
        raise InvalidSweepRequestError(f"a sweep request is an object, not {event!r:.50}")
    given = dict[str, Any]()
    for name, value in event.items():
        if name not in _FIELDS:
            raise InvalidSweepRequestError(
                f"unknown: {name!r:.50}; a sweep request may have {', '.join(_FIELDS)}"
            )
        is_allowed, what = _FIELDS[name]
        if not is_allowed(value):
            raise InvalidSweepRequestError(f"{name} must be {what}")
        given[name] = list(dict.fromkeys(map(str, value))) if isinstance(value, list) else value
    criteria = replace(defaults, **known_fields(Criteria, given))
    return replace(SweepRequest(criteria, now), **known_fields(SweepRequest, given))


def _is_number(value: Any) -> bool:
    return not _is_flag(value) and isinstance(value, int | float) and 0 <= value <= 10**10


def _is_count(value: Any) -> bool:
    return _is_number(value) and isinstance(value, int)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _are(form: str) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list)
        and len(value) <= MAX_ORGANISATIONS
        and all(isinstance(each, str | int) and re.fullmatch(form, str(each)) for each in value)
    )


_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "min_age_hours": (_is_number, "a number from 0"),
    "max_invites": (_is_count, "a whole number from 0"),
    "max_users": (_is_count, "a whole number from 0, 0 for no limit"),
    "roles": (_are(ROLE_FORM), "a list of roles such as PUBLISHER, empty for all"),
    "org_ids": (_are(ORG_ID_FORM), "a list of up to 100 organisations' ids, empty for the key's"),
    "first_invitation": (_is_flag, "true or false"),
    "dry_run": (_is_flag, "true or false"),
    # A rescheduled request has these besides.
    "asked_at": (_is_number, "a number from 0"),
    "delays": (_is_count, "a whole number from 0"),
    "has_appointment": (_is_flag, "true or false"),
}
