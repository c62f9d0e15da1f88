"""The fake Partoo server: the API under /v2, the controls under /_control.

`FAKE_PARTOO_KEY=… python -m local.partoo.server WINDOW_SECONDS REQUESTS_PER_MINUTE` prints its base
URL as one line when it listens, and ends on SIGINT without a word.
"""

import contextlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.partoo.answers import Answer
from local.partoo.directory import ApiKey, User
from local.partoo.state import PartooState

_HOLD_LIMIT_SECONDS = 60.0
_POLL_SECONDS = 0.02


class FakePartooServer(ThreadingHTTPServer):
    """Serves one `PartooState` on a free port of the loopback address."""

    daemon_threads = True
    # Many connections may come at once. A refused one would be a fault that no script asked for.
    request_queue_size = 512

    def __init__(self, state: PartooState) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state
        self.release = threading.Event()
        """Of the answers that are held now; each release is followed by an event of its own."""

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
            case "users" | "calls":
                return [asdict(each) for each in getattr(self.state, command)(**given)]
            case "set_churn" | "set_key":
                getattr(self.state, command)(**given)
            case "release" | "reset":
                if command == "reset":
                    self.state.reset()
                held, self.release = self.release, threading.Event()
                held.set()
            case _:
                raise LookupError(f"There is no control command {command}.")
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are separate writes; Nagle's algorithm would delay the second one.
    disable_nagle_algorithm = True
    error_content_type = "application/json"
    error_message_format = '{"errors": {"json": "%(message)s"}}'
    server: FakePartooServer

    def log_message(self, *_: object) -> None:
        """Write nothing: the call log is the record, and stderr belongs to the parent process."""

    def handle(self) -> None:
        # Clients hang up during late and held answers.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def _dispatch(self) -> None:
        # Before the call is logged, so that a release by a test that has seen the call reaches it.
        release = self.server.release
        body = self._read_body()
        if self.path.startswith("/_control/"):
            self._control(body)
        else:
            self._answer(release)

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,18}", length):
            # The end of this body is unknown, so the connection cannot be reused.
            self.close_connection = True
            return b""
        return self.rfile.read(int(length))

    def _control(self, body: bytes) -> None:
        command = self.path.removeprefix("/_control/")
        try:
            status, reply = 200, self.server.control(command, json.loads(body or b"{}"))
        except (LookupError, TypeError, ValueError) as error:
            status, reply = 400, str(error)
        content = json.dumps(reply).encode()
        self._send_head(status, {}, len(content))
        self.wfile.write(content)

    def _answer(self, release: threading.Event) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer, note = self.server.state.receive(self.command, self.path, headers)
        for interim in answer.interim:
            self.send_response_only(interim)
            self.end_headers()
        if answer.hold:
            release.wait(_HOLD_LIMIT_SECONDS)
        time.sleep(answer.acts_after + answer.delay_seconds)
        if answer.drop is not None:
            self.close_connection = True
            return
        content = answer.content()
        if answer.echo_headers:
            content = json.dumps(dict(self.headers)).encode()
        # Logged before the head is sent, so that a client with its answer finds it in the log.
        note()
        self._send_head(answer.status, answer.headers, len(content))
        if self.command == "HEAD" or answer.status in (204, 304):
            return
        if answer.drip_seconds:
            for byte in content:
                time.sleep(answer.drip_seconds / len(content))
                self.wfile.write(bytes([byte]))
        else:
            self.wfile.write(content)

    def _send_head(self, status: int, headers: Mapping[str, str], length: int) -> None:
        if "Content-Length" in headers:
            # A scripted length may be wrong, so the connection cannot be reused.
            self.close_connection = True
        own = {"Content-Type": "application/json", "Content-Length": str(length)}
        if self.close_connection:
            own["Connection"] = "close"
        self.send_response(status)
        for name, value in (own | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()


# The base class looks up one method for each HTTP method. It answers 501 to all others, and they
# are not logged.
for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"):
    setattr(_Handler, f"do_{_method}", _Handler._dispatch)


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
        print(f"http://127.0.0.1:{server.server_port}/v2", flush=True)
        server.serve_forever(_POLL_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
