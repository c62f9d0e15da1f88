"""Typed client of the stand-in's control surface, and a way to run the stand-in for a while."""

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

from local.errors import LocalStackError
from local.partoo.state import (
    ANY_KEY_LIST,
    ANY_SEARCH,
    ANY_USER,
    Answer,
    ApiKey,
    Call,
    Operation,
    User,
)

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
    "running_stand_in",
]

_REPOSITORY = Path(__file__).resolve().parents[2]
_POLL_SECONDS = 0.01
_STOP_SECONDS = 5.0


class ControlError(LocalStackError):
    """The stand-in refused a control call, or did not do what was waited for."""


class PartooControl:
    """Sets up the stand-in at `base_url` and reads what it saw; `base_url` ends in `/v2`.

    Every method raises `ControlError` when the stand-in refuses the call, and
    `urllib3.exceptions.HTTPError` when it cannot be reached.
    """

    def __init__(self, base_url: str) -> None:
        self._control_url = urljoin(base_url, "/_control/")
        self._http = urllib3.PoolManager(retries=False, timeout=10.0)

    def add_users(self, *users: User) -> None:
        """Register users; one with a known id replaces the other."""
        self._send("POST", "users", {"users": [asdict(user) for user in users]})

    def users(self) -> list[User]:
        """Return all users as they are now, in the order in which their ids were registered."""
        entries = self._send("GET", "users")["users"]
        return [User(**entry | {"business_ids": tuple(entry["business_ids"])}) for entry in entries]

    def set_churn(self, *, accepting: int = 0, appearing: int = 0) -> None:
        """Let so many users accept and appear after each search that is answered 200.

        Those who accept are any of the invited, and become active; those who appear are invited,
        created at that moment, and their addresses lie all over the list. After a reset, the same
        calls choose the same users.
        """
        self._send("PUT", "churn", {"accepting": accepting, "appearing": appearing})

    def set_key(self, api_key: str) -> None:
        """Let this be the only key that there is."""
        self._send("PUT", "key", {"api_key": api_key})

    def add_key(self, key: ApiKey) -> None:
        """Accept this key too; one with a known value replaces the other."""
        self._send("POST", "keys", {"key": asdict(key)})

    def revoke_key(self, api_key: str) -> None:
        """Accept a key no longer, as of the next call."""
        self._send("POST", "revocations", {"api_key": api_key})

    def set_requests_per_minute(self, requests_per_minute: int) -> None:
        self._send("PUT", "quota", {"requests_per_minute": requests_per_minute})

    def script(self, user_id: str, *answers: Answer) -> None:
        """Set what this user's next invite calls are answered with, one answer for each call.

        Takes the place of what was left of an earlier script. `ANY_USER` stands for every user
        without a script of their own. `ANY_SEARCH` stands for searches, `ANY_KEY_LIST` for lists of
        keys; there, a 200 without a body is answered as if it were not scripted, only with the
        script's headers and delays.
        """
        payload = {"user_id": user_id, "answers": [asdict(answer) for answer in answers]}
        self._send("PUT", "script", payload)

    def calls(
        self, user_id: str | None = None, operation: Operation | None = "invite", since: int = 0
    ) -> list[Call]:
        """Return the log, oldest first; None means any user or operation.

        `since` is the sequence number of the last call already known.
        """
        entries = self._send("GET", f"calls?since={since}")["calls"]
        calls = [Call(**entry | {"headers": tuple(entry["headers"])}) for entry in entries]
        return [
            call
            for call in calls
            if user_id in (None, call.user_id) and operation in (None, call.operation)
        ]

    def emails(self, user_id: str | None = None) -> list[Call]:
        """Return the calls that sent an e-mail, which went out at their `received_at`."""
        return [call for call in self.calls(user_id) if call.email_sent]

    def wait_for_calls(
        self, count: int, user_id: str | None = None, timeout_seconds: float = 10.0
    ) -> list[Call]:
        """Return the invite calls once there are `count` of them, answered or not.

        Raises `ControlError` when there are fewer after `timeout_seconds`.
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
        """Let every answer go that is held now."""
        self._send("POST", "release")

    def reset(self) -> None:
        """Empty users, scripts and log, take back keys, quota and churn, release held answers."""
        self._send("POST", "reset")

    def _send(self, method: str, command: str, payload: dict[str, Any] | None = None) -> Any:
        reply = self._http.request(method, self._control_url + command, json=payload or {})
        if reply.status != 200:
            raise ControlError(f"{method} {command} was answered {reply.status}: {reply.data!r}.")
        return reply.json()


@contextmanager
def running_stand_in(
    api_key: str, *, window_seconds: float = 300.0, requests_per_minute: int = 300
) -> Iterator[str]:
    """Run the stand-in as a process of its own on a free port and yield its base URL.

    Raises `ControlError` when it does not start.
    """
    command = [
        sys.executable,
        "-m",
        "local.partoo",
        f"--window-seconds={window_seconds}",
        f"--requests-per-minute={requests_per_minute}",
    ]
    environment = os.environ | {"PARTOO_STAND_IN_KEY": api_key}
    with subprocess.Popen(
        command, cwd=_REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            base_url = cast(IO[str], process.stdout).readline().strip()
            if not base_url:
                raise ControlError(f"The stand-in ended with {process.wait()} before it listened.")
            yield base_url
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
