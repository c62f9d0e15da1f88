"""Client for the controls of the fake Partoo server, and a context manager that runs the server."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urljoin

import urllib3

from local.errors import CommandError
from local.partoo.answers import Answer, Call, Operation
from local.partoo.directory import ApiKey, User
from local.partoo.state import ANY_KEY_LIST, ANY_SEARCH, ANY_USER

__all__ = [
    "ANY_KEY_LIST",
    "ANY_SEARCH",
    "ANY_USER",
    "Answer",
    "ApiKey",
    "Call",
    "ControlError",
    "PartooControl",
    "User",
    "running_fake_partoo",
]

_REPOSITORY = Path(__file__).resolve().parents[2]
_POLL_SECONDS = 0.01


class ControlError(CommandError):
    """The fake server refused a command, did not start, or did not receive calls in time."""


class PartooControl:
    """Controls the fake server at `base_url`, which ends in `/v2`, as `PartooState` describes.

    All methods raise ControlError if the server refuses the command, and
    `urllib3.exceptions.HTTPError` if it cannot be reached.
    """

    def __init__(self, base_url: str) -> None:
        self._control_url = urljoin(base_url, "/_control/")
        self._http = urllib3.PoolManager(retries=False, timeout=10.0)

    def add_users(self, *users: User) -> None:
        self._send("add_users", users=[asdict(user) for user in users])

    def users(self) -> list[User]:
        return [User(**each) for each in self._send("users")]

    def set_churn(self, *, accepting: int) -> None:
        self._send("set_churn", accepting=accepting)

    def set_key(self, api_key: str) -> None:
        self._send("set_key", api_key=api_key)

    def add_key(self, key: ApiKey) -> None:
        self._send("add_key", key=asdict(key))

    def script(self, user_id: str, *answers: Answer) -> None:
        self._send("script", user_id=user_id, answers=[asdict(answer) for answer in answers])

    def calls(
        self, user_id: str | None = None, operation: Operation | None = "invite", since: int = 0
    ) -> list[Call]:
        """Return the logged calls after the sequence number `since`, the oldest first.

        None means any user or operation.
        """
        calls = [Call(**each) for each in self._send("calls", since=since)]
        return [
            call
            for call in calls
            if user_id in (None, call.user_id) and operation in (None, call.operation)
        ]

    def emails(self, user_id: str | None = None) -> list[Call]:
        """Return the calls that sent an e-mail; `emailed_at` is its time."""
        return [call for call in self.calls(user_id) if call.email_sent]

    def wait_for_calls(
        self, count: int, user_id: str | None = None, timeout_seconds: float = 10.0
    ) -> list[Call]:
        """Wait for `count` invite calls, answered or not, and return them.

        Raises ControlError after `timeout_seconds`.
        """
        deadline = time.monotonic() + timeout_seconds
        while len(calls := self.calls(user_id)) < count:
            if time.monotonic() > deadline:
                raise ControlError(
                    f"After {timeout_seconds} s the log has {len(calls)} calls, not {count}."
                )
            time.sleep(_POLL_SECONDS)
        return calls

    def release(self) -> None:
        """Send all answers that are held now."""
        self._send("release")

    def reset(self) -> None:
        """Restore the initial state and send all held answers."""
        self._send("reset")

    def _send(self, command: str, **given: object) -> Any:
        # urllib3's own JSON is UTF-8, which cannot carry the lone surrogates of an answer's body.
        body = json.dumps(given)
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
        command, cwd=_REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            base_url = cast(IO[str], process.stdout).readline().strip()
            if not base_url:
                raise ControlError(f"The fake server ended with {process.wait()} too early.")
            yield base_url
        finally:
            process.terminate()
