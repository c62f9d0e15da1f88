"""The calls to the vendor's API, each made once: no retries, no redirects, no proxy.

Whether a call can have been sent is decided from urllib3's exceptions: it was not sent only if the
connection was never established. Whatever else goes wrong, the outcome is unknown.
"""

import ssl
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, Timeout, connection_from_url
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    SSLError,
)
from urllib3.util import create_urllib3_context, parse_url

from invitations.limiter_state import CONNECT_TIMEOUT_SECONDS
from invitations.outcomes import Answered, NotSent, Response, Unknown
from invitations.redaction import excerpt

API_KEY_HEADER = "x-APIKey"

CONNECTIONS = 10

_POOL_SECONDS = 20.0
"""Load balancers and NAT gateways silently drop idle connections, and the outcome of a call on a
dropped one is unknown. A pool is younger than this, so no connection is idle for longer."""

# Limits for reading a body: of an error, and of a page with a hundred users or keys.
_BODY_SECONDS, _MAX_BODY_BYTES = 1.0, 16_384
_PAGE_SECONDS, _MAX_PAGE_BYTES = 5.0, 2 * 1024 * 1024


class PartooApi:
    """The API at `base_url`; a call gives up `timeout_seconds` after the last byte it received."""

    def __init__(
        self, base_url: str, timeout_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._base_url = base_url
        self._path = (parse_url(base_url).path or "").rstrip("/")
        self._timeout = Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=timeout_seconds)
        self._clock = clock
        self._tls = _tls_context() if base_url.startswith("https:") else None
        self._lock = threading.Lock()
        self._pool = self._make_pool()
        self._pool_made_at = clock()

    def invite(self, user_id: str, api_key: str) -> Response:
        """Make `POST /user/{user_id}/invite`; never raises for what the network or the API does."""
        return self._call("POST", f"/user/{quote(user_id, safe='')}/invite", api_key)

    def search(self, query: dict[str, str], api_key: str) -> Response:
        """Make `GET /user/search`; a 200 has all of its body."""
        return self._call("GET", f"/user/search?{urlencode(query)}", api_key, is_page=True)

    def list_keys(self, api_key: str) -> Response:
        """Make `GET /api_keys` for keys neither revoked nor expired; a 200 has all of its body."""
        # The vendor also finds a key by its value; in a URL it would end up in logs.
        query = urlencode({"status": "active", "per_page": "100"})
        return self._call("GET", f"/api_keys?{query}", api_key, is_page=True)

    def _call(self, method: str, target: str, api_key: str, *, is_page: bool = False) -> Response:
        try:
            response = self._current_pool().urlopen(
                method,
                self._path + target,
                headers={
                    API_KEY_HEADER: api_key,
                    "Accept": "application/json",
                    # The API answers a POST without it with 415, although there is no body.
                    "Content-Type": "application/json",
                    "User-Agent": "partoo-reinvite",
                },
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as error:
            text = excerpt(f"{type(error).__name__}: {error}", api_key)
            return NotSent(text) if _was_not_sent(error) else Unknown(text, self._clock())
        answered_at = self._clock()
        if response.status < 200:
            # Close the connection, or the next call would read the final answer to this one.
            response.close()
            return Unknown(f"interim answer {response.status}", answered_at)
        wants_page = is_page and response.status == 200
        body = (
            self._read(response, answered_at + _PAGE_SECONDS, _MAX_PAGE_BYTES)
            if wants_page
            else self._read(response, answered_at + _BODY_SECONDS, _MAX_BODY_BYTES)
        )
        if wants_page and body is None:
            return Unknown("the answer broke off", self._clock())
        return Answered(
            http_status=response.status,
            answered_at=answered_at,
            retry_after=response.headers.get("Retry-After"),
            # Redaction would miss a part of the key at the end of a truncated body.
            excerpt="" if body is None or wants_page else excerpt(body, api_key),
            body=body or "" if wants_page else "",
        )

    def _read(self, response: BaseHTTPResponse, give_up_at: float, most_bytes: int) -> str | None:
        """Return the whole body; None when it is longer, slower or breaks off.

        The connection is reused only if the body was read to its end.
        """
        body = b""
        try:
            while len(body) <= most_bytes and self._clock() < give_up_at:
                part = response.read1(most_bytes)
                if not part:
                    response.release_conn()
                    return body.decode("utf-8", errors="replace")
                body += part
        except HTTPError:
            pass
        response.close()
        return None

    def _current_pool(self) -> HTTPConnectionPool:
        with self._lock:
            if self._clock() - self._pool_made_at > _POOL_SECONDS:
                # Calls that are under way keep the old one until they end.
                self._pool, self._pool_made_at = self._make_pool(), self._clock()
            return self._pool

    def _make_pool(self) -> HTTPConnectionPool:
        # Share one TLS context, because each new one reads the CA bundle.
        options: dict[str, Any] = {} if self._tls is None else {"ssl_context": self._tls}
        return connection_from_url(self._base_url, maxsize=CONNECTIONS, **options)


def _tls_context() -> ssl.SSLContext:
    context = create_urllib3_context()
    context.load_default_certs()
    return context


def _was_not_sent(error: HTTPError) -> bool:
    if isinstance(error, SSLError):
        # urllib3 raises SSLError for errors after sending, too; an invalid certificate is none.
        return any(isinstance(each, ssl.SSLCertVerificationError) for each in error.args)
    return isinstance(error, NewConnectionError | ConnectTimeoutError)
