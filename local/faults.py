"""A proxy between the functions and the local AWS that injects faults.

Tests call the local AWS directly, so that faults do not affect them.
"""

import json
import random
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

_POLL_SECONDS = 0.02
_UPSTREAM_SECONDS = 60.0
# Less than the 75 s of the local AWS, so that no call meets a connection that it has just closed.
_IDLE_SECONDS = 30.0
# Headers of one connection, which a proxy must not forward.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}
# AWS Signature Version 4: Credential=KEY/DATE/REGION/SERVICE/aws4_request.
_CREDENTIAL_SCOPE = re.compile(r"Credential=[^/,]+/[^/,]+/[^/,]+/(?P<service>[^/,]+)/aws4_request")
_THROTTLED = {
    "dynamodb": (400, "ProvisionedThroughputExceededException"),
    "secretsmanager": (400, "ThrottlingException"),
    "sns": (429, "Throttled"),
    "sqs": (403, "RequestThrottled"),
}


class Fault(Enum):
    """What happens to a call. With all faults but LOSE_REPLY, AWS does not receive the call."""

    REFUSE = "answered 500"
    THROTTLE = "answered with the service's own throttling error"
    LOSE_REPLY = "carried out, then the connection is closed without an answer"
    HANG = "never answered, until the client gives up"
    DROP = "the connection is closed"


@dataclass
class _Injection:
    service: str
    fault: Fault
    operation: str | None
    containing: str
    times_left: int | None
    probability: float
    rng: random.Random

    def applies(self, service: str | None, operation: str | None, body: str) -> bool:
        """Decide whether the fault applies to a call, and count it."""
        if service != self.service or self.operation not in (None, operation):
            return False
        if self.containing not in body:
            return False
        if self.times_left == 0 or self.rng.random() >= self.probability:
            return False
        if self.times_left is not None:
            self.times_left -= 1
        return True


class FaultProxy:
    """Injects faults; all methods are thread-safe."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._upstream = urlsplit("")
        self._tls: ssl.SSLContext | None = None
        self.injected: Counter[tuple[str, Fault]] = Counter()
        self._lock = threading.Lock()
        self._injections: list[_Injection] = []

    def forward_to(self, endpoint_url: str, ca: Path | None = None) -> None:
        """Set the endpoint of the local AWS before the first call.

        `ca`: the certificate authority of an https endpoint, None for plain http.
        """
        self._upstream = urlsplit(endpoint_url)
        self._tls = None if ca is None else ssl.create_default_context(cafile=ca)

    def connection(self) -> HTTPConnection:
        """Return a new connection to the local AWS, not yet open."""
        host, port = self._upstream.hostname or "", self._upstream.port
        if self._tls is None:
            return HTTPConnection(host, port, timeout=_UPSTREAM_SECONDS)
        return HTTPSConnection(host, port, timeout=_UPSTREAM_SECONDS, context=self._tls)

    def inject(
        self,
        service: str,
        kind: Fault,
        *,
        operation: str | None = None,
        containing: str = "",
        times: int | None = None,
        probability: float = 1.0,
        rng: random.Random | None = None,
    ) -> None:
        """Inject a fault into calls of a service, or of one operation such as `SendMessage`.

        `containing`: a text that the call's body must have, such as an item's key.
        `times`: number of calls, None for all calls until `clear`. `probability`: share of calls
        with the fault. The first injection that applies to a call wins.
        """
        rng = rng or random.Random()  # noqa: S311  # not for security
        injection = _Injection(service, kind, operation, containing, times, probability, rng)
        with self._lock:
            self._injections.append(injection)

    def clear(self) -> None:
        """End all faults and reset the counts."""
        with self._lock:
            self._injections.clear()
            self.injected.clear()

    def choose(self, service: str | None, operation: str | None, body: str = "") -> Fault | None:
        """Return the fault for a call and count it; None for no fault."""
        with self._lock:
            for injection in self._injections:
                if injection.applies(service, operation, body):
                    self.injected[injection.service, injection.fault] += 1
                    return injection.fault
        return None


@contextmanager
def fault_proxy() -> Iterator[FaultProxy]:
    """Run a proxy on the loopback address for the length of the block.

    Start it before the local AWS, which passes its address to the functions.
    """
    with _Server() as server:
        serving = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,))
        serving.start()
        try:
            yield server.proxy
        finally:
            server.shutdown()
            serving.join()
            server.hang_up()


class _Server(ThreadingHTTPServer):
    # Closing waits for all threads; hang_up ends them.
    daemon_threads = False
    request_queue_size = 512

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = FaultProxy(f"http://127.0.0.1:{self.server_port}")
        self._open: set[Any] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        with self._lock:
            for request in self._open:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are separate writes; Nagle's algorithm would delay the second one.
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Write nothing: `injected` is the record, and stderr belongs to the parent process."""

    def setup(self) -> None:
        super().setup()
        # One upstream connection for each client connection, because a TLS handshake is slow. After
        # close() it reopens with the next call.
        self._upstream = self.server.proxy.connection()
        self._used_at = time.monotonic()

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def handle(self) -> None:
        # Clients hang up after time-outs and kills.
        with suppress(ConnectionError):
            super().handle()

    def _dispatch(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service, operation = self._service(), self._operation(body)
        match self.server.proxy.choose(service, operation, body.decode(errors="replace")):
            case None:
                self._forward(body, answer=True)
            case Fault.LOSE_REPLY:
                self._forward(body, answer=False)
            case Fault.REFUSE:
                self._fail(500, "InternalServerError")
            case Fault.THROTTLE:
                self._fail(*_THROTTLED[str(service)])
            case Fault.HANG:
                # Returns when the client closes the connection.
                self.connection.recv(1)
                self.close_connection = True
            case Fault.DROP:
                self.close_connection = True

    def _service(self) -> str | None:
        scope = _CREDENTIAL_SCOPE.search(self.headers.get("Authorization", ""))
        return scope and scope["service"]

    def _operation(self, body: bytes) -> str | None:
        target = self.headers.get("X-Amz-Target")
        if target is not None:
            return target.rpartition(".")[2]
        form = parse_qs(body.decode("utf-8", errors="replace"))
        return form.get("Action", [None])[0]

    def _forward(self, body: bytes, *, answer: bool) -> None:
        if time.monotonic() - self._used_at > _IDLE_SECONDS:
            self._upstream.close()
        self._used_at = time.monotonic()
        try:
            self._upstream.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    self._upstream.putheader(name, value)
            self._upstream.endheaders(body)
            reply = self._upstream.getresponse()
            content = reply.read()
        except (OSError, HTTPException):
            self._upstream.close()
            answer = False
        if not answer:
            self.close_connection = True
            return
        headers = [pair for pair in reply.getheaders() if pair[0].lower() not in _HOP_BY_HOP]
        if reply.getheader("Content-Length") is None:
            headers.append(("Content-Length", str(len(content))))
        self._answer(reply.status, headers, content)

    def _fail(self, status: int, code: str) -> None:
        message = "The fault proxy injected this error."
        if "X-Amz-Target" in self.headers:
            kind, text = (
                "application/x-amz-json-1.0",
                json.dumps({"__type": code, "message": message}),
            )
        else:
            kind, text = (
                "text/xml",
                f"<ErrorResponse><Error><Code>{escape(code)}</Code>"
                f"<Message>{escape(message)}</Message></Error></ErrorResponse>",
            )
        content = text.encode()
        headers = [("Content-Type", kind), ("Content-Length", str(len(content)))]
        self._answer(status, headers, content)

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


# The base class looks up one method for each HTTP method.
for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler._dispatch)
