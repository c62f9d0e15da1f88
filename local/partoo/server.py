"""The fake Partoo server: the API under /v2, the controls under /_control.

`FAKE_PARTOO_KEY=… python -m local.partoo.server WINDOW_SECONDS REQUESTS_PER_MINUTE` prints its base
URL as one line when it listens, and ends on SIGINT without a word.
"""

import json
import os
import re
import signal
import sys
import threading
import time
from typing import Any

from local.loopback import LoopbackHandler, LoopbackServer
from local.partoo.state import PartooState
from local.partoo.values import Answer, ApiKey, User

_POLL_SECONDS = 0.02


class FakePartooServer(LoopbackServer):
    """Serves one `PartooState`."""

    def __init__(self, state: PartooState) -> None:
        super().__init__(_Handler)
        self.state, self.lock = state, threading.Lock()

    def control(self, command: str, given: dict[str, Any]) -> Any:
        """Run a control command.

        Raises LookupError, TypeError or ValueError for one that is unknown or malformed.
        """
        match command:
            case "add_users":
                self.state.add_users([User(**each) for each in given["users"]])
            case "add_key":
                self.state.add_key(ApiKey(**given["key"]))
            case "script":
                answers = [Answer(**each) for each in given["answers"]]
                self.state.script(given["user_id"], answers)
            case "users" | "calls" | "set_churn" | "set_key" | "reset":
                return getattr(self.state, command)(**given)
            case _:
                raise LookupError(f"There is no control command {command}.")
        return None


class _Handler(LoopbackHandler):
    error_content_type = "application/json"
    error_message_format = '{"errors": {"json": "%(message)s"}}'
    server: FakePartooServer

    def receive(self) -> None:
        body = self._read_body()
        if self.path.startswith("/_control/"):
            self._control(self.path.removeprefix("/_control/"), body)
        else:
            self._call()

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,18}", length):
            # The end of this body is unknown, so the connection cannot be reused.
            self.close_connection = True
            return b""
        return self.rfile.read(int(length))

    def _control(self, command: str, body: bytes) -> None:
        try:
            with self.server.lock:
                reply = self.server.control(command, json.loads(body or b"{}"))
        except (LookupError, TypeError, ValueError) as error:
            self.answer_json(400, str(error))
        else:
            self.answer_json(200, reply)

    def _call(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            answer, call = self.server.state.receive(self.command, self.path, headers)
        for interim in answer.interim:
            self.send_head(interim, {})
        time.sleep(answer.acts_after + answer.delay_seconds)
        if answer.drop is not None:
            self.close_connection = True
            return
        # Logged before the head is sent, so that a client with its answer finds it in the log.
        call.status, content = answer.status, answer.content()
        own = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        if "Content-Length" in answer.headers or self.close_connection:
            # A scripted length may be wrong, so the connection cannot be reused.
            own["Connection"] = "close"
        self.send_head(answer.status, own | dict(answer.headers))
        if self.command != "HEAD" and answer.status not in (204, 304):
            self.wfile.write(content)


def main(window_seconds: str, requests_per_minute: str) -> None:
    if not (api_key := os.environ.get("FAKE_PARTOO_KEY")):
        sys.exit("FAKE_PARTOO_KEY must hold the API key to accept.")
    state = PartooState(
        api_key=api_key,
        window_seconds=float(window_seconds),
        requests_per_minute=int(requests_per_minute),
        clock=time.time,
    )
    signal.signal(signal.SIGINT, lambda *_: sys.exit())
    with FakePartooServer(state) as server:
        print(f"{server.url}/v2", flush=True)
        server.serve_forever(_POLL_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
