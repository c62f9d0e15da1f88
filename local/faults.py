"""A proxy between the functions and the local AWS that injects faults.

Tests call the local AWS directly, so that faults do not affect them.
"""

import json
import math
import random
import re
import select
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from urllib3 import BaseHTTPResponse, PoolManager
from urllib3.exceptions import HTTPError

_POLL_SECONDS = 0.02
_UPSTREAM_SECONDS = 60.0
_MOST_CONNECTIONS = 64
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
    times_left: float
    probability: float


class FaultProxy:
    """Injects faults; all methods are thread-safe."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.injected: Counter[tuple[str, Fault]] = Counter()
        self._endpoint_url = ""
        self._pool = PoolManager()
        self._lock = threading.Lock()
        self._injections: list[_Injection] = []
        self._rng = random.Random(0)  # noqa: S311  # not for security

    def forward_to(self, endpoint_url: str, ca: Path | None = None) -> None:
        """Set the endpoint of the local AWS before the first call.

        `ca`: the certificate authority of an https endpoint, None for plain http.
        """
        self._endpoint_url = endpoint_url
        # Connections are kept, because a TLS handshake is slow.
        self._pool = PoolManager(
            maxsize=_MOST_CONNECTIONS, ca_certs=ca and str(ca), timeout=_UPSTREAM_SECONDS
        )

    def forward(self, path: str, headers: Mapping[str, str], body: bytes) -> BaseHTTPResponse:
        """Send a call to the local AWS once; raises HTTPError."""
        return self._pool.request(
            "POST",
            self._endpoint_url + path,
            headers=headers,
            body=body,
            decode_content=False,
            redirect=False,
            retries=False,
        )

    def inject(
        self,
        service: str,
        kind: Fault,
        *,
        operation: str | None = None,
        containing: str = "",
        times: float = math.inf,
        probability: float = 1.0,
    ) -> None:
        """Inject a fault into calls of a service, or of one operation such as `SendMessage`.

        `containing`: a text that the call's body must have, such as an item's key.
        `times`: number of calls, without it all calls until `clear`. `probability`: share of calls
        with the fault. The first injection that applies to a call wins.
        """
        injection = _Injection(service, kind, operation, containing, times, probability)
        with self._lock:
            self._injections.append(injection)

    def clear(self) -> None:
        """End all faults and reset the counts."""
        with self._lock:
            self._injections.clear()
            self.injected.clear()

    def choose(self, service: str | None, operation: str | None, body: str) -> Fault | None:
        """Return the fault for a call and count it; None for no fault."""
        with self._lock:
            for each in self._injections:
                if (
                    each.service == service
                    and each.operation in (None, operation)
                    and each.containing in body
                    and each.times_left > 0
                    and self._rng.random() < each.probability
                ):
                    each.times_left -= 1
                    self.injected[each.service, each.fault] += 1
                    return each.fault
        return None


@contextmanager
def fault_proxy() -> Iterator[FaultProxy]:
    """Run a proxy on the loopback address for the length of the block.

    Start it before the local AWS, which passes its address to the functions.
    """
    with _Server() as server:
        # A daemon, so that an interruption that skips the end below leaves no process behind.
        serving = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        serving.start()
        try:
            yield server.proxy
        finally:
            server.ended.set()
            server.shutdown()
            serving.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 512

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.proxy = FaultProxy(f"http://127.0.0.1:{self.server_port}")
        self.ended = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are separate writes; Nagle's algorithm would delay the second one.
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Write nothing: `injected` is the record, and stderr belongs to the parent process."""

    def handle(self) -> None:
        # Clients hang up after time-outs and kills.
        with suppress(ConnectionError):
            super().handle()

    def do_POST(self) -> None:
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
                while not (self.server.ended.is_set() or self._is_hung_up()):
                    pass
                self.close_connection = True
            case Fault.DROP:
                self.close_connection = True

    def _is_hung_up(self) -> bool:
        """Wait a moment for the client to close the connection."""
        return bool(select.select([self.connection], [], [], _POLL_SECONDS)[0])

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
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP
        }
        try:
            reply = self.server.proxy.forward(self.path, headers, body)
        except HTTPError:
            answer = False
        if not answer:
            self.close_connection = True
            return
        kept = {k: v for k, v in reply.headers.items() if k.lower() not in _HOP_BY_HOP}
        self._answer(reply.status, {**kept, "Content-Length": str(len(reply.data))}, reply.data)

    def _fail(self, status: int, code: str) -> None:
        message = "The fault proxy injected this error."
        if "X-Amz-Target" in self.headers:
            kind = "application/x-amz-json-1.0"
            text = json.dumps({"__type": code, "message": message})
        else:
            kind = "text/xml"
            error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            text = f"<ErrorResponse>{error}</ErrorResponse>"
        content = text.encode()
        self._answer(status, {"Content-Type": kind, "Content-Length": str(len(content))}, content)

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
