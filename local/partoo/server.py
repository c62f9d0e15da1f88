"""HTTP side of the fake Partoo server: the API under /v2, the controls under /_control."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from local.partoo.state import Answer, ApiKey, PartooState, Request, User

_HOLD_LIMIT_SECONDS = 60.0


class HeldAnswers:
    """Holds answers until a release.

    Each call takes the number of releases before it shows in the log, so that a release by a test
    that has seen the call in the log always reaches it.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._releases = 0

    def releases(self) -> int:
        with self._condition:
            return self._releases

    def wait(self, seen: int) -> None:
        """Wait for a release after `seen` releases."""
        with self._condition:
            self._condition.wait_for(lambda: self._releases > seen, _HOLD_LIMIT_SECONDS)

    def release(self) -> None:
        with self._condition:
            self._releases += 1
            self._condition.notify_all()


class FakePartooServer(ThreadingHTTPServer):
    """Serves one `PartooState` on the loopback address; port 0 takes a free one."""

    daemon_threads = True
    # Many connections may come at once. A refused one would be a fault that no script asked for.
    request_queue_size = 512

    def __init__(self, port: int, state: PartooState) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.state = state
        self.held_answers = HeldAnswers()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v2"

    def control(self, command: str, target: str, body: bytes) -> dict[str, Any]:
        """Run a control command and return its JSON answer.

        Raises LookupError for an unknown command or a missing field, TypeError or ValueError for a
        malformed one.
        """
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        payload = json.loads(body or b"{}")
        match command, path:
            case "POST", "/_control/users":
                self.state.add_users([User(**user) for user in payload["users"]])
            case "GET", "/_control/users":
                return {"users": [asdict(user) for user in self.state.users()]}
            case "PUT", "/_control/churn":
                self.state.set_churn(int(payload["accepting"]), int(payload["appearing"]))
            case "PUT", "/_control/key":
                self.state.set_key(payload["api_key"])
            case "POST", "/_control/keys":
                self.state.add_key(ApiKey(**payload["key"]))
            case "POST", "/_control/revocations":
                self.state.revoke_key(payload["api_key"])
            case "PUT", "/_control/quota":
                self.state.set_requests_per_minute(int(payload["requests_per_minute"]))
            case "PUT", "/_control/script":
                answers = [Answer(**answer) for answer in payload["answers"]]
                self.state.script(payload["user_id"], answers)
            case "GET", "/_control/calls":
                calls = self.state.calls(since=int(query.get("since", ["0"])[0]))
                return {"calls": [asdict(call) for call in calls]}
            case "POST", "/_control/release":
                self.held_answers.release()
            case "POST", "/_control/reset":
                self.state.reset()
                self.held_answers.release()
            case _:
                raise LookupError(f"There is no control command {command} {path}.")
        return {}


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
        # Before the call is logged: see HeldAnswers.
        releases = self.server.held_answers.releases()
        body = self._read_body()
        if self.path.startswith("/_control/"):
            self._control(body)
        else:
            self._answer(releases)

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,18}", length):
            # The end of this body is unknown, so the connection cannot be reused.
            self.close_connection = True
            return b""
        return self.rfile.read(int(length))

    def _control(self, body: bytes) -> None:
        try:
            status, reply = 200, self.server.control(self.command, self.path, body)
        except (LookupError, TypeError, ValueError) as error:
            status, reply = 400, {"error": str(error)}
        content = json.dumps(reply).encode()
        self._send_head(status, {}, len(content))
        self.wfile.write(content)

    def _answer(self, releases: int) -> None:
        request = Request(self.command, self.path, tuple(self.headers.items()))
        sequence, answer = self.server.state.receive(request)
        for interim in answer.interim:
            self.send_response_only(interim)
            self.end_headers()
        if answer.hold:
            self.server.held_answers.wait(releases)
        time.sleep(answer.acts_after + answer.delay_seconds)
        if answer.drop is not None:
            self.close_connection = True
            return

        content = answer.content()
        if answer.echo_headers:
            content = json.dumps(dict(request.headers)).encode()
        # Logged before the head is sent, so that a client with its answer finds it in the log.
        self.server.state.answered(sequence, answer.status)
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
        given = {name.lower() for name in headers}
        if given & {"content-length", "transfer-encoding"}:
            # A scripted length may be wrong, so the connection cannot be reused.
            self.close_connection = True
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-type" not in given:
            self.send_header("Content-Type", "application/json")
        if "content-length" not in given:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


# The base class looks up one method for each HTTP method. It answers 501 to all others, and they
# are not logged.
for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"):
    setattr(_Handler, f"do_{_method}", _Handler._dispatch)
