"""A proxy between the functions and the local AWS, in which a service can have an outage.

Tests call the local AWS directly, so that faults do not affect them.
"""

import random
import re
import select
import threading
from collections import Counter
from enum import Enum
from pathlib import Path

from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

from local.loopback import LoopbackHandler, LoopbackServer

# Longer than the time-outs of the functions' clients.
_HANG_SECONDS = 60.0
# Headers of one connection, which a proxy must not forward.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
# AWS Signature Version 4: Credential=KEY/DATE/REGION/SERVICE/aws4_request.
_CREDENTIAL_SCOPE = re.compile(r"Credential=[^/,]+/[^/,]+/[^/,]+/([^/,]+)/aws4_request")


class Fault(Enum):
    """What happens to a call. With all faults but LOSE_REPLY, AWS does not receive the call."""

    REFUSE = "answered 500"
    LOSE_REPLY = "carried out, then the connection is closed without an answer"
    HANG = "never answered, until the client gives up"


class FaultProxy(LoopbackServer):
    """Forwards calls to the local AWS, except those that an outage concerns.

    Start it before the local AWS, which passes its address to the functions.
    """

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.injected: Counter[tuple[str, Fault]] = Counter()
        self.upstream, self.pool = "", PoolManager()
        self.outage: tuple[str, Fault, float] | None = None
        """The service whose calls are faulty, how, and with what probability."""
        self._lock = threading.Lock()
        self._rng = random.Random(0)  # noqa: S311  # not for security

    def forward_to(self, endpoint_url: str, ca: Path | None = None) -> None:
        """Set the endpoint of the local AWS before the first call.

        `ca`: the certificate authority of an https endpoint, None for plain http.
        """
        self.upstream = endpoint_url
        # Connections are kept, because a TLS handshake is slow.
        self.pool = PoolManager(maxsize=64, ca_certs=ca and str(ca), timeout=60.0)

    def choose(self, service: str) -> Fault | None:
        """Return the fault for a call and count it; None for no fault."""
        with self._lock:
            if self.outage is None:
                return None
            concerned, fault, probability = self.outage
            if service != concerned or self._rng.random() >= probability:
                return None
            self.injected[service, fault] += 1
            return fault


class _Handler(LoopbackHandler):
    server: FaultProxy

    def receive(self) -> None:
        body = self.read_body()
        scope = _CREDENTIAL_SCOPE.search(self.headers.get("Authorization", ""))
        match self.server.choose(scope[1] if scope else ""):
            case None:
                self._forward(body, answer=True)
            case Fault.LOSE_REPLY:
                self._forward(body, answer=False)
            case Fault.REFUSE:
                # The SDK takes a 500 without a body for an error of any protocol.
                self.answer(500, {}, b"")
            case Fault.HANG:
                # The connection becomes readable when the client closes it.
                select.select([self.connection], [], [], _HANG_SECONDS)
                self.close_connection = True

    def _forward(self, body: bytes, *, answer: bool) -> None:
        """Send the call to the local AWS once."""
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        try:
            reply = self.server.pool.urlopen(
                "POST",
                self.server.upstream + self.path,
                redirect=False,
                headers=headers,
                body=body,
                decode_content=False,
                retries=False,
            )
        except HTTPError:
            answer = False
        if answer:
            kept = {k: v for k, v in reply.headers.items() if k.lower() not in _HOP_BY_HOP}
            self.answer(reply.status, kept, reply.data)
        else:
            self.close_connection = True
