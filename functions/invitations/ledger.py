"""The ledger: who may call the API for a user now, and what became of each request.

A user has one item with the window, the claim of the execution that calls now, and the counts; each
request that ended has an item with its result. Times are epoch seconds.

    A  read ── claim ── call ── save ── end claim         the window: answer + InviteWindowSeconds
    B     read ── claim: refused, the item has changed

A crash after `save` leaves the claim open: the next execution that finds the result ends it. A
crash before leaves a claim that nobody ends: the window is over when the claim's hold is, and the
next claim counts an e-mail that may have been sent. The user's item names the request that holds
the window: its duplicates wait for the end of the window and are not skipped.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from invitations.errors import TableUnavailableError
from invitations.messages import Ending, SweepCriteria
from invitations.results import Result
from invitations.table import ConflictError, Item, Key, Table

CLOCK_SKEW_SECONDS = 2
"""Executions read different clocks: a window is over when it is over on a clock this far behind."""

_DAY_SECONDS = 86_400
# More than UserDailyLimit can be.
_MOST_TIMES = 100
_TRIES = 10


@dataclass(frozen=True)
class Claim:
    """The right of one execution to call the API for one user."""

    claim_id: str
    request_id: str
    claimed_at: float


@dataclass(frozen=True)
class UserRecord:
    """What is known of a user."""

    window_ends_at: float = 0.0
    window_request_id: str | None = None
    """The request whose call holds the window, or held the latest one."""
    claim: Claim | None = None
    """Open until it is ended."""
    sent_count: int = 0
    maybe_sent_count: int = 0
    """Calls whose outcome is unknown."""
    invited_at: tuple[float, ...] = ()
    """When the latest invitations were sent, or may have been; the newest last."""
    item: Item = field(default_factory=dict)
    """The table's item that this was read from."""

    @property
    def claimed_at(self) -> float:
        """When the open claim was made; 0 without one."""
        return 0.0 if self.claim is None else self.claim.claimed_at

    def active_window(self, now: float) -> float | None:
        """When the window ends that is not over by every clock, or None."""
        return self.window_ends_at if self.window_ends_at + CLOCK_SKEW_SECONDS > now else None

    def claim_of(self, request_id: str) -> Claim | None:
        """The open claim, if it is of this request."""
        return self.claim if self.claim and self.claim.request_id == request_id else None

    def exceeds(self, daily_limit: int, now: float) -> bool:
        """Whether the user got as many invitations as 24 hours allow; 0 allows any number."""
        latest = [at for at in self.invited_at if at > now - _DAY_SECONDS]
        return 0 < daily_limit <= len(latest)

    def not_due(self, criteria: SweepCriteria, now: float) -> str | None:
        """Why a sweep must leave the user alone, or None."""
        if self.sent_count + self.maybe_sent_count >= criteria.max_invites:
            return "max_invites_reached"
        if self.invited_at and now - self.invited_at[-1] < criteria.min_age_seconds:
            return "asked_recently"
        return None

    def with_open_claim_counted(self) -> "UserRecord":
        """Without an open claim: one that was never ended may have sent an e-mail."""
        if self.claim is None:
            return self
        return replace(self.invited(self.claim.claimed_at, sent=False), claim=None)

    def claimed(self, claim: Claim, hold_until: float) -> "UserRecord":
        return replace(
            self.with_open_claim_counted(),
            claim=claim,
            window_ends_at=hold_until,
            window_request_id=claim.request_id,
        )

    def ended(
        self, window_ends_at: float | None, invited_at: float | None, *, sent: bool
    ) -> "UserRecord":
        """Without the claim; `invited_at` None: no e-mail can have gone out."""
        after = self if invited_at is None else self.invited(invited_at, sent=sent)
        return replace(after, claim=None, window_ends_at=window_ends_at or 0.0)

    def invited(self, at: float, *, sent: bool) -> "UserRecord":
        return replace(
            self,
            sent_count=self.sent_count + sent,
            maybe_sent_count=self.maybe_sent_count + (not sent),
            invited_at=(*self.invited_at, at)[-_MOST_TIMES:],
        )


@dataclass(frozen=True)
class Known:
    """What the table says of a user and one of the user's requests."""

    user: UserRecord
    ending: Ending | None
    """How the request ended, if it did."""
    item: Item = field(default_factory=dict)
    """The table's item that the ending was read from."""


class Ledger:
    """Every method raises TableUnavailableError when its effect is unknown or absent."""

    def __init__(self, table: Table, history_days: int, clock: Callable[[], float]) -> None:
        self._table = table
        self._history_seconds = history_days * _DAY_SECONDS
        self._clock = clock

    def read(self, user_id: str, request_id: str) -> Known:
        return self.read_many([(user_id, request_id)])[0]

    def read_many(self, pairs: Sequence[tuple[str, str]]) -> list[Known]:
        """What is known of pairs of a user and a request."""
        keys = [key for user, request in pairs for key in (_user(user), _request(user, request))]
        each_once = list(dict.fromkeys(keys))
        items = dict(zip(each_once, self._table.read(each_once), strict=True))
        return [
            _known(items[_user(user)], items[_request(user, request)]) for user, request in pairs
        ]

    def claim(
        self, user_id: str, seen: UserRecord, claim: Claim, hold_until: float
    ) -> UserRecord | None:
        """Take the window until `hold_until`; None when the user's item was changed since `seen`.

        The caller has seen that no window is active. Returns the record with the claim.
        """
        claimed = seen.claimed(claim, hold_until)
        try:
            item = self._table.write(_user(user_id), self._user_item(claimed), seen.item)
        except ConflictError:
            return None
        return replace(claimed, item=item)

    def read_ending(self, user_id: str, request_id: str) -> Known:
        """What became of the request meanwhile; the user is not looked at."""
        return _known({}, self._table.read([_request(user_id, request_id)])[0])

    def save(self, user_id: str, ending: Ending, asked_at: float, seen: Item) -> Ending:
        """Store how a request ended, unless an end is stored that counts; returns what counts.

        A known `sent` replaces any other end; every end replaces a `failed` that was stored before
        the request was asked for (`asked_at`). `seen` is the item as it was read; empty, when it
        was not.
        """
        key = _request(user_id, ending.result.request_id)
        item = {
            **asdict(ending),
            "result": ending.result.to_json(),
            "expires_at": self._expires_at(),
        }
        for _ in range(_TRIES):
            stored = _ending(seen)
            if stored is not None and stored.answers(asked_at) and (stored.sent or not ending.sent):
                return stored
            try:
                self._table.write(key, item, seen)
            except ConflictError as conflict:
                seen = conflict.item
            else:
                return ending
        raise TableUnavailableError("the result was changed by other executions all the time")

    def end_claim(
        self,
        user_id: str,
        claim_id: str,
        claimed: UserRecord | None,
        window_ends_at: float | None,
        invited_at: float | None,
        *,
        sent: bool,
    ) -> None:
        """End a claim: the window ends at `window_ends_at` (None: it is free at once).

        `invited_at` is when an e-mail went out (`sent`) or may have. Nothing happens when the claim
        is no longer open. `claimed` is the record with the claim, None: it is read.
        """
        record = claimed or _user_record(self._table.read([_user(user_id)])[0])
        for _ in range(_TRIES):
            if record.claim is None or record.claim.claim_id != claim_id:
                return
            ended = record.ended(window_ends_at, invited_at, sent=sent)
            try:
                self._table.write(_user(user_id), self._user_item(ended), record.item)
            except ConflictError as conflict:
                record = _user_record(conflict.item)
            else:
                return
        raise TableUnavailableError("the user's item was changed by other executions all the time")

    def _user_item(self, record: UserRecord) -> dict[str, Any]:
        claim = record.claim
        opened: dict[str, Any] = {}
        if claim is not None:
            opened = {
                "claim_id": claim.claim_id,
                "claim_request_id": claim.request_id,
                "claimed_at": claim.claimed_at,
            }
        return {
            **opened,
            "window_ends_at": record.window_ends_at or None,
            "window_request_id": record.window_request_id,
            "sent_count": record.sent_count,
            "maybe_sent_count": record.maybe_sent_count,
            "invited_at": list(record.invited_at),
            "expires_at": self._expires_at(),
        }

    def _expires_at(self) -> int:
        return int(self._clock()) + self._history_seconds


def _user(user_id: str) -> Key:
    return f"USER#{user_id}", "USER"


def _request(user_id: str, request_id: str) -> Key:
    return f"USER#{user_id}", f"REQUEST#{request_id}"


def _user_record(item: Item) -> UserRecord:
    claim = None
    if "claim_id" in item:
        claim = Claim(item["claim_id"], item["claim_request_id"], item["claimed_at"])
    return UserRecord(
        window_ends_at=item.get("window_ends_at", 0.0),
        window_request_id=item.get("window_request_id"),
        claim=claim,
        sent_count=int(item.get("sent_count", 0)),
        maybe_sent_count=int(item.get("maybe_sent_count", 0)),
        invited_at=tuple(item.get("invited_at", ())),
        item=item,
    )


def _known(user: Item, request: Item) -> Known:
    return Known(_user_record(user), _ending(request), request)


def _ending(item: Item) -> Ending | None:
    if not item:
        return None
    return Ending(
        result=Result.from_json(item["result"]),
        ended_at=item["ended_at"],
        claim_id=item.get("claim_id"),
        window_ends_at=item.get("window_ends_at"),
        invited_at=item.get("invited_at"),
    )
