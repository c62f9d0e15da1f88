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

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from invitations.batcher import Batcher
from invitations.errors import TableUnavailableError
from invitations.messages import ClaimEnd, StoredResult
from invitations.results import known_fields
from invitations.table import ConflictError, Item, Key, Table

CLOCK_SKEW_SECONDS = 2
"""Tolerated difference between two clocks: a window is active until this long after its end."""

# The most that UserDailyLimit can be.
_MOST_TIMES = 100


@dataclass(frozen=True)
class UserRecord:
    """What the ledger knows of a user."""

    window_ends_at: float | None = None
    window_request_id: str | None = None
    """The request that holds the window with its claim or its call, or held the last one."""
    claim_id: str | None = None
    """None: no claim is open. As stored, the claim may have been ended by a result."""
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

    def look_again_at(self, now: float, call_budget_seconds: float) -> float:
        """Return when a request that finds the window active looks again.

        While a claim is open, this is when its call must have ended: the outcome usually ends the
        window earlier.
        """
        call_ends_at = 0.0 if self.claimed_at is None else self.claimed_at + call_budget_seconds
        return call_ends_at if call_ends_at > now else self._over_at

    def not_due(self, max_invites: int, min_age_seconds: float, now: float) -> str | None:
        """Return why a sweep must not ask for the user, or None."""
        if self.sent_count + self.maybe_sent_count >= max_invites:
            return "max_invites_reached"
        if self.invited_at and now - self.invited_at[-1] < min_age_seconds:
            return "asked_recently"
        return None

    def with_open_claim_counted(self) -> "UserRecord":
        """End an open claim, and count it as an e-mail that may have been sent."""
        return self.ended(self.claim_id, ClaimEnd(self.window_ends_at, self.claimed_at))

    def ended(self, claim_id: str | None, end: ClaimEnd) -> "UserRecord":
        """End a claim, if it is the open one: set the window and the counts."""
        if claim_id is None or claim_id != self.claim_id:
            return self
        ended = replace(self, claim_id=None, claimed_at=None, window_ends_at=end.window_ends_at)
        if end.invited_at is None:
            return ended
        return replace(
            ended,
            sent_count=self.sent_count + end.sent,
            maybe_sent_count=self.maybe_sent_count + (not end.sent),
            invited_at=(*self.invited_at, end.invited_at)[-_MOST_TIMES:],
        )


class Known(NamedTuple):
    """What the ledger knows of a user and of one of the user's requests."""

    user: UserRecord
    stored: StoredResult | None
    """The request's result, if it has one."""


class Ledger:
    """Every method raises TableUnavailableError when its effect is unknown or absent."""

    def __init__(self, table: Table, history_days: int, clock: Callable[[], float]) -> None:
        self._table = table
        self._history_seconds = history_days * 86_400
        self._clock = clock
        # DynamoDB reads a hundred keys at once; each pair has two.
        self._reads: Batcher[tuple[str, str], Known] = Batcher(self.read_many, 50)

    def read(self, user_id: str, request_id: str) -> Known:
        """Read a user and a request, together with other threads; see `read_many`."""
        pair = (user_id, request_id)
        try:
            return self._reads.submit(pair)
        except TableUnavailableError:
            raise
        except Exception:  # noqa: BLE001  # an item is unreadable, perhaps another thread's
            return self.read_many([pair])[0]

    def read_many(self, pairs: Sequence[tuple[str, str]]) -> list[Known]:
        """Read pairs of a user and a request, eventually consistently.

        A stale read cannot lead to a call: `claim` fails if the user's item has changed, and
        `read_result` reads consistently after the claim. At worst, a request waits or is skipped
        because of a window that was freed a moment ago.
        """
        items = self._read(
            [key for user, request in pairs for key in (_user(user), _request(user, request))]
        )
        records = {user: user_record(items[_user(user)]) for user, _ in pairs}
        # The claim names the request whose result may have ended it. Read this result even if it is
        # among the pairs: it may have been stored after it was read.
        claims = {
            user: _request(user, record.window_request_id or "")
            for user, record in records.items()
            if record.claim_id is not None
        }
        items |= self._read(list(claims.values()))
        for user, key in claims.items():
            stored = _stored(items[key])
            if stored is not None:
                records[user] = records[user].ended(stored.claim_id, stored.claim_end)
        return [
            Known(records[user], _stored(items[_request(user, request)])) for user, request in pairs
        ]

    def _read(self, keys: Sequence[Key]) -> dict[Key, Item]:
        return dict(zip(keys, self._table.read(keys, consistent=False), strict=True))

    def read_result(self, user_id: str, request_id: str) -> StoredResult | None:
        """Read the request's result consistently."""
        return _stored(self._table.read([_request(user_id, request_id)])[0])

    def claim(
        self, user_id: str, read: UserRecord, request_id: str, window_ends_at: float
    ) -> str | None:
        """Hold the window for a call of a request; return the claim's id.

        Returns None if the user's item has changed since it was `read`. The caller has found no
        active window in it.
        """
        claim_id = str(uuid.uuid4())
        claimed = replace(
            read.with_open_claim_counted(),
            claim_id=claim_id,
            claimed_at=self._clock(),
            window_ends_at=window_ends_at,
            window_request_id=request_id,
        )
        return claim_id if self._write_user(user_id, claimed) else None

    def save(self, user_id: str, new: StoredResult, asked_at: float) -> StoredResult:
        """Store a request's result unless a valid one is stored; return the stored one.

        A known `sent` replaces any other result; every result replaces a `failed` from before
        `asked_at`. The stored result ends its claim.
        """
        key = _request(user_id, new.result.request_id)
        written = {**new.to_fields(), "expires_at": self._expires_at()}
        item: Item = {}
        for _ in range(10):
            stored = _stored(item)
            if stored is not None:
                stays = stored.holds_for(asked_at) and (stored.sent or not new.sent)
                kept, dropped = (stored, new) if stays else (new, stored)
                if dropped.claim_id not in (None, kept.claim_id):
                    # Without its result, the claim would be open.
                    self.end_claim(user_id, dropped.claim_id, dropped.claim_end)
                if stays:
                    return stored
            try:
                self._table.write(key, written, item)
            except ConflictError as conflict:
                item = conflict.item
            else:
                return new
        raise TableUnavailableError("the result was changed by other executions all the time")

    def end_claim(self, user_id: str, claim_id: str | None, end: ClaimEnd) -> None:
        """End a claim without a result, if it is still open."""
        record = user_record(self._table.read([_user(user_id)])[0])
        ended = record.ended(claim_id, end)
        if ended is not record:
            # While a claim is open, another execution writes the item only to end or replace it.
            self._write_user(user_id, ended)

    def _write_user(self, user_id: str, record: UserRecord) -> bool:
        """Replace the item that a record was read from; return False if it has changed."""
        item = {**vars(record), "item": None, "expires_at": self._expires_at()}
        try:
            self._table.write(_user(user_id), item, record.item)
        except ConflictError:
            return False
        return True

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
