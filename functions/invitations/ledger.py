"""The ledger: windows, claims and results.

Each user has one item with the window, the open claim and the counts; each request that ended has
an item with its result. Times are epoch seconds.

    A  read ── claim ── call ── save ── end claim         the window: answer + InviteWindowSeconds
    B     read ── claim: refused, the item has changed

If an execution dies after `save`, the claim stays open until another execution finds the result and
ends it. If it dies before, the claim stays open until the window that it holds is over; the next
claim then counts it as an e-mail that may have been sent. The user's item names the request that
holds the window, so that duplicates of this request wait for the end of the window.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from invitations.errors import TableUnavailableError
from invitations.messages import ClaimEnd, StoredResult, SweepCriteria
from invitations.results import known_fields
from invitations.table import ConflictError, Item, Key, Table

CLOCK_SKEW_SECONDS = 2
"""Tolerated difference between two clocks: a window is active until this long after its end."""

_DAY_SECONDS = 86_400
# More than UserDailyLimit can be.
_MOST_TIMES = 100
_TRIES = 10


@dataclass(frozen=True)
class UserRecord:
    """What the ledger knows of a user."""

    window_ends_at: float | None = None
    window_request_id: str | None = None
    """The request that holds the window with its claim or its call, or held the last one."""
    claim_id: str | None = None
    """None: no claim is open."""
    claimed_at: float | None = None
    sent_count: int = 0
    maybe_sent_count: int = 0
    """Calls whose outcome is unknown."""
    invited_at: tuple[float, ...] = ()
    """Times of the latest invitations that were sent or may have been, the newest last."""
    item: Item = field(default_factory=dict, compare=False)
    """The table's item that the record was read from."""

    @property
    def _over_at(self) -> float:
        return 0.0 if self.window_ends_at is None else self.window_ends_at + CLOCK_SKEW_SECONDS

    def active_window(self, now: float) -> float | None:
        """Return the end of the active window, or None."""
        return self.window_ends_at if self._over_at > now else None

    def has_claim_of(self, request_id: str) -> bool:
        """Return whether this request holds the open claim."""
        return self.claim_id is not None and self.window_request_id == request_id

    def look_again_at(self, now: float, call_seconds: float) -> float:
        """Return when a request that finds the window active looks again.

        An open claim holds the window for longer than the call will once it has ended.
        """
        call_ends_at = 0.0 if self.claimed_at is None else self.claimed_at + call_seconds
        return call_ends_at if call_ends_at > now else self._over_at

    def exceeds(self, daily_limit: int, now: float) -> bool:
        """Return whether the user got `daily_limit` invitations in 24 hours; 0 is no limit."""
        latest = [at for at in self.invited_at if at > now - _DAY_SECONDS]
        return 0 < daily_limit <= len(latest)

    def not_due(self, criteria: SweepCriteria, now: float) -> str | None:
        """Return why a sweep must not ask for the user, or None."""
        if self.sent_count + self.maybe_sent_count >= criteria.max_invites:
            return "max_invites_reached"
        if self.invited_at and now - self.invited_at[-1] < criteria.min_age_seconds:
            return "asked_recently"
        return None

    def with_open_claim_counted(self) -> "UserRecord":
        """Close an open claim, and count it as an e-mail that may have been sent."""
        if self.claim_id is None:
            return self
        return self.ended(ClaimEnd(self.window_ends_at, self.claimed_at))

    def claimed(
        self, request_id: str, claim_id: str, claimed_at: float, window_ends_at: float
    ) -> "UserRecord":
        return replace(
            self.with_open_claim_counted(),
            claim_id=claim_id,
            claimed_at=claimed_at,
            window_ends_at=window_ends_at,
            window_request_id=request_id,
        )

    def ended(self, end: ClaimEnd) -> "UserRecord":
        """Close the claim."""
        closed = replace(self, claim_id=None, claimed_at=None, window_ends_at=end.window_ends_at)
        if end.invited_at is None:
            return closed
        return replace(
            closed,
            sent_count=self.sent_count + end.sent,
            maybe_sent_count=self.maybe_sent_count + (not end.sent),
            invited_at=(*self.invited_at, end.invited_at)[-_MOST_TIMES:],
        )


@dataclass(frozen=True)
class Known:
    """What the ledger knows of a user and of one of the user's requests."""

    user: UserRecord
    stored: StoredResult | None
    """The request's result, if it has one."""
    item: Item = field(default_factory=dict)
    """The table's item with the result."""


class Ledger:
    """Every method raises TableUnavailableError when its effect is unknown or absent."""

    def __init__(self, table: Table, history_days: int, clock: Callable[[], float]) -> None:
        self._table = table
        self._history_seconds = history_days * _DAY_SECONDS
        self._clock = clock

    def read(self, user_id: str, request_id: str) -> Known:
        return self.read_many([(user_id, request_id)])[0]

    def read_many(self, pairs: Sequence[tuple[str, str]]) -> list[Known]:
        """Read pairs of a user and a request."""
        keys = [key for user, request in pairs for key in (_user(user), _request(user, request))]
        each_once = list(dict.fromkeys(keys))
        items = dict(zip(each_once, self._table.read(each_once), strict=True))
        return [
            Known(
                _user_record(items[_user(user)]),
                _stored(items[_request(user, request)]),
                items[_request(user, request)],
            )
            for user, request in pairs
        ]

    def read_result(self, user_id: str, request_id: str) -> tuple[StoredResult | None, Item]:
        """Read the request's result alone, and the item that holds it."""
        item = self._table.read([_request(user_id, request_id)])[0]
        return _stored(item), item

    def claim(self, user_id: str, claimed: UserRecord) -> UserRecord | None:
        """Write a record with a claim; return it as written.

        The caller has read the record and found no active window. Returns None when the user's item
        has changed since.
        """
        try:
            return replace(claimed, item=self._write_user(user_id, claimed))
        except ConflictError:
            return None

    def save(self, user_id: str, new: StoredResult, asked_at: float, item: Item) -> StoredResult:
        """Store a request's result unless a valid one is stored; return the stored one.

        A known `sent` replaces any other result; every result replaces a `failed` from before
        `asked_at`. `item` is the item as it was read; empty when it was not read.
        """
        key = _request(user_id, new.result.request_id)
        written = {**new.to_fields(), "expires_at": self._expires_at()}
        for _ in range(_TRIES):
            stored = _stored(item)
            if stored is not None and stored.answers(asked_at) and (stored.sent or not new.sent):
                return stored
            try:
                self._table.write(key, written, item)
            except ConflictError as conflict:
                item = conflict.item
            else:
                return new
        raise TableUnavailableError("the result was changed by other executions all the time")

    def end_claim(
        self, user_id: str, claim_id: str, claimed: UserRecord | None, end: ClaimEnd
    ) -> None:
        """End a claim, if it is still open.

        `claimed` is the record with the claim; None: the method reads it.
        """
        record = claimed or _user_record(self._table.read([_user(user_id)])[0])
        if record.claim_id != claim_id:
            return
        # While a claim is open, another execution writes the item only to end or replace the claim.
        with suppress(ConflictError):
            self._write_user(user_id, record.ended(end))

    def _write_user(self, user_id: str, record: UserRecord) -> Item:
        """Write a record in the place of the item that it was read from."""
        item = {**vars(record), "item": None, "expires_at": self._expires_at()}
        return self._table.write(_user(user_id), item, record.item)

    def _expires_at(self) -> int:
        return int(self._clock()) + self._history_seconds


def _user(user_id: str) -> Key:
    return f"USER#{user_id}", "USER"


def _request(user_id: str, request_id: str) -> Key:
    return f"USER#{user_id}", f"REQUEST#{request_id}"


def _user_record(item: Item) -> UserRecord:
    known = known_fields(UserRecord, item) | {"invited_at": tuple(item.get("invited_at", ()))}
    return UserRecord(**known, item=item)


def _stored(item: Item) -> StoredResult | None:
    return StoredResult.from_fields(item) if item else None
