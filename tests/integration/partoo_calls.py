"""What the adapter's tests call, and how they read what comes back."""

from invitations.outcomes import Answered, Response
from invitations.partoo import PartooApi

KEY = "hush-hush-key"
USER = "5d2c1b7e90f3a4468be01c57"


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def call(base_url: str, user_id: str = USER, *, timeout_seconds: float = 5) -> Response:
    return PartooApi(base_url, timeout_seconds).invite(user_id, KEY)


def status_of(response: Response) -> int:
    assert isinstance(response, Answered)
    return response.http_status


def excerpt_of(response: Response) -> str:
    assert isinstance(response, Answered)
    return response.excerpt
