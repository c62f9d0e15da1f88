"""The fake Partoo server: the API under /v2, the controls under /_control."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local.loopback import LoopbackHandler, LoopbackServer
from local.partoo.state import PartooState
from local.partoo.values import Answer, ApiKey, User


class FakePartooServer(LoopbackServer):
    """Serves one `PartooState`."""

    def __init__(self, state: PartooState) -> None:
        super().__init__(_Handler)
        self.state, self.lock = state, threading.Lock()

    def control(self, command: str, given: dict[str, Any]) -> Any:
        """Call a method of the state, given its name and its arguments as JSON has them."""
        match command:
            case "add_users":
                given = {"users": [User(**each) for each in given["users"]]}
            case "add_key":
                given = {"key": ApiKey(**given["key"])}
            case "script":
                given |= {"answers": [Answer(**each) for each in given["answers"]]}
        return getattr(self.state, command)(**given)


class _Handler(LoopbackHandler):
    server: FakePartooServer

    def receive(self) -> None:
        body = self.read_body()
        if self.path.startswith("/_control/"):
            self._control(self.path.removeprefix("/_control/"), body)
        else:
            self._call()

    def _control(self, command: str, body: bytes) -> None:
        with self.server.lock:
            reply = self.server.control(command, json.loads(body))
            content = json.dumps(reply, default=vars).encode()
        self.answer(200, {}, content)

    def _call(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            answer, call = self.server.state.receive(self.command, self.path, headers)
        time.sleep(answer.acts_after + answer.delay_seconds)
        if answer.drop is not None:
            self.close_connection = True
            return
        # Logged before the head is sent, so that a client with its answer finds it in the log.
        call.status = answer.status
        self.answer(
            answer.status, {"Content-Type": "application/json", **answer.headers}, answer.content()
        )


@contextmanager
def running_fake_partoo(
    api_key: str, *, window_seconds: float = 300.0, requests_per_minute: int = 300
) -> Iterator[str]:
    """Run the fake server for the length of the block; yields its base URL."""
    state = PartooState(
        api_key=api_key,
        window_seconds=window_seconds,
        requests_per_minute=requests_per_minute,
        clock=time.time,
    )
    with FakePartooServer(state) as server:
        yield f"{server.url}/v2"
