"""State and rules of the fake Partoo server: users, keys, window, quota, scripts and call log.

No sockets, no sleeping and no threads: requests and answers are values, and the clock is an
argument.
"""

import json
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote

from local.partoo.values import ANY_SEARCH, ANY_USER, Answer, ApiKey, Call, Operation, User

_QUOTA_PERIOD_SECONDS = 60.0
_ITEMS_PER_PAGE = 30
# Operation: its method.
_METHODS: Mapping[Operation, str] = {"invite": "POST", "search": "GET", "keys": "GET"}
_PER_PAGE = "[1-9][0-9]?|100"
# The vendor adds roles.
_ROLE = "[A-Z]+(_[A-Z]+)*"
# No number may have more digits than int() reads.
_OF_A_SEARCH = {
    "status": "active|invited",
    # The vendor does not document the spelling of this boolean.
    "disabled": "True|False|true|false",
    "role": f"{_ROLE}(,{_ROLE})*",
    "org_id": "-?[0-9]{1,4000}",
    "page": "[1-9][0-9]{0,3999}",
    "per_page": _PER_PAGE,
    "display_business_ids": "True|False",
    "order_by": "email",
}
_OF_A_LIST_OF_KEYS = {"status": "active", "per_page": _PER_PAGE}


class PartooState:
    """State of the API. Its keys may access all organisations.

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
        self._api_key, self._clock = api_key, clock
        self._window_seconds, self._requests_per_minute = window_seconds, requests_per_minute
        self.reset()

    def reset(self) -> None:
        """Restore the initial state."""
        self.set_key(self._api_key)
        self._users: dict[str, User] = {}
        self._scripts: dict[str, deque[Answer]] = {}
        self._last_email_at: dict[str, float] = {}
        self._counted_at: deque[float] = deque()
        self._calls: list[Call] = []

    def add_users(self, users: Iterable[User]) -> None:
        """Register users; a known id is replaced."""
        self._users |= {user.id: user for user in users}

    def set_key(self, api_key: str) -> None:
        """Replace all keys by this one."""
        self._keys = {api_key: ApiKey(api_key)}

    def add_key(self, key: ApiKey) -> None:
        """Add a key; one with the same value is replaced."""
        self._keys[key.value] = key

    def script(self, user_id: str, answers: Iterable[Answer]) -> None:
        """Set the answers to this user's next calls; replaces an earlier script.

        `ANY_USER` is for users without a script of their own, `ANY_SEARCH` for searches.
        """
        self._scripts[user_id] = deque(answers)

    def calls(self) -> list[Call]:
        """Return the call log, the oldest call first."""
        return list(self._calls)

    def receive(self, method: str, target: str, headers: Mapping[str, str]) -> tuple[Answer, Call]:
        """Log and count a call, and send its e-mail; returns its answer and its entry in the log.

        `target` is the undecoded path and query, the headers' names are in lower case. Whoever
        sends the answer sets the entry's status.
        """
        now, (operation, user_id) = self._clock(), _operation(target)
        scripted = {"invite": (user_id, ANY_USER), "search": (ANY_SEARCH,)}.get(operation, ())
        script = next(filter(None, map(self._scripts.get, scripted)), None)
        if not script and self._is_over_quota(now):
            answer = Answer(status=429, headers={"Retry-After": "60"})
        else:
            self._counted_at.append(now)
            answer = script.popleft() if script else self._decide(method, target, headers, now)
        emailed_at = None
        if operation == "invite" and answer.sends_email:
            emailed_at = now + answer.acts_after
            self._last_email_at[user_id] = max(emailed_at, self._last_email_at.get(user_id, 0))
        call = Call(now, target, operation, user_id or None, emailed_at)
        self._calls.append(call)
        return answer, call

    def _is_over_quota(self, now: float) -> bool:
        while self._counted_at and self._counted_at[0] <= now - _QUOTA_PERIOD_SECONDS:
            self._counted_at.popleft()
        return len(self._counted_at) >= self._requests_per_minute

    def _decide(self, method: str, target: str, headers: Mapping[str, str], now: float) -> Answer:
        operation, user_id = _operation(target)
        if operation == "other":
            return Answer(status=404)
        if method != _METHODS[operation]:
            return Answer(status=405, headers={"Allow": _METHODS[operation]})
        key = self._keys.get(headers.get("x-apikey", ""))
        if key is None or not key.is_active(now):
            return Answer(status=401)
        query = dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))
        if operation == "search":
            return _refusal(query, _OF_A_SEARCH) or self._search(query)
        if operation == "keys":
            # The vendor does not document the answer to a key that may not list keys.
            forbidden = None if key.may_list else Answer(status=403)
            return _refusal(query, _OF_A_LIST_OF_KEYS) or forbidden or self._list(query, now)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return Answer(status=415)
        user = self._users.get(user_id)
        if user is None:
            return Answer(status=404)
        # The vendor documents neither of the next two answers: the code must not rely on the 400.
        if user.status != "invited" or user.disabled or user.sso_only:
            return _bad_request("The user cannot be invited")
        if now < self._last_email_at.get(user_id, 0) + self._window_seconds:
            return _bad_request("An invitation was sent a moment ago")
        return Answer()

    def _search(self, query: Mapping[str, str]) -> Answer:
        status, disabled = query.get("status"), query.get("disabled", "").title()
        roles = query["role"].split(",") if "role" in query else None
        found = [
            user
            for user in self._users.values()
            if user.org_id == int(query.get("org_id", 1))
            and status in (None, user.status)
            and disabled in ("", str(user.disabled))
            and (roles is None or user.role in roles)
        ]
        if "order_by" in query:
            found.sort(key=_email)
        return _page("users", found, query)

    def _list(self, query: Mapping[str, str], now: float) -> Answer:
        found = [
            {
                "id": number,
                "label": f"Key {number}",
                "user_role": "ORG_ADMIN",
                "disabled": False,
                "expiration_date": each.expiration_date,
            }
            for number, each in enumerate(self._keys.values(), start=1)
            if "status" not in query or each.is_active(now)
        ]
        return _page("api_keys", found, query)


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


def _refusal(query: Mapping[str, str], grammar: Mapping[str, str]) -> Answer | None:
    # The vendor does not document unknown parameters. The fake server refuses them, so that a
    # misspelt filter fails a test.
    refused = {
        name: f"Not a valid parameter: {name}={value}"
        for name, value in query.items()
        if name not in grammar or not re.fullmatch(grammar[name], value)
    }
    return _bad_request(refused) if refused else None


def _bad_request(detail: object) -> Answer:
    return Answer(status=400, body=json.dumps({"errors": {"json": detail}}))


def _page(name: str, found: Sequence[Any], query: Mapping[str, str]) -> Answer:
    page, size = int(query.get("page", 1)), int(query.get("per_page", _ITEMS_PER_PAGE))
    listing = {
        "page": page,
        "max_page": max(1, math.ceil(len(found) / size)),
        "count": len(found),
        name: found[(page - 1) * size : page * size],
    }
    return Answer(body=json.dumps(listing, default=_shown))


def _email(user: User) -> str:
    return user.email or f"{user.id}@example.com"


def _shown(user: User) -> dict[str, Any]:
    names = {"first_name": "Ada", "last_name": "Lovelace", "lang": "en"}
    return vars(user) | names | {"email": _email(user)}
