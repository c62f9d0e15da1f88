"""What the stand-in knows and how it decides: users, keys, 5-minute rule, quota, scripts, call log.

No sockets and no sleeping: a request comes in as data, an answer goes out as data, and the clock
is passed in.
"""

import base64
import json
import math
import random
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
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
"""What is asked for with GET, and whose script answers it."""

_ROLE = f"({'|'.join(_ROLES)})"
_PER_PAGE = "[1-9][0-9]?|100"
# No number may have more digits than int() reads.
_SEARCH_GRAMMAR = {
    "status": "active|invited",
    # How the vendor writes this boolean is not documented, so both spellings pass.
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

    `forbidden` means that the key has no write access to this user. An empty `email` becomes
    `<id>@example.com`. Raises `ValueError` for a status or role that the vendor does not have.
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
    """A key to the API, with the vendor's date of its expiry (`yyyy-mm-dd`) or None for never.

    `may_list` means that its owner may see the organisation's keys. Raises `ValueError` for a date
    that there is not.
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
        # Who wants a key to expire today has to revoke it, says the vendor: on its date it is over.
        # In which time zone the date begins is not documented.
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
    """What a call is answered with, and how; times are in seconds.

    The body is the first of `body` (text), `body_base64` (any bytes) and `body_bytes` (that many
    bytes of filler) that is given, else the documented one for the status; `echo_headers` replaces
    it by the request's headers as JSON. `drop` closes the connection with no answer at all,
    `before` or `after` the e-mail went out. `email` says whether one goes out; by default it does
    for a 200 and for a drop `after`. `delay_seconds` and `hold` (until released, at most 60 s) put
    off the answer, never the e-mail; `drip_seconds` spreads the body, byte by byte, over that time.
    Raises `ValueError` for a status or a drop that does not exist.
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

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError(f"An answer's status is from 200 to 599, not {self.status}.")
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
    """A received request: `target` is path and query as they came, header names in any case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True)
class Call:
    """An entry of the call log; times are epoch seconds.

    `answered_at` is when the answer's head was sent; like `status`, it is None until then, and for
    ever when there is no answer. `path` is the target as it came, query included; `headers` are the
    names only, sorted. `too_soon` marks an invite call received less than the window after the last
    e-mail to its user, whatever it was answered with.
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
    email_sent: bool
    too_soon: bool
    headers: tuple[str, ...]


class PartooState:
    """The vendor's side of the API; every method may be called from any thread.

    `window_seconds` is the time after an e-mail in which the same user gets no other; `clock`
    returns epoch seconds.
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
        """Forget everything but the sequence number, and take back the key and quota of the start.

        Sequence numbers go on, so that a call answered after the reset cannot mark a newer one.
        """
        with self._lock:
            api_key, self._requests_per_minute = self._initial
            self._keys = {api_key: ApiKey(api_key)}
            self._users: dict[str, User] = {}
            self._last_found: tuple[dict[str, str], list[User]] | None = None
            self._churn = (0, 0)
            # A text is nobody else's seed, so that a newcomer's id is nobody else's either.
            self._rng = random.Random("churn")  # noqa: S311  # chooses users, guards nothing
            self._scripts: dict[str, deque[Answer]] = {}
            self._last_email_at: dict[str, float] = {}
            self._counted_at: deque[float] = deque()
            self._calls: dict[int, Call] = {}

    def add_users(self, users: Iterable[User]) -> None:
        """Register users; one with a known id replaces the other."""
        with self._lock:
            self._put(users)

    def users(self) -> list[User]:
        """Return all users as they are now, in the order in which their ids were registered."""
        with self._lock:
            return list(self._users.values())

    def set_churn(self, accepting: int, appearing: int) -> None:
        """Let so many users accept and appear after each search that is answered 200.

        Those who accept are any of the invited, and become active; those who appear are invited,
        created at that moment, and their addresses lie all over the list. After a reset, the same
        calls choose the same users. Raises `ValueError` for a negative number.
        """
        if accepting < 0 or appearing < 0:
            raise ValueError(f"No users can be {accepting} accepting and {appearing} appearing.")
        with self._lock:
            self._churn = accepting, appearing

    def set_key(self, api_key: str) -> None:
        """Let this be the only key that there is."""
        with self._lock:
            self._keys = {api_key: ApiKey(api_key)}

    def add_key(self, key: ApiKey) -> None:
        """Accept this key too; one with a known value replaces the other."""
        with self._lock:
            self._keys[key.value] = key

    def revoke_key(self, api_key: str) -> None:
        """Accept a key no longer, as of the next call. Raises `KeyError` for an unknown one."""
        with self._lock:
            self._keys[api_key] = replace(self._keys[api_key], revoked=True)

    def set_requests_per_minute(self, requests_per_minute: int) -> None:
        with self._lock:
            self._requests_per_minute = requests_per_minute

    def script(self, user_id: str, answers: Iterable[Answer]) -> None:
        """Replace the answers that wait for this user's next invite calls.

        `ANY_USER` stands for any user, but a user's own script goes first. `ANY_SEARCH` stands for
        searches, `ANY_KEY_LIST` for lists of keys; there, a 200 without a body is answered as if it
        were not scripted, only with the script's headers and delays.
        """
        with self._lock:
            self._scripts[user_id] = deque(answers)

    def calls(self, since: int = 0) -> list[Call]:
        """Return the calls with a sequence number above `since`, oldest first."""
        with self._lock:
            return [call for sequence, call in self._calls.items() if sequence > since]

    def receive(self, request: Request) -> tuple[int, Answer]:
        """Log and count a call, send its e-mail, and return its sequence number and answer."""
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

            email_sent = invites and answer.sends_email
            if email_sent:
                self._last_email_at[user_id] = now
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
                email_sent=email_sent,
                too_soon=too_soon,
                headers=tuple(sorted(name for name, _ in request.headers)),
            )
            return self._last_sequence, answer

    def answered(self, sequence: int, status: int) -> None:
        """Note in the log that the call's answer is on its way, unless a reset emptied the log."""
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
        # Beside the address of somebody who is there already, the newcomers are spread as they are.
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
        # The vendor documents neither of the next two answers. 400 without an e-mail is a guess, so
        # nothing may be built on it.
        if user.status != "invited" or user.disabled or user.sso_only:
            return _bad_request("The user cannot be invited")
        if too_soon:
            return _bad_request("An invitation was sent a moment ago")
        return Answer()

    def _list_keys(self, request: Request, wanted: Mapping[str, str], now: float) -> Answer:
        # The vendor asks for a right to see keys, and documents no answer to who lacks it.
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
        # Who pages through a long list asks for the same one again and again.
        if self._last_found is None or self._last_found[0] != wanted:
            users = list(self._users.values())
            for name, passes in _FILTERS.items():
                if name in wanted:
                    users = [user for user in users if passes(user, wanted[name])]
            self._last_found = wanted, _ordered(users, wanted.get("order_by"))
        return self._last_found[1]


def _operation(target: str) -> tuple[Operation, str]:
    # The path is split before it is decoded: an encoded slash belongs to the id.
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
    # Whether the vendor ignores an unknown parameter is not documented. Here it is refused, so that
    # a misspelt filter does not pass for none.
    refused = {
        name: f"Not a valid parameter: {name}={value}"
        for name, value in wanted.items()
        if name not in grammar or not re.fullmatch(grammar[name], value)
    }
    return _bad_request(refused) if refused else None


def _shown_key(number: int, key: ApiKey) -> dict[str, Any]:
    """A list never shows a key's value."""
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
