"""State and rules of the fake Partoo server: users, keys, window, quota, scripts and call log.

No sockets and no sleeping: requests and answers are values, and the clock is an argument.
"""

import base64
import json
import math
import random
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from http.client import responses
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

Operation = Literal["invite", "search", "keys", "other"]
KeyCheck = Literal["right", "wrong", "missing"]

ANY_USER = "*"
ANY_SEARCH = "?search"
ANY_KEY_LIST = "?keys"
QUOTA_PERIOD_SECONDS = 60.0

_ROLES = ("PROVIDER", "ORG_ADMIN", "GROUP_MANAGER", "BUSINESS_MANAGER", "PUBLISHER")
_SHOWN_FIELDS = (
    "id",
    "org_id",
    "group_id",
    "email",
    "first_name",
    "last_name",
    "lang",
    "role",
    "status",
    "disabled",
    "sso_only",
    "created_at",
    "business_ids",
)
_ITEMS_PER_PAGE = 30

_READS: Mapping[Operation, str] = {"search": ANY_SEARCH, "keys": ANY_KEY_LIST}
"""The operations with GET, and the name of each one's script."""

_ROLE = f"({'|'.join(_ROLES)})"
_PER_PAGE = "[1-9][0-9]?|100"
# No number may have more digits than int() reads.
_SEARCH_GRAMMAR = {
    "status": "active|invited",
    # The vendor does not document the spelling of this boolean.
    "disabled": "True|False|true|false",
    "email": "(?s:.*)",
    "query": "(?s:.*)",
    "role": f"{_ROLE}(,{_ROLE})*",
    "org_id": "-?[0-9]{1,4000}",
    "page": "[1-9][0-9]{0,3999}",
    "per_page": _PER_PAGE,
    "display_business_ids": "True|False",
    "order_by": "-?(email|first_name|last_name|role|org_id|group_id|status)",
}
_KEY_LIST_GRAMMAR = {"status": "active|inactive|disabled|expired", "per_page": _PER_PAGE}


@dataclass(frozen=True)
class User:
    """A user of the organisation; `created_at` is in epoch seconds.

    `forbidden`: the key has no write access to this user. An empty `email` becomes
    `<id>@example.com`. Raises ValueError for an unknown status or role.
    """

    id: str
    status: str = "invited"
    forbidden: bool = False
    disabled: bool = False
    sso_only: bool = False
    role: str = "BUSINESS_MANAGER"
    org_id: int = 1
    group_id: int | None = None
    email: str = ""
    first_name: str = "Ada"
    last_name: str = "Lovelace"
    lang: str = "en"
    created_at: int = 1_577_836_800
    business_ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.status not in ("active", "invited"):
            raise ValueError(f"A user is active or invited, not {self.status!r}.")
        if self.role not in _ROLES:
            raise ValueError(f"A user has one of the roles {', '.join(_ROLES)}, not {self.role!r}.")
        if not self.email:
            object.__setattr__(self, "email", f"{self.id}@example.com")


@dataclass(frozen=True)
class ApiKey:
    """An API key; `expiration_date` is `yyyy-mm-dd`, or None if the key does not expire.

    `may_list`: the key may list the organisation's keys. Raises ValueError for a malformed date.
    """

    value: str
    expiration_date: str | None = None
    may_list: bool = True
    revoked: bool = False

    def __post_init__(self) -> None:
        if self.expiration_date is not None:
            date.fromisoformat(self.expiration_date)

    def status(self, now: float) -> str:
        if self.revoked:
            return "disabled"
        # The vendor's guide: a key has expired on its date. The time zone is not documented.
        today = datetime.fromtimestamp(now, UTC).date()
        if self.expiration_date is not None and date.fromisoformat(self.expiration_date) <= today:
            return "expired"
        return "active"


_FILTERS: Mapping[str, Callable[[User, str], bool]] = {
    "status": lambda user, status: user.status == status,
    "disabled": lambda user, disabled: str(user.disabled) == disabled.title(),
    "role": lambda user, roles: user.role in roles.split(","),
    "email": lambda user, email: user.email == email,
    "query": lambda user, text: text.casefold() in _searched_text(user),
    "org_id": lambda user, org_id: user.org_id == int(org_id),
}


@dataclass(frozen=True)
class Answer:
    """The answer to one call; times are in seconds.

    - The body is the first of `body` (text), `body_base64` (bytes) and `body_bytes` (filler of that
      length) that is given, else the documented body for the status. `echo_headers` replaces it by
      the request's headers as JSON.
    - `email`: whether an e-mail goes out. Default: for a 200, and for a drop `after`.
    - `acts_after`: the e-mail goes out, and the answer follows, this long after the call was
      received, whether or not the client still waits.
    - `interim`: informational statuses (1xx) that are sent at once, before the answer.
    - `delay_seconds`, `hold` (until a release, at most 60 s): only the answer is late.
    - `drip_seconds`: the body is sent byte by byte over this time.
    - `drop`: the connection is closed without an answer, `before` or `after` the e-mail.

    Raises ValueError for a status or a drop that does not exist.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    body_base64: str | None = None
    body_bytes: int | None = None
    echo_headers: bool = False
    drop: Literal["before", "after"] | None = None
    email: bool | None = None
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    hold: bool = False
    acts_after: float = 0.0
    interim: Sequence[int] = ()

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError(f"An answer's status is from 200 to 599, not {self.status}.")
        # A 101 would end HTTP on the connection.
        if not all(102 <= status <= 199 for status in self.interim):
            raise ValueError(f"An interim status is from 102 to 199, not {self.interim}.")
        if self.drop not in (None, "before", "after"):
            raise ValueError(f"An answer is dropped before or after the e-mail, not {self.drop!r}.")

    @property
    def sends_email(self) -> bool:
        if self.email is not None:
            return self.email
        return self.drop == "after" or (self.drop is None and self.status == 200)

    @property
    def has_body(self) -> bool:
        return (self.body, self.body_base64, self.body_bytes) != (None, None, None)

    def content(self) -> bytes:
        """Return the body, without regard to `echo_headers`."""
        if self.body is not None:
            return self.body.encode()
        if self.body_base64 is not None:
            return base64.b64decode(self.body_base64)
        if self.body_bytes is not None:
            return b"x" * self.body_bytes
        return json.dumps(_documented_body(self.status)).encode()


@dataclass(frozen=True)
class Request:
    """A received request; `target` is the undecoded path and query."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True)
class Call:
    """An entry of the call log; times are epoch seconds.

    - `answered_at`, `status`: time and status of the answer's head; None before, and without one.
    - `emailed_at`: when the e-mail goes out, which may be in the future; None if there is none.
    - `too_soon`: an invite call was received before the window of the user's last e-mail ended.
    - `path`: the undecoded path and query. `headers`: the sorted names, without values.
    """

    sequence: int
    received_at: float
    answered_at: float | None
    method: str
    path: str
    operation: Operation
    user_id: str | None
    key: KeyCheck
    content_type: str | None
    user_agent: str | None
    status: int | None
    emailed_at: float | None
    too_soon: bool
    headers: tuple[str, ...]

    @property
    def email_sent(self) -> bool:
        return self.emailed_at is not None


class PartooState:
    """State of the API; all methods are thread-safe.

    `window_seconds`: for this long after an e-mail, the user gets no other. `clock` returns epoch
    seconds.
    """

    def __init__(
        self,
        *,
        api_key: str,
        window_seconds: float,
        requests_per_minute: int,
        clock: Callable[[], float],
    ) -> None:
        self._initial = (api_key, requests_per_minute)
        self._window_seconds = window_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._last_sequence = 0
        self.reset()

    def reset(self) -> None:
        """Restore the initial state.

        Sequence numbers continue, so that a late answer cannot mark a newer call.
        """
        with self._lock:
            api_key, self._requests_per_minute = self._initial
            self._keys = {api_key: ApiKey(api_key)}
            self._users: dict[str, User] = {}
            self._last_found: tuple[dict[str, str], list[User]] | None = None
            self._churn = (0, 0)
            # No other generator has this seed, so that new ids are unique.
            self._rng = random.Random("churn")  # noqa: S311  # not for security
            self._scripts: dict[str, deque[Answer]] = {}
            self._last_email_at: dict[str, float] = {}
            self._counted_at: deque[float] = deque()
            self._calls: dict[int, Call] = {}

    def add_users(self, users: Iterable[User]) -> None:
        """Register users; a known id is replaced."""
        with self._lock:
            self._put(users)

    def users(self) -> list[User]:
        """Return all users in the order of their registration."""
        with self._lock:
            return list(self._users.values())

    def set_churn(self, accepting: int, appearing: int) -> None:
        """Let users accept and appear after each search that is answered 200.

        Users who accept become active. Users who appear are invited and created at that moment.
        Both are spread over the whole list, and are the same after each reset. Raises ValueError
        for a negative number.
        """
        if accepting < 0 or appearing < 0:
            raise ValueError(f"Neither number may be negative: {accepting}, {appearing}.")
        with self._lock:
            self._churn = accepting, appearing

    def set_key(self, api_key: str) -> None:
        """Replace all keys by this one."""
        with self._lock:
            self._keys = {api_key: ApiKey(api_key)}

    def add_key(self, key: ApiKey) -> None:
        """Add a key; one with the same value is replaced."""
        with self._lock:
            self._keys[key.value] = key

    def revoke_key(self, api_key: str) -> None:
        """Revoke a key from the next call on; raises KeyError for an unknown one."""
        with self._lock:
            self._keys[api_key] = replace(self._keys[api_key], revoked=True)

    def set_requests_per_minute(self, requests_per_minute: int) -> None:
        with self._lock:
            self._requests_per_minute = requests_per_minute

    def script(self, user_id: str, answers: Iterable[Answer]) -> None:
        """Set the answers to this user's next invite calls; replaces an earlier script.

        `ANY_USER` is for users without a script of their own. `ANY_SEARCH` is for searches,
        `ANY_KEY_LIST` for lists of keys: there, a 200 without a body gets the unscripted body.
        """
        with self._lock:
            self._scripts[user_id] = deque(answers)

    def calls(self, since: int = 0) -> list[Call]:
        """Return the calls with a sequence number above `since`, the oldest first."""
        with self._lock:
            return [call for sequence, call in self._calls.items() if sequence > since]

    def receive(self, request: Request) -> tuple[int, Answer]:
        """Log and count a call, send its e-mail; returns its sequence number and its answer."""
        with self._lock:
            now = self._clock()
            operation, user_id = _operation(request.target)
            invites = operation == "invite" and request.method == "POST"
            reads = operation in _READS and request.method == "GET"
            too_soon = invites and self._in_window(user_id, now)

            answer = None
            if invites:
                answer = self._next_scripted(user_id, ANY_USER)
            elif reads:
                answer = self._next_scripted(_READS[operation])
            if answer is None and self._over_quota(now):
                answer = Answer(status=429, headers={"Retry-After": "60"})
            else:
                self._counted_at.append(now)
                answer = answer or self._decide(request, operation, user_id, too_soon, now)
                if reads and answer.status == 200 and not answer.has_body:
                    decided = self._decide(request, operation, user_id, too_soon, now)
                    answer = replace(answer, status=decided.status, body=decided.body)

            emailed_at = now + answer.acts_after if invites and answer.sends_email else None
            if emailed_at is not None:
                self._last_email_at[user_id] = max(
                    emailed_at, self._last_email_at.get(user_id, emailed_at)
                )
            if reads and operation == "search" and answer.status == 200 and answer.drop is None:
                self._apply_churn(now)

            self._last_sequence += 1
            self._calls[self._last_sequence] = Call(
                sequence=self._last_sequence,
                received_at=now,
                answered_at=None,
                method=request.method,
                path=request.target,
                operation=operation,
                user_id=user_id or None,
                key=self._check_key(request, now),
                content_type=request.header("Content-Type"),
                user_agent=request.header("User-Agent"),
                status=None,
                emailed_at=emailed_at,
                too_soon=too_soon,
                headers=tuple(sorted(name for name, _ in request.headers)),
            )
            return self._last_sequence, answer

    def answered(self, sequence: int, status: int) -> None:
        """Log the answer of a call, unless a reset has removed the call."""
        with self._lock:
            if sequence in self._calls:
                self._calls[sequence] = replace(
                    self._calls[sequence], answered_at=self._clock(), status=status
                )

    def _put(self, users: Iterable[User]) -> None:
        self._users.update({user.id: user for user in users})
        self._last_found = None

    def _apply_churn(self, now: float) -> None:
        if self._churn == (0, 0):
            return
        accepting, appearing = self._churn
        users = list(self._users.values())
        invited = [user for user in users if user.status == "invited"]
        chosen = self._rng.sample(invited, min(accepting, len(invited)))
        self._put(replace(user, status="active") for user in chosen)
        self._put([self._newcomer(users, now) for _ in range(appearing)])

    def _newcomer(self, users: list[User], now: float) -> User:
        user_id = f"{self._rng.getrandbits(96):024x}"
        # Addresses beginning like those of known users spread over the list as they do.
        name = self._rng.choice(users).email.partition("@")[0] if users else "first"
        return User(user_id, email=f"{name}-{user_id}@example.com", created_at=int(now))

    def _in_window(self, user_id: str, now: float) -> bool:
        last = self._last_email_at.get(user_id)
        return last is not None and now - last < self._window_seconds

    def _next_scripted(self, *names: str) -> Answer | None:
        for name in names:
            if script := self._scripts.get(name):
                return script.popleft()
        return None

    def _over_quota(self, now: float) -> bool:
        while self._counted_at and self._counted_at[0] <= now - QUOTA_PERIOD_SECONDS:
            self._counted_at.popleft()
        return len(self._counted_at) >= self._requests_per_minute

    def _check_key(self, request: Request, now: float) -> KeyCheck:
        value = request.header("x-APIKey")
        if value is None:
            return "missing"
        key = self._keys.get(value)
        return "right" if key is not None and key.status(now) == "active" else "wrong"

    def _decide(
        self, request: Request, operation: Operation, user_id: str, too_soon: bool, now: float
    ) -> Answer:
        if operation == "other":
            return Answer(status=404)
        allowed = "POST" if operation == "invite" else "GET"
        if request.method != allowed:
            return Answer(status=405, headers={"Allow": allowed})
        if self._check_key(request, now) != "right":
            return Answer(status=401)
        query = dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))
        if operation == "search":
            return _refusal(query, _SEARCH_GRAMMAR) or self._search(query)
        if operation == "keys":
            return _refusal(query, _KEY_LIST_GRAMMAR) or self._list_keys(request, query, now)
        if _media_type(request.header("Content-Type")) != "application/json":
            return Answer(status=415)
        return self._invite(self._users.get(user_id), too_soon)

    def _invite(self, user: User | None, too_soon: bool) -> Answer:
        if user is None:
            return Answer(status=404)
        if user.forbidden:
            return Answer(status=403)
        # The vendor documents neither of the next two answers: the code must not rely on the 400.
        if user.status != "invited" or user.disabled or user.sso_only:
            return _bad_request("The user cannot be invited")
        if too_soon:
            return _bad_request("An invitation was sent a moment ago")
        return Answer()

    def _list_keys(self, request: Request, wanted: Mapping[str, str], now: float) -> Answer:
        # The vendor requires a right to list keys, and does not document the answer without it.
        if not self._keys[request.header("x-APIKey") or ""].may_list:
            return Answer(status=403)
        statuses = {"inactive": ("disabled", "expired")}.get(
            wanted.get("status", ""), (wanted.get("status"),)
        )
        found = [
            _shown_key(number, key)
            for number, key in enumerate(self._keys.values(), start=1)
            if "status" not in wanted or key.status(now) in statuses
        ]
        per_page = int(wanted.get("per_page", _ITEMS_PER_PAGE))
        listing = {
            "page": 1,
            "max_page": max(1, math.ceil(len(found) / per_page)),
            "count": len(found),
            "api_keys": found[:per_page],
        }
        return Answer(body=json.dumps(listing))

    def _search(self, wanted: Mapping[str, str]) -> Answer:
        found = self._find(
            {name: value for name, value in wanted.items() if name in (*_FILTERS, "order_by")}
        )
        page = int(wanted.get("page", 1))
        per_page = int(wanted.get("per_page", _ITEMS_PER_PAGE))
        hidden = "business_ids" if wanted.get("display_business_ids") == "False" else None
        users = [
            {name: getattr(user, name) for name in _SHOWN_FIELDS if name != hidden}
            for user in found[(page - 1) * per_page : page * per_page]
        ]
        listing = {
            "page": page,
            "max_page": max(1, math.ceil(len(found) / per_page)),
            "count": len(found),
            "users": users,
        }
        return Answer(body=json.dumps(listing))

    def _find(self, wanted: dict[str, str]) -> list[User]:
        # Cached, because paging repeats the same search.
        if self._last_found is None or self._last_found[0] != wanted:
            users = list(self._users.values())
            for name, passes in _FILTERS.items():
                if name in wanted:
                    users = [user for user in users if passes(user, wanted[name])]
            self._last_found = wanted, _ordered(users, wanted.get("order_by"))
        return self._last_found[1]


def _operation(target: str) -> tuple[Operation, str]:
    # Split before decoding, because an encoded slash belongs to the id.
    match target.partition("?")[0].split("/"):
        case ["", "v2", "user", "search"]:
            return "search", ""
        case ["", "v2", "api_keys"]:
            return "keys", ""
        case ["", "v2", "user", user_id, "invite"]:
            return "invite", unquote(user_id)
    return "other", ""


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _documented_body(status: int) -> dict[str, Any]:
    match status:
        case 200:
            return {"status": "success"}
        case 401:
            return {"errors": {"authentication": "User not authenticated"}}
        case 403:
            return {"errors": {"authorization": "Operation not allowed"}}
        case 404:
            return {"errors": {"json": "Resource not found"}}
    return {"errors": {"json": responses.get(status, "Unknown")}}


def _refusal(wanted: Mapping[str, str], grammar: Mapping[str, str]) -> Answer | None:
    # The vendor does not document unknown parameters. The fake server refuses them, so that a
    # misspelt filter fails a test.
    refused = {
        name: f"Not a valid parameter: {name}={value}"
        for name, value in wanted.items()
        if name not in grammar or not re.fullmatch(grammar[name], value)
    }
    return _bad_request(refused) if refused else None


def _shown_key(number: int, key: ApiKey) -> dict[str, Any]:
    """Return an entry of a list of keys, which never contains the value."""
    return {
        "id": number,
        "label": f"Key {number}",
        "user_id": "5d2c1b7e90f3a4468be01c57",
        "user_role": "ORG_ADMIN",
        "disabled": key.revoked,
        "expiration_date": key.expiration_date,
        "ip_whitelist": [],
    }


def _bad_request(detail: str | dict[str, str]) -> Answer:
    return Answer(status=400, body=json.dumps({"errors": {"json": detail}}))


def _searched_text(user: User) -> str:
    return f"{user.first_name} {user.last_name} {user.email}".casefold()


def _ordered(users: list[User], order_by: str | None) -> list[User]:
    if order_by is None:
        return users
    name = order_by.removeprefix("-")

    def key(user: User) -> tuple[bool, Any]:
        value = getattr(user, name)
        return value is None, value

    return sorted(users, key=key, reverse=order_by.startswith("-"))
