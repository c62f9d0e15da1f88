"""The calls to the vendor's API, each made once: no retries, no redirects, no proxy.

Whether a call can have been sent is decided from urllib3's exceptions: it was not sent only if the
connection was never established. Whatever else goes wrong, the outcome is unknown.
"""

import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from urllib.parse import quote, urlencode

from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, SSLError

from invitations.limiter_state import CONNECT_TIMEOUT_SECONDS
from invitations.outcomes import Cause, Outcome, judge
from invitations.redaction import excerpt

THREADS = 10
"""Threads of an execution, and connections for them: the template's BatchSize."""

_POOL_SECONDS = 20.0
"""Load balancers and NAT gateways silently drop idle connections, and the outcome of a call on a
dropped one is unknown. A pool is younger than this, so no connection is idle for longer."""

# Seconds and bytes for reading a body: of an error, and of a page with a hundred users or keys.
_BODY_LIMITS = 1.0, 16_384
_PAGE_LIMITS = 5.0, 2 * 1024 * 1024


class PartooApi:
    """The API at `base_url`; a call gives up `timeout_seconds` after the last byte it received."""

    def __init__(
        self, base_url: str, timeout_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout = Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=timeout_seconds)
        self._clock = clock
        # Pools share one TLS context, because each new one reads the CA bundle.
        tls = ssl.create_default_context() if base_url.startswith("https:") else None
        self._make_pool = partial(PoolManager, maxsize=THREADS, ssl_context=tls)
        self._lock = threading.Lock()
        self._pool, self._pool_made_at = self._make_pool(), clock()

    def invite(self, user_id: str, api_key: str) -> Outcome:
        """Make `POST /user/{user_id}/invite`; never raises for what the network or the API does."""
        return self._call("POST", f"/user/{quote(user_id, safe='')}/invite", api_key)

    def search(self, query: dict[str, str], api_key: str) -> Outcome:
        """Make `GET /user/search`; a 200 has all of its body."""
        return self._call("GET", f"/user/search?{urlencode(query)}", api_key)

    def list_keys(self, api_key: str) -> Outcome:
        """Make `GET /api_keys` for keys neither revoked nor expired; a 200 has all of its body."""
        # The vendor also finds a key by its value; in a URL it would end up in logs.
        query = urlencode({"status": "active", "per_page": "100"})
        return self._call("GET", f"/api_keys?{query}", api_key)

    def _call(self, method: str, target: str, api_key: str) -> Outcome:
        try:
            response = self._current_pool().urlopen(
                method,
                self._base_url + target,
                headers={
                    "x-APIKey": api_key,
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
            if _was_not_sent(error):
                return Outcome(cause=Cause.CONNECTION_FAILED, excerpt=text)
            return self._no_answer(text)
        if response.status < 200:
            # Close the connection, or the next call would read the final answer to this one.
            response.close()
            return self._no_answer(f"interim answer {response.status}")
        outcome = judge(response.status, self._clock(), response.headers.get("Retry-After"))
        if method == "GET" and response.status == 200:
            body = self._read(response, *_PAGE_LIMITS)
            if body is None:
                return self._no_answer("the answer broke off")
            # Of a search or a list, `sent` means that it was answered with 200.
            return replace(outcome, body=body)
        body = self._read(response, *_BODY_LIMITS)
        return replace(outcome, excerpt=excerpt(body or "", api_key))

    def _no_answer(self, text: str) -> Outcome:
        return Outcome(cause=Cause.NO_ANSWER, emailed_at=self._clock(), excerpt=text)

    def _read(self, response: BaseHTTPResponse, seconds: float, most_bytes: int) -> str | None:
        """Return the whole body; None when it is longer, slower or breaks off.

        A part has no use: redaction would miss half a key at its end. The connection is reused only
        if the body was read to its end.
        """
        body, give_up_at = b"", self._clock() + seconds
        with suppress(HTTPError):
            while len(body) <= most_bytes and self._clock() < give_up_at:
                part = response.read1(most_bytes)
                if not part:
                    response.release_conn()
                    return body.decode("utf-8", errors="replace")
                body += part
        response.close()
        return None

    def _current_pool(self) -> PoolManager:
        with self._lock:
            if self._clock() - self._pool_made_at > _POOL_SECONDS:
                # Calls that are under way keep the old one until they end.
                self._pool, self._pool_made_at = self._make_pool(), self._clock()
            return self._pool


def _was_not_sent(error: HTTPError) -> bool:
    if isinstance(error, SSLError):
        # urllib3 raises SSLError for errors after sending, too; an invalid certificate is none.
        return any(isinstance(each, ssl.SSLCertVerificationError) for each in error.args)
    return isinstance(error, NewConnectionError | ConnectTimeoutError)
