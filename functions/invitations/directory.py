"""The vendor's list of invited users: what it says of each, and how to read it while it moves.

The list has no end that stays: people accept and leave it, others are added, and what comes behind
them moves to another page. It is read in the order of e-mail addresses, from its end to its
beginning, through views that overlap: each begins before the first user who was seen and must show
one who was seen. What lies between is then complete, however far it has moved; a user who leaves
moves nobody out of sight, and a gap shows in that the overlap is missing.

    list    a b c d e f g h i j k l            3rd view: a b c d?    c is seen
                          └─ 1st ──┘
                    └─ 2nd ──┘
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from invitations.envelopes import read_user_id
from invitations.errors import InvalidRequestError, UnreadableAnswerError

LARGEST_VIEW = 100
"""Users on one page, at most."""
_SMALLEST_VIEW = 51


@dataclass(frozen=True, slots=True)
class View:
    """A page of `size` users; pages count from 1, positions from 0."""

    page: int = 1
    size: int = LARGEST_VIEW

    @property
    def start(self) -> int:
        return (self.page - 1) * self.size

    @property
    def end(self) -> int:
        return self.page * self.size

    @classmethod
    def up_to(cls, position: int) -> "View":
        """The view that shows a position, and the most of what comes before it."""
        sizes = range(LARGEST_VIEW, _SMALLEST_VIEW - 1, -1)
        size = max(sizes, key=lambda size: position % size)
        return cls(position // size + 1, size)


@dataclass(frozen=True, slots=True)
class Member:
    """An invited user, as far as a sweep must know them; `created_at` is in epoch seconds."""

    user_id: str
    status: str
    role: str
    disabled: bool
    sso_only: bool
    created_at: float


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry of the list that says too little to invite anybody."""

    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """One answer: how many users there are, and those in view."""

    count: int
    entries: Sequence[Member | Unreadable]

    @property
    def user_ids(self) -> tuple[str, ...]:
        return tuple(each.user_id for each in self.entries if each.user_id is not None)


def read_listing(body: str) -> Listing:
    """Raises UnreadableAnswerError when the answer is no list of users."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswerError("the answer to the search is no JSON") from error
    match document:
        case {"count": int(count), "users": list(users)} if count >= 0:
            return Listing(count, [_entry(each) for each in users])
    raise UnreadableAnswerError("the answer to the search is no list of users")


def _entry(fields: Any) -> Member | Unreadable:
    try:
        user_id = read_user_id(fields.get("id"))
    except (InvalidRequestError, AttributeError):
        return Unreadable()
    match fields:
        case {
            "status": str(status),
            "role": str(role),
            "disabled": bool(disabled),
            "sso_only": bool(sso_only),
            "created_at": int(created_at) | float(created_at),
        } if not isinstance(created_at, bool):
            return Member(user_id, status, role, disabled, sso_only, created_at)
    return Unreadable(user_id)


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a list has been read."""

    position: int | None = None
    """Where the view that is to be read next has to reach; None: the list's size is unknown."""
    seen: tuple[str, ...] = ()
    """The users of the latest view, which the next must overlap."""
    ended: bool = False

    @property
    def view(self) -> View:
        return View() if self.position is None else View.up_to(self.position)

    def advance(self, listing: Listing) -> tuple["Walk", Sequence[Member | Unreadable]]:
        """Take an answer in; returns those who had not been seen."""
        view = self.view
        if self.position is None and listing.count > view.end:
            return Walk(listing.count - 1), ()
        seen = set(self.seen)
        unseen = list(takewhile(lambda each: each.user_id not in seen, listing.entries))
        overlaps = len(unseen) < len(listing.entries)
        if not overlaps and listing.count > view.end:
            # Others were added before: who was seen last has moved on, and so has who came before.
            return Walk(min(view.end, listing.count - 1), self.seen), ()
        return Walk(view.start, listing.user_ids or self.seen, ended=view.start == 0), unseen
