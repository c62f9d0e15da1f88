"""Client for the controls of the fake Partoo server."""

import json
from typing import Any
from urllib.parse import urljoin

import urllib3

from local.partoo.values import ANY_SEARCH, ANY_USER, Answer, ApiKey, Call, User

__all__ = ["ANY_SEARCH", "ANY_USER", "Answer", "ApiKey", "Call", "User"]


class PartooControl:
    """Controls the fake server at `base_url`, which ends in `/v2`, as `PartooState` describes.

    All methods raise `urllib3.exceptions.HTTPError` if the server cannot be reached, or fails.
    """

    def __init__(self, base_url: str) -> None:
        self._control_url = urljoin(base_url, "/_control/")
        self._http = urllib3.PoolManager(retries=False, timeout=60.0)

    def add_users(self, *users: User) -> None:
        self._send("add_users", users=users)

    def set_key(self, api_key: str) -> None:
        self._send("set_key", api_key=api_key)

    def add_key(self, key: ApiKey) -> None:
        self._send("add_key", key=key)

    def script(self, user_id: str, *answers: Answer) -> None:
        self._send("script", user_id=user_id, answers=answers)

    def calls(self, user_id: str | None = None) -> list[Call]:
        """Return the invite calls of one user or of all, the oldest first."""
        calls = [Call(**each) for each in self._send("calls")]
        invitations = [call for call in calls if call.operation == "invite"]
        return [call for call in invitations if user_id in (None, call.user_id)]

    def emails(self, user_id: str | None = None) -> list[Call]:
        """Return the calls that sent an e-mail; `emailed_at` is its time."""
        return [call for call in self.calls(user_id) if call.email_sent]

    def reset(self) -> None:
        self._send("reset")

    def _send(self, command: str, **given: object) -> Any:
        # urllib3's own JSON is UTF-8, which cannot carry the lone surrogates of an answer's body.
        body = json.dumps(given, default=vars)
        return self._http.request("POST", self._control_url + command, body=body).json()
