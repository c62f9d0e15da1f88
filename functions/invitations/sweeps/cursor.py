"""How the vendor's list of invited users is read while it changes. No AWS, no clock.

The list is read in the order of e-mail addresses, from its end to its beginning, in pages that
overlap: each page begins before the first user of the previous page and must show one of its users.
Everybody between has then been read, however many users left the list or were added meanwhile.

    list    a b c d e f g h i j k l
                          └─ 1st ──┘
                    └─ 2nd ──┘
            └─ 3rd ──┘                  shows e, as the 2nd page did
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, NamedTuple

from invitations.requests import read_user_id
from invitations.shapes import FieldError

LARGEST_PAGE = 100
# One of the sizes from here on shows a position near the end of its page.
_SMALLEST_PAGE = 51

# Neither milliseconds nor numbers too large to calculate with.
_MAX_EPOCH_SECONDS = 10**11


class UnreadableAnswerError(Exception):
    """The answers to the searches do not make a list; the message is a sentence that says why."""


class Page(NamedTuple):
    """Pages count from 1, positions from 0; `end` is the first position behind the page."""

    number: int = 1
    size: int = LARGEST_PAGE

    @property
    def start(self) -> int:
        return (self.number - 1) * self.size

    @property
    def end(self) -> int:
        return self.number * self.size


@dataclass(frozen=True)
class FoundUser:
    """An entry of the list; without `created_at` it says too little to invite anybody."""

    user_id: str | None
    status: str = ""
    role: str = ""
    disabled: bool = False
    sso_only: bool = False
    created_at: float | None = None
    """Epoch seconds."""
    org_id: str | None = None


def read_listing(body: str, page: Page) -> tuple[int, list[FoundUser]]:
    """Read how many users a search finds, and those on the page.

    Raises UnreadableAnswerError when it is no list of users, or contradicts itself.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableAnswerError("The answer to the search is not JSON.") from None
    match document:
        case {"count": int(count), "users": list(users)} if count >= 0:
            shown = document.get("page", page.number)
        case _:
            raise UnreadableAnswerError("The answer to the search has no count or no users.")
    expected = min(max(count - page.start, 0), page.size)
    if shown != page.number or len(users) != expected:
        raise UnreadableAnswerError(
            f"The API counts {count} users, so page {page.number} ({page.size} a page) has to "
            f"show {expected}; it shows {len(users)} as page {shown!r:.20}. If it limits what a "
            "search finds, sweep one role after another."
        )
    return count, [_user(each) for each in users]


def _user(entry: Any) -> FoundUser:
    try:
        user_id = read_user_id(entry.get("id"))
    except (FieldError, AttributeError):
        return FoundUser(None)
    match entry:
        case {
            "status": str(status),
            "role": str(role),
            "disabled": bool(disabled),
            "sso_only": bool(sso_only),
            "created_at": int(created_at) | float(created_at),
        } if not isinstance(created_at, bool) and 0 <= created_at < _MAX_EPOCH_SECONDS:
            org_id = None if entry.get("org_id") is None else str(entry["org_id"])
            return FoundUser(user_id, status, role, disabled, sso_only, created_at, org_id)
    return FoundUser(user_id)


@dataclass(frozen=True)
class Cursor:
    """How far a list has been read."""

    position: int | None = None
    """What the next page has to show; None: the list's length is unknown; 0: nothing is left."""
    seen: tuple[str, ...] = ()
    """The users of the latest page, one of whom the next page has to show."""
    listed: int = 0
    """The list's length when it was first known."""

    @property
    def page(self) -> Page:
        """The page that shows the position and the most users before it."""
        position = self.position
        if position is None:
            return Page()
        size = max(range(LARGEST_PAGE, _SMALLEST_PAGE - 1, -1), key=lambda size: position % size)
        return Page(position // size + 1, size)

    @property
    def has_ended(self) -> bool:
        return self.position == 0

    def advance(self, count: int, users: Sequence[FoundUser]) -> tuple["Cursor", list[FoundUser]]:
        """Return the cursor after an answer, and the users whom no earlier page showed."""
        page = self.page
        if self.position is None and count >= page.end:
            # One position behind the last user: somebody there would contradict the count.
            return Cursor(count, listed=count), []
        unseen = list(takewhile(lambda user: user.user_id not in self.seen, users))
        if len(unseen) == len(users) and count > page.end:
            # Users were added: those of the latest page have moved behind this one.
            return replace(self, position=min(page.end, count)), []
        user_ids = tuple(user.user_id for user in users if user.user_id is not None)
        return replace(self, position=page.start, seen=user_ids or self.seen), unseen
