"""A sweep: how far it is, and what it has found. No AWS, no clock; times are epoch seconds."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from invitations.results import SCHEMA_VERSION, iso, known_fields
from invitations.sweeps.criteria import DUE, KNOWN_ROLES, Criteria
from invitations.sweeps.cursor import Cursor

SWEPT, FAILED = "swept", "sweep_failed"

# A list of n users has at most n/51 pages; as many again when it moves while it is read.
_MOST_SEARCHES, _USERS_PER_SEARCH = 100, 25
_ENDLESS = (
    "The list grows, or its order changes, faster than it can be read: it took more than "
    f"{_MOST_SEARCHES} searches beside one for each {_USERS_PER_SEARCH} users."
)

_MOST_UNKNOWN_ROLES = 20
_NUMBERS = ("found", "due", "pages", "never_invited_here")
_DISTRIBUTIONS = ("skipped", "invitations", "unknown_roles")


@dataclass(frozen=True)
class Organisation:
    """What has come of one organisation; `status` is None until it ends."""

    org_id: str | None
    """None: the key's own."""
    status: str | None = None
    reason: str | None = None
    detail: str | None = None
    http_status: int | None = None
    """Of the answer that ended it."""
    found: int = 0
    due: int = 0
    pages: int = 0
    never_invited_here: int = 0
    """Users who are due, or would be with `first_invitation`, and were never invited here."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    invitations: Mapping[str, int] = field(default_factory=dict)
    """How many of those found have been invited never, once, twice and so on."""
    unknown_roles: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """A sweep under way or ended; the last of its organisations is the one that is read."""

    sweep_id: str
    criteria: Criteria
    started_at: float
    organisations: tuple[Organisation, ...]
    cursor: Cursor = field(default_factory=Cursor)
    delays: int = 0
    """How often in a row it was rescheduled without a page being read."""
    has_appointment: bool = False
    """Whether it continues at an appointment of the rate limiter."""
    leased_until: float = 0.0
    """Until then one execution carries the sweep on, and others leave it alone."""
    ended_at: float | None = None
    """When the summary was published."""

    @classmethod
    def begin(cls, sweep_id: str, criteria: Criteria, now: float) -> "Sweep":
        return cls(sweep_id, criteria, now, (Organisation(next(iter(criteria.org_ids), None)),))

    @property
    def current(self) -> Organisation:
        return self.organisations[-1]

    @property
    def is_over(self) -> bool:
        """Whether only the summary remains to be published."""
        return self.current.status is not None

    @property
    def decisive(self) -> Organisation:
        """The first organisation that failed, or the last."""
        failed = (each for each in self.organisations if each.status == FAILED)
        return next(failed, self.current)

    @property
    def has_room(self) -> bool:
        """Whether `max_users` allows one more request."""
        due = sum(each.due for each in self.organisations)
        return self.criteria.max_users == 0 or due < self.criteria.max_users

    def satisfies(self, criteria: Criteria, asked_at: float) -> bool:
        """Return whether the sweep succeeded, by these criteria, after it was asked for."""
        has_ended = self.ended_at is not None and self.ended_at > asked_at
        return has_ended and self.criteria == criteria and self.decisive.status == SWEPT

    def with_current(self, **changes: Any) -> "Sweep":
        """Change fields of the current organisation, and reset what is known of delays."""
        organisations = (*self.organisations[:-1], replace(self.current, **changes))
        return replace(self, organisations=organisations, delays=0, has_appointment=False)

    def with_user(self, verdict: str, role: str, invitations: int) -> "Sweep":
        """Count one more user, who has been invited so often."""
        current, is_due = self.current, verdict == DUE
        unknown_roles = current.unknown_roles
        if role not in {"", *KNOWN_ROLES} and len(unknown_roles) < _MOST_UNKNOWN_ROLES:
            unknown_roles = _one_more(unknown_roles, role[:50])
        is_first = verdict == "never_invited_here" or (is_due and invitations == 0)
        return self.with_current(
            found=current.found + 1,
            due=current.due + is_due,
            never_invited_here=current.never_invited_here + is_first,
            skipped=current.skipped if is_due else _one_more(current.skipped, verdict),
            invitations=_one_more(current.invitations, str(invitations)),
            unknown_roles=unknown_roles,
        )

    def with_page(self, cursor: Cursor) -> "Sweep":
        """Count one more page of the current organisation."""
        after = replace(self.with_current(pages=self.current.pages + 1), cursor=cursor)
        if not after.has_room:
            return after.organisation_ended(SWEPT, "max_users_reached")
        if cursor.has_ended:
            return after.organisation_ended(SWEPT, "completed")
        if after.current.pages > _MOST_SEARCHES + cursor.listed // _USERS_PER_SEARCH:
            return after.organisation_ended(FAILED, "answer_unreadable", detail=_ENDLESS)
        return after

    def organisation_ended(self, status: str, reason: str, **end: Any) -> "Sweep":
        """Continue with the next organisation, if there is one and room."""
        ended = self.with_current(status=status, reason=reason, **end)
        organisations = ended.organisations
        if self.has_room and len(organisations) < len(self.criteria.org_ids):
            organisations += (Organisation(self.criteria.org_ids[len(organisations)]),)
        return replace(ended, organisations=organisations, cursor=Cursor())

    def summary(self, now: float) -> dict[str, Any]:
        """Return the summary: all organisations together, and each by itself."""
        end = self.decisive
        organisations = [asdict(each) for each in self.organisations]
        totals: dict[str, Any] = {
            name: sum(each[name] for each in organisations) for name in _NUMBERS
        }
        for name in _DISTRIBUTIONS:
            total = sum((Counter(each[name]) for each in organisations), Counter[str]())
            totals[name] = dict(sorted(total.items()))
        named = {role: 0 for role in self.criteria.roles if role not in KNOWN_ROLES}
        return {
            "schema_version": SCHEMA_VERSION,
            "sweep_id": self.sweep_id,
            "status": end.status,
            "reason": end.reason,
            "detail": end.detail,
            "http_status": end.http_status,
            **totals,
            "queued": totals["due"],
            "unknown_roles": named | totals["unknown_roles"],
            "organisations": organisations,
            "seconds": round(now - self.started_at, 3),
            "started_at": iso(self.started_at),
            "occurred_at": iso(now),
        }

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Sweep":
        stored = known_fields(cls, json.loads(text))
        stored["criteria"] = Criteria(**known_fields(Criteria, stored["criteria"]))
        stored["cursor"] = Cursor(**known_fields(Cursor, stored["cursor"]))
        stored["organisations"] = tuple(
            Organisation(**known_fields(Organisation, each)) for each in stored["organisations"]
        )
        return cls(**stored)


def _one_more(numbers: Mapping[str, int], name: str) -> Mapping[str, int]:
    return {**numbers, name: numbers.get(name, 0) + 1}
