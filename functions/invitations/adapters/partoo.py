"""The one call to the vendor's API, `POST /v2/user/{user_id}/invite`.

Retries and redirects are the service's business: here a call is made once. What decides whether
it may be repeated is whether its first byte left (RFC 9110 §9.2.2), so the connection notes that.
"""

import re
import socket
import ssl
import threading
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import quote

from urllib3 import BaseHTTPResponse, HTTPResponse, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_ import create_urllib3_context

from invitations.models import Answered, CallOutcome, NeverSent, Unanswered
from invitations.ports import Clock

API_KEY_HEADER = "x-APIKey"

_CONNECT_TIMEOUT_SECONDS = 3

# NAT gateways and load balancers drop idle connections without a word, and what became of a call
# on a dropped one is unknown. A container may sleep for minutes between two calls.
_MAX_IDLE_SECONDS = 30

# An error's body is worth a look, not a download.
_BODY_TIMEOUT_SECONDS = 1
_MAX_BODY_BYTES = 16_384
_EXCERPT_CHARACTERS = 500

_EMAIL_ADDRESS = re.compile(r"[^\s@\"'<>:]{1,64}@[^\s@\"'<>]+")

_departure = threading.local()


class _Connection(HTTPConnection):
    """Notes that a call leaves, and is not used again after a rest."""

    def __init__(self, *arguments: Any, clock: Clock, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._clock = clock
        self._used_at = clock()

    @property
    def is_connected(self) -> bool:
        return super().is_connected and self._clock() - self._used_at <= _MAX_IDLE_SECONDS

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _departure.noted = True
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 itself
        connected = self.sock
        # Every byte begins the read time-out anew; the whole head has no more time than that.
        watchdog = threading.Timer(self.timeout or 0, _cut, [connected])
        watchdog.start()
        try:
            response = super().getresponse()
        finally:
            watchdog.cancel()
        self._used_at = self._clock()
        # The head says what became of the call; the body is not worth the time of another wait.
        connected.settimeout(_BODY_TIMEOUT_SECONDS)
        return response


def _cut(connected: socket.socket) -> None:
    with suppress(OSError):
        # Past the TLS layer, which another thread is reading from.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    def __init__(self, *arguments: Any, clock: Clock, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ConnectionCls = partial(_Connection, clock=clock)  # type: ignore[assignment]  # makes them


class _TlsPool(HTTPSConnectionPool):
    def __init__(self, *arguments: Any, clock: Clock, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ConnectionCls = partial(_TlsConnection, clock=clock)  # type: ignore[assignment]  # as above


class PartooApi:
    """Calls the API at `base_url` and gives up after `timeout_seconds` without an answer."""

    def __init__(
        self, base_url: str, timeout_seconds: float, clock: Clock, connections: int
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._timeout = Timeout(
            connect=min(_CONNECT_TIMEOUT_SECONDS, timeout_seconds), read=timeout_seconds
        )
        self._pools = PoolManager(
            maxsize=connections,
            retries=False,
            timeout=self._timeout,
            ssl_context=_tls_context() if base_url.startswith("https:") else None,
        )
        self._pools.pool_classes_by_scheme = {  # the values only make pools
            "http": partial(_Pool, clock=clock),  # type: ignore[dict-item]
            "https": partial(_TlsPool, clock=clock),  # type: ignore[dict-item]
        }

    def invite(self, user_id: str, api_key: str) -> CallOutcome:
        _departure.noted = False
        try:
            response = self._pools.request(
                "POST",
                f"{self._base_url}/user/{quote(user_id, safe='')}/invite",
                headers={
                    API_KEY_HEADER: api_key,
                    "Accept": "application/json",
                    # The vendor answers 415 without it, although the call has no body.
                    "Content-Type": "application/json",
                    "User-Agent": "partoo-reinvite",
                },
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as error:
            text = _presentable(f"{type(error).__name__}: {error}", api_key)
            if _departure.noted:
                return Unanswered(text, gave_up_at=self._clock())
            return NeverSent(text)
        answered_at = self._clock()
        return Answered(
            http_status=response.status,
            answered_at=answered_at,
            retry_after=response.headers.get("Retry-After"),
            excerpt=_presentable(self._read_beginning(response, answered_at), api_key),
        )

    def _read_beginning(self, response: BaseHTTPResponse, answered_at: float) -> str:
        """The first bytes of the body, empty when it breaks off: its end could be half a key.

        The connection is kept only when that was all of it.
        """
        body = b""
        try:
            while self._clock() - answered_at < _BODY_TIMEOUT_SECONDS:
                part = response.read1(_MAX_BODY_BYTES)
                body += part
                if not part or len(body) > _MAX_BODY_BYTES:
                    if part:
                        response.close()
                    return body.decode("utf-8", errors="replace")
        except HTTPError:
            pass
        response.close()
        return ""


def _tls_context() -> ssl.SSLContext:
    """One for all connections: urllib3 would read the CA bundle again for each."""
    context = create_urllib3_context()
    context.load_default_certs()
    return context


def _presentable(text: str, api_key: str) -> str:
    """What may be logged: an answer may repeat the key, or name a person."""
    text = text.replace(api_key, "[key]")[: 2 * _EXCERPT_CHARACTERS]
    return _EMAIL_ADDRESS.sub("[e-mail]", text)[:_EXCERPT_CHARACTERS]
