"""What a sweep is: whom it asks again, what it has found so far, and who is at it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from invitations.directory import Member, Unreadable, Walk
from invitations.errors import InvalidOrderError
from invitations.ledger import Standing
from invitations.models import ROLES, SCHEMA_VERSION, Cap, iso

_HOUR_SECONDS = 3600

HOLD_SECONDS = 60.0
"""For so long a sweep is left to who has it: longer than a page takes that meets no trouble."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Who is due."""

    min_age_hours: float
    max_invites: int
    max_users: int
    """Requests of one sweep; 0: no cap."""
    roles: tuple[str, ...] = ()
    """Empty: all."""

    def are_exhausted_by(self, counts: "Counts") -> bool:
        return 0 < self.max_users <= counts.due

    @property
    def cap(self) -> Cap:
        return Cap(self.max_invites, self.min_age_hours * _HOUR_SECONDS)

    def verdict(self, entry: Member | Unreadable, seen: Standing | None, now: float) -> str:
        """`due`, or why not."""
        if isinstance(entry, Unreadable):
            return "user_unreadable"
        if entry.status != "invited":
            return "not_invited"
        if entry.disabled:
            return "disabled"
        if entry.sso_only:
            return "sso_only"
        if self.roles and entry.role not in self.roles:
            return "role_excluded"
        if now - entry.created_at < self.min_age_hours * _HOUR_SECONDS:
            return "created_recently"
        return (seen and seen.user.beyond(self.cap, now)) or "due"


@dataclass(frozen=True, slots=True)
class Order:
    """Somebody wants a sweep."""

    terms: Terms
    ordered_at: float
    dry_run: bool = False
    failures: int = 0
    """How often in a row it was put off because something failed."""


def read_order(event: Any, defaults: Terms, now: float) -> Order:
    """The order in an invocation's payload; what it leaves out is the deployer's choice.

    Raises InvalidOrderError.
    """
    if not isinstance(event, Mapping):
        raise InvalidOrderError(f"an order is an object, not a {type(event).__name__}")
    known = {*_OVERRIDES, "dry_run", "ordered_at", "failures"}
    unknown = sorted(event.keys() - known)
    if unknown:
        raise InvalidOrderError(
            f"unknown: {', '.join(map(repr, unknown))}; an order may have {', '.join(_OVERRIDES)} "
            "and dry_run"
        )
    for name, allows in _ALLOWED.items():
        if name in event and not allows(event[name]):
            raise InvalidOrderError(f"{name} must be {_OVERRIDES.get(name, 'a number from 0')}")
    overrides = {name: event[name] for name in _OVERRIDES if name in event}
    if "roles" in overrides:
        overrides["roles"] = tuple(overrides["roles"])
    dry_run = event.get("dry_run", False)
    if not isinstance(dry_run, bool):
        raise InvalidOrderError("dry_run must be true or false")
    return Order(
        replace(defaults, **overrides),
        ordered_at=event.get("ordered_at", now),
        dry_run=dry_run,
        failures=event.get("failures", 0),
    )


def write_order(order: Order) -> str:
    """As `read_order` reads it, whatever its defaults."""
    terms = asdict(order.terms)
    return json.dumps({**terms, "ordered_at": order.ordered_at, "failures": order.failures})


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10**9


def _is_number(value: object) -> bool:
    return _is_count(value) or (isinstance(value, float) and 0 <= value <= 10**10)


def _are_roles(value: object) -> bool:
    return isinstance(value, list) and all(role in ROLES for role in value)


_OVERRIDES = {
    "min_age_hours": "a number from 0",
    "max_invites": "a whole number from 0",
    "max_users": "a whole number from 0, 0 for no cap",
    "roles": f"a list of {', '.join(ROLES)}, empty for all",
}
_ALLOWED = {
    "min_age_hours": _is_number,
    "max_invites": _is_count,
    "max_users": _is_count,
    "roles": _are_roles,
    "ordered_at": _is_number,
    "failures": _is_count,
}


@dataclass(frozen=True, slots=True)
class Counts:
    found: int = 0
    due: int = 0
    queued: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    pages: int = 0

    def judged(self, verdict: str) -> "Counts":
        """One more user."""
        counted = replace(self, found=self.found + 1)
        if verdict == "due":
            return replace(counted, due=self.due + 1)
        return replace(counted, skipped={**self.skipped, verdict: self.skipped.get(verdict, 0) + 1})


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep under way or ended; at most one is under way."""

    sweep_id: str
    terms: Terms
    started_at: float
    holder: str = ""
    held_until: float = 0
    walk: Walk = field(default_factory=Walk)
    counts: Counts = field(default_factory=Counts)
    ended_at: float | None = None
    reason: str | None = None

    @property
    def is_over(self) -> bool:
        return self.walk.ended or self.terms.are_exhausted_by(self.counts)

    @property
    def conclusion(self) -> str:
        full = self.terms.are_exhausted_by(self.counts)
        return "max_users_reached" if full else "completed"

    def is_held_by_another(self, holder: str, now: float) -> bool:
        return self.holder != holder and now < self.held_until

    def covers(self, order: Order) -> bool:
        """Whether the order asks for nothing that this sweep has not done."""
        return (
            self.ended_at is not None
            and self.ended_at > order.ordered_at
            and self.terms == order.terms
            # Not one that was given up.
            and self.reason == self.conclusion
        )

    def held(self, holder: str, now: float) -> "Sweep":
        return replace(self, holder=holder, held_until=now + HOLD_SECONDS)

    def let_go(self) -> "Sweep":
        return replace(self, holder="", held_until=0)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Sweep":
        fields = json.loads(text)
        terms, walk = fields["terms"], fields["walk"]
        return cls(
            **{
                **fields,
                "terms": Terms(**{**terms, "roles": tuple(terms["roles"])}),
                "walk": Walk(walk["position"], tuple(walk["seen"]), walk["ended"]),
                "counts": Counts(**fields["counts"]),
            }
        )


@dataclass(frozen=True, slots=True)
class StoredSweep:
    version: int
    sweep: Sweep


@dataclass(frozen=True, slots=True)
class Summary:
    """What a sweep came to; published when it ends."""

    sweep_id: str
    status: str
    """`swept`, or `sweep_failed`."""
    reason: str
    found: int
    due: int
    queued: int
    skipped: Mapping[str, int]
    pages: int
    seconds: float
    http_status: int | None
    """Of the answer that ended it; None when no answer did."""
    started_at: str
    occurred_at: str
    schema_version: str = SCHEMA_VERSION

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def summarize(
    sweep: Sweep,
    reason: str,
    now: float,
    *,
    failed: bool = False,
    http_status: int | None = None,
) -> Summary:
    return Summary(
        sweep_id=sweep.sweep_id,
        status="sweep_failed" if failed else "swept",
        reason=reason,
        found=sweep.counts.found,
        due=sweep.counts.due,
        queued=sweep.counts.queued,
        skipped=dict(sorted(sweep.counts.skipped.items())),
        pages=sweep.counts.pages,
        seconds=round(now - sweep.started_at, 3),
        http_status=http_status,
        started_at=iso(sweep.started_at),
        occurred_at=iso(now),
    )
