"""The three calls to the vendor's API: `POST /user/{user_id}/invite`, `GET /user/search` and
`GET /api_keys`.

Retries and redirects are the service's business: here a call is made once. What decides whether
it may be repeated is whether its first byte left (RFC 9110 §9.2.2), so the connection notes that.
"""

import re
import ssl
import threading
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from urllib3 import BaseHTTPResponse, HTTPResponse, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url
from urllib3.util.ssl_ import create_urllib3_context

from invitations.adapters.watchdog import Watchdog
from invitations.models import Answered, CallOutcome, NeverSent, Unanswered
from invitations.ports import Clock

if TYPE_CHECKING:
    from invitations.directory import View

API_KEY_HEADER = "x-APIKey"

_CONNECT_TIMEOUT_SECONDS = 3

# NAT gateways and load balancers drop idle connections without a word, and what became of a call
# on a dropped one is unknown. A container may sleep for minutes between two calls.
_MAX_IDLE_SECONDS = 30

# An error's body is worth a look, not a download.
_BODY_TIMEOUT_SECONDS = 1
_MAX_BODY_BYTES = 16_384
_EXCERPT_CHARACTERS = 500

# A hundred users or keys, with all that the vendor says of them.
_SEARCH_SECONDS = 5
_MAX_SEARCH_BYTES = 2 * 1024 * 1024

_EMAIL_ADDRESS = re.compile(r"[^\s@\"'<>:]{1,64}@[^\s@\"'<>]+")

_departure = threading.local()


class _Connection(HTTPConnection):
    """Notes that a call leaves, and is not used again after a rest."""

    def __init__(self, *arguments: Any, clock: Clock, watchdog: Watchdog, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._clock = clock
        self._watchdog = watchdog
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
        with self._watchdog.watch(connected):
            response = super().getresponse()
        self._used_at = self._clock()
        # The head says what became of the call; the body is not worth the time of another wait.
        connected.settimeout(_BODY_TIMEOUT_SECONDS)
        return response


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class PartooApi:
    """Calls the API at `base_url` and gives up after `timeout_seconds` without an answer."""

    def __init__(
        self, base_url: str, timeout_seconds: float, clock: Clock, connections: int
    ) -> None:
        url = parse_url(base_url)
        self._path = (url.path or "").rstrip("/")
        self._clock = clock
        options: Any = {
            "host": url.host,
            "port": url.port,
            "maxsize": connections,
            "retries": False,
            "timeout": Timeout(
                connect=min(_CONNECT_TIMEOUT_SECONDS, timeout_seconds), read=timeout_seconds
            ),
        }
        parts: Any = {"clock": clock, "watchdog": Watchdog(timeout_seconds)}
        # One host, so one pool: a PoolManager would look for it anew at each call.
        self._pool: HTTPConnectionPool
        if url.scheme == "https":
            self._pool = HTTPSConnectionPool(**options, ssl_context=_tls_context())
            made_by: Any = partial(_TlsConnection, **parts)
        else:
            self._pool = HTTPConnectionPool(**options)
            made_by = partial(_Connection, **parts)
        self._pool.ConnectionCls = made_by

    def invite(self, user_id: str, api_key: str) -> CallOutcome:
        return self._call("POST", f"/user/{quote(user_id, safe='')}/invite", api_key)

    def search(self, view: "View", roles: Sequence[str], api_key: str) -> CallOutcome:
        query = {
            "status": "invited",
            "disabled": "False",
            "display_business_ids": "False",
            "order_by": "email",
            "page": str(view.page),
            "per_page": str(view.size),
            **({"role": ",".join(roles)} if roles else {}),
        }
        return self._call("GET", f"/user/search?{urlencode(query)}", api_key, wants_body=True)

    def list_keys(self, api_key: str) -> CallOutcome:
        # The vendor also finds a key by its value; in a URL it would end up in logs.
        query = {"status": "active", "per_page": "100"}
        return self._call("GET", f"/api_keys?{urlencode(query)}", api_key, wants_body=True)

    def _call(
        self, method: str, target: str, api_key: str, *, wants_body: bool = False
    ) -> CallOutcome:
        _departure.noted = False
        try:
            response = self._pool.urlopen(
                method,
                self._path + target,
                headers={
                    API_KEY_HEADER: api_key,
                    "Accept": "application/json",
                    # The vendor answers a POST with 415 without it, although it has no body.
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
        if wants_body and response.status == HTTPStatus.OK:
            body = self._read(response, answered_at, _SEARCH_SECONDS, _MAX_SEARCH_BYTES)
            if body is None:
                return Unanswered("the answer broke off", gave_up_at=self._clock())
            return Answered(response.status, answered_at, body=body)
        excerpt = self._read(response, answered_at, _BODY_TIMEOUT_SECONDS, _MAX_BODY_BYTES)
        return Answered(
            http_status=response.status,
            answered_at=answered_at,
            retry_after=response.headers.get("Retry-After"),
            # The end of what broke off could be half a key.
            excerpt=_presentable(excerpt or "", api_key),
        )

    def _read(
        self, response: BaseHTTPResponse, answered_at: float, seconds: float, most_bytes: int
    ) -> str | None:
        """The body, or the beginning of a longer one; None when it breaks off.

        The connection is kept only when that was all of it.
        """
        body = b""
        try:
            while self._clock() - answered_at < seconds:
                part = response.read1(most_bytes)
                body += part
                if not part or len(body) > most_bytes:
                    if part:
                        response.close()
                    return body.decode("utf-8", errors="replace")
        except HTTPError:
            pass
        response.close()
        return None


def _tls_context() -> ssl.SSLContext:
    """One for all connections: urllib3 would read the CA bundle again for each."""
    context = create_urllib3_context()
    context.load_default_certs()
    return context


def _presentable(text: str, api_key: str) -> str:
    """What may be logged: an answer may repeat the key, or name a person."""
    text = text.replace(api_key, "[key]")[: 2 * _EXCERPT_CHARACTERS]
    return _EMAIL_ADDRESS.sub("[e-mail]", text)[:_EXCERPT_CHARACTERS]
