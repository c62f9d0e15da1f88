"""HTTP servers on the loopback address: what the fake Partoo server and the fault proxy share."""

import json
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LoopbackServer(ThreadingHTTPServer):
    """Serves each connection in a thread of its own, on a free port."""

    daemon_threads = True
    # Many connections may come at once. A refused one would be a fault that nobody asked for.
    request_queue_size = 512

    def __init__(self, handler: type["LoopbackHandler"]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"


class LoopbackHandler(BaseHTTPRequestHandler):
    """Keeps connections open, and writes nothing to stderr, which belongs to the parent process.

    A subclass reads and answers each call in its method `receive`.
    """

    protocol_version = "HTTP/1.1"
    # Head and body are separate writes; Nagle's algorithm would delay the second one.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def handle(self) -> None:
        # Clients hang up during late answers, after time-outs and when they are killed.
        with suppress(ConnectionError):
            super().handle()

    def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_head(status, {**headers, "Content-Length": str(len(content))})
        self.wfile.write(content)

    def answer_json(self, status: int, document: object) -> None:
        content = json.dumps(document, default=vars).encode()
        self.answer(status, {"Content-Type": "application/json"}, content)


# The base class looks up one method for each HTTP method, and answers 501 to all others.
for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"):
    setattr(LoopbackHandler, f"do_{_method}", lambda handler: handler.receive())
