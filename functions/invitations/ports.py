"""What the service needs of the outside world."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from invitations.errors import QueueUnavailableError, TopicUnavailableError
from invitations.gate import Gate
from invitations.models import CallOutcome, Copy, Progress, Result

if TYPE_CHECKING:
    # Only a sweep needs these.
    from invitations.directory import View
    from invitations.sweeps import StoredSweep, Summary, Sweep

Clock = Callable[[], float]
"""Epoch seconds, now."""


T = TypeVar("T")


class SideBySide(Protocol):
    def __call__(self, work: Callable[[int], T], items: Iterable[int], /) -> list[T]:
        """Do the work for every item at once; returns what came of them, in order."""


class GateKeeper(Protocol):
    """Keeps the one gate of all executions.

    Both methods raise LedgerUnavailableError when the table does not answer.
    """

    @property
    def last_known(self) -> Gate:
        """The gate as this container last saw it."""

    def read(self) -> Gate:
        """The gate as it is now."""

    def change(self, event: Callable[[Gate], tuple[Gate, T]]) -> T:
        """Let something happen to the gate; returns what `event` says of it.

        `event` is called again when another execution was faster.
        """


class InvitationApi(Protocol):
    def invite(self, user_id: str, api_key: str) -> CallOutcome:
        """Make exactly one call. Never raises for what the network or the API does."""


class ApiKeys(Protocol):
    """Every method raises KeyUnavailableError when there is no usable key."""

    def current(self) -> str:
        """The key, read once for each container."""

    def refreshed(self, since: float) -> str:
        """The key, read again unless it was read after `since` (epoch seconds)."""


class ResultTopic(Protocol):
    def publish(self, results: Sequence[Result]) -> list[TopicUnavailableError | None]:
        """Publish all of them; returns for each, in order, why it was not taken, or None."""


class RequestQueue(Protocol):
    def defer(self, copies: Sequence[Copy]) -> list[QueueUnavailableError | None]:
        """Put copies of messages back, together; returns for each why it was not taken, or None."""

    def park(self, body: str, progress: Progress | None, result: Result) -> None:
        """Lay the message into the dead-letter queue, with the result's reason.

        Raises QueueUnavailableError.
        """


class UserSearch(Protocol):
    def search(self, view: "View", roles: Sequence[str], api_key: str) -> CallOutcome:
        """Ask once for a page of the invited users who are not disabled, ordered by address.

        `roles` empty: all. Never raises for what the network or the API does.
        """


class SweepStore(Protocol):
    """Both methods raise LedgerUnavailableError when their effect is unknown or absent."""

    def read(self) -> "tuple[int, Sweep | None]":
        """The latest sweep and its version; None and 0 when there has been none."""

    def write(self, version: int, sweep: "Sweep") -> "StoredSweep | None":
        """Put a sweep in the place of the version that was read, or return None."""


class SweepQueue(Protocol):
    def ask(self, copies: Sequence[Copy]) -> list[QueueUnavailableError | None]:
        """Put requests on the request queue; returns for each why it was not taken, or None."""

    def put_off(self, order: str, delay_seconds: int) -> None:
        """Let an order come back after a delay. Raises QueueUnavailableError."""


class SummaryTopic(Protocol):
    def publish_summary(self, summary: "Summary") -> None:
        """Raises TopicUnavailableError."""
