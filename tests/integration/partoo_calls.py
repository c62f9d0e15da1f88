"""What the adapter's tests call, and how they read what comes back."""

from invitations.outcomes import Answered, Response, Unknown
from invitations.partoo import PartooApi

KEY = "hush-hush-key"
USER = "5d2c1b7e90f3a4468be01c57"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def api_at(url: str, clock: Clock | None = None, timeout_seconds: float = 60) -> PartooApi:
    """The adapter, whose clock stands still if the test does not move it."""
    return PartooApi(url, timeout_seconds, clock or Clock())


def call(url: str, user_id: str = USER, *, timeout_seconds: float = 60) -> Response:
    return api_at(url, timeout_seconds=timeout_seconds).invite(user_id, KEY)


def status_of(response: Response) -> int | None:
    """The status; None for a call whose outcome is unknown."""
    assert isinstance(response, Answered | Unknown)
    return response.http_status if isinstance(response, Answered) else None


def excerpt_of(response: Response) -> str:
    assert isinstance(response, Answered)
    return response.excerpt
