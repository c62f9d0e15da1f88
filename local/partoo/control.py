"""Client for the controls of the fake Partoo server, and a context manager that runs the server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast
from urllib.parse import urljoin

import urllib3

from local.aws import REPOSITORY
from local.errors import CommandError
from local.partoo.values import ANY_SEARCH, ANY_USER, Answer, ApiKey, Call, User

__all__ = ["ANY_SEARCH", "ANY_USER", "Answer", "ApiKey", "Call", "User"]


class ControlError(CommandError):
    """The fake server refused a command, or did not start."""


class PartooControl:
    """Controls the fake server at `base_url`, which ends in `/v2`, as `PartooState` describes.

    All methods raise ControlError if the server refuses the command, and
    `urllib3.exceptions.HTTPError` if it cannot be reached.
    """

    def __init__(self, base_url: str) -> None:
        self._control_url = urljoin(base_url, "/_control/")
        self._http = urllib3.PoolManager(retries=False, timeout=60.0)

    def add_users(self, *users: User) -> None:
        self._send("add_users", users=users)

    def users(self) -> list[User]:
        return [User(**each) for each in self._send("users")]

    def set_churn(self, *, accepting: int) -> None:
        self._send("set_churn", accepting=accepting)

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
        reply = self._http.request("POST", self._control_url + command, body=body)
        if reply.status != 200:
            raise ControlError(f"{command} was answered {reply.status}: {reply.data!r}.")
        return reply.json()


@contextmanager
def running_fake_partoo(
    api_key: str, *, window_seconds: float = 300.0, requests_per_minute: int = 300
) -> Iterator[str]:
    """Run the fake server in a process of its own; yields its base URL.

    Raises ControlError if the server does not start.
    """
    command = [sys.executable, "-m", "local.partoo.server"]
    command += [str(window_seconds), str(requests_per_minute)]
    environment = os.environ | {"FAKE_PARTOO_KEY": api_key}
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            base_url = cast(IO[str], process.stdout).readline().strip()
            if not base_url:
                raise ControlError(f"The fake server ended with {process.wait()} too early.")
            yield base_url
        finally:
            process.terminate()
