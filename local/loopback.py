"""HTTP servers on the loopback address: what the fake Partoo server and the fault proxy share."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

_POLL_SECONDS = 0.02


class LoopbackServer(ThreadingHTTPServer):
    """Serves for the length of a `with` block, each connection in a thread, on a free port."""

    daemon_threads = True
    # Many connections may come at once. A refused one would be a fault that nobody asked for.
    request_queue_size = 512

    def __init__(self, handler: type["LoopbackHandler"]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        # A daemon, so that an interruption that skips the end leaves no process behind.
        threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class LoopbackHandler(BaseHTTPRequestHandler):
    """Keeps connections open, and writes nothing to stderr, which belongs to the command.

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

    def read_body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(content)


# The base class looks up one method for each HTTP method, and answers 501 to all others.
for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"):
    setattr(LoopbackHandler, f"do_{_method}", lambda handler: handler.receive())
