"""The ledger: windows, claims and results.

Each user has one item with the window, the latest claim and the counts; each request that ended has
an item with its result. Times are epoch seconds.

    A  read ── claim ── call ── save                      the window: answer + InviteWindowSeconds
    B     read ── claim: refused, the item has changed

The stored result ends the claim under which its call was made, and says when the window ends.
`read` therefore adds the result of the claim's request to each user with a claim. If there is no
result to store, `end_claim` writes the end into the user's item. A claim that nothing ended (its
execution died) stays open until its window is over; the next claim then counts it as an e-mail that
may have been sent. Duplicates of the claim's request wait for the end of the window.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from invitations.errors import TableUnavailableError
from invitations.messages import ClaimEnd, RequestCriteria, StoredResult
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
    """None: no claim is open. As stored, a result may have ended the claim (`with_result`)."""
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

    def look_again_at(self, now: float, call_budget_seconds: float) -> float:
        """Return when a request that finds the window active looks again.

        While a claim is open, this is when its call must have ended: the outcome usually ends the
        window earlier.
        """
        call_ends_at = 0.0 if self.claimed_at is None else self.claimed_at + call_budget_seconds
        return call_ends_at if call_ends_at > now else self._over_at

    def exceeds(self, daily_limit: int, now: float) -> bool:
        """Return whether the user got `daily_limit` invitations in 24 hours; 0 is no limit."""
        latest = [at for at in self.invited_at if at > now - _DAY_SECONDS]
        return 0 < daily_limit <= len(latest)

    def not_due(self, criteria: RequestCriteria, now: float) -> str | None:
        """Return why a sweep must not ask for the user, or None."""
        if self.sent_count + self.maybe_sent_count >= criteria.max_invites:
            return "max_invites_reached"
        if self.invited_at and now - self.invited_at[-1] < criteria.min_age_seconds:
            return "asked_recently"
        return None

    def with_result(self, stored: StoredResult | None) -> "UserRecord":
        """End the claim if this is the result of its call."""
        if stored is None or self.claim_id is None or stored.claim_id != self.claim_id:
            return self
        return self.ended(stored.claim_end)

    def with_open_claim_counted(self) -> "UserRecord":
        """End an open claim, and count it as an e-mail that may have been sent."""
        if self.claim_id is None:
            return self
        return self.ended(ClaimEnd(self.window_ends_at, self.claimed_at))

    def claimed(
        self, request_id: str, claim_id: str, claimed_at: float, window_ends_at: float
    ) -> "UserRecord":
        """Return the record with a new claim, which holds the window until `window_ends_at`."""
        return replace(
            self.with_open_claim_counted(),
            claim_id=claim_id,
            claimed_at=claimed_at,
            window_ends_at=window_ends_at,
            window_request_id=request_id,
        )

    def ended(self, end: ClaimEnd) -> "UserRecord":
        """End the claim: set the window and the counts."""
        ended = replace(self, claim_id=None, claimed_at=None, window_ends_at=end.window_ends_at)
        if end.invited_at is None:
            return ended
        return replace(
            ended,
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
        """Read pairs of a user and a request, eventually consistently.

        A stale read cannot lead to a call: `claim` fails if the user's item has changed, and
        `read_result` reads consistently after the claim. At worst, a request waits or is skipped
        because of a window that was freed a moment ago.
        """
        items = self._read(key for pair in pairs for key in (_user(pair[0]), _request(*pair)))
        records = {user: user_record(items[_user(user)]) for user, _ in pairs}
        # The claim names the request whose result may have ended it. Read this result even if it is
        # among the pairs: it may have been stored after it was read.
        claims = {
            user: _request(user, record.window_request_id or "")
            for user, record in records.items()
            if record.claim_id is not None
        }
        items |= self._read(claims.values())
        return [
            Known(
                records[user].with_result(_stored(items[claims[user]]) if user in claims else None),
                _stored(items[_request(user, request)]),
                items[_request(user, request)],
            )
            for user, request in pairs
        ]

    def _read(self, keys: Iterable[Key]) -> dict[Key, Item]:
        each_once = list(dict.fromkeys(keys))
        return dict(zip(each_once, self._table.read(each_once, consistent=False), strict=True))

    def read_result(self, user_id: str, request_id: str) -> tuple[StoredResult | None, Item]:
        """Read the request's result consistently, and the item that holds it."""
        item = self._table.read([_request(user_id, request_id)])[0]
        return _stored(item), item

    def claim(self, user_id: str, claimed: UserRecord) -> UserRecord | None:
        """Write a record with a claim; return it as written.

        The caller has read the record and found no active window. Returns None when the stored item
        is another: it has changed since, or the read was stale.
        """
        try:
            return replace(claimed, item=self._write_user(user_id, claimed))
        except ConflictError:
            return None

    def save(self, user_id: str, new: StoredResult, asked_at: float, item: Item) -> StoredResult:
        """Store a request's result unless a valid one is stored; return the stored one.

        A known `sent` replaces any other result; every result replaces a `failed` from before
        `asked_at`. The stored result ends its claim. `item` is the item as it was read; empty when
        it was not read.
        """
        key = _request(user_id, new.result.request_id)
        written = {**new.to_fields(), "expires_at": self._expires_at()}
        for _ in range(_TRIES):
            stored = _stored(item)
            if stored is not None and stored.answers(asked_at) and (stored.sent or not new.sent):
                return stored
            if stored is not None and stored.claim_id is not None:
                # The claim would be open again without the result that ended it.
                self.end_claim(user_id, stored.claim_id, None, stored.claim_end)
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
        """End a claim without a result, if it is still open.

        `claimed` is the record with the claim; None: the method reads it.
        """
        record = claimed or user_record(self._table.read([_user(user_id)])[0])
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


def user_record(item: Item) -> UserRecord:
    """Read a user's item; its claim may have been ended by a result."""
    return UserRecord(**known_fields(UserRecord, item), item=item)


def _stored(item: Item) -> StoredResult | None:
    return StoredResult.from_fields(item) if item else None
