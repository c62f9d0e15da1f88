"""State and rules of the fake Partoo server: users, keys, window, quota, scripts and call log.

No sockets and no sleeping: requests and answers are values, and the clock is an argument.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, unquote

from local.partoo.answers import Answer, Call, Operation
from local.partoo.directory import ApiKey, Cache, User, bad_request, list_keys, search

ANY_USER = "*"
ANY_SEARCH = "?search"
ANY_KEY_LIST = "?keys"
QUOTA_PERIOD_SECONDS = 60.0

# Operation: its method, and whose script answers it besides a user's own.
_OPERATIONS: Mapping[Operation, tuple[str, str]] = {
    "invite": ("POST", ANY_USER),
    "search": ("GET", ANY_SEARCH),
    "keys": ("GET", ANY_KEY_LIST),
}


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
        self._api_key = api_key
        self._window_seconds = window_seconds
        self._requests_per_minute = requests_per_minute
        self._clock = clock
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Restore the initial state."""
        with self._lock:
            self.set_key(self._api_key)
            self._users: dict[str, User] = {}
            self._found: Cache = {}
            self._accepting = 0
            self._rng = random.Random(0)  # noqa: S311  # not for security
            self._scripts: dict[str, deque[Answer]] = {}
            self._last_email_at: dict[str, float] = {}
            self._counted_at: deque[float] = deque()
            self._calls: list[Call] = []

    def add_users(self, users: Iterable[User]) -> None:
        """Register users; a known id is replaced."""
        with self._lock:
            self._users |= {user.id: user for user in users}
            self._found.clear()

    def users(self) -> list[User]:
        """Return all users in the order of their registration."""
        with self._lock:
            return list(self._users.values())

    def set_churn(self, accepting: int) -> None:
        """Let so many users accept after each search that is answered 200, all over the list."""
        with self._lock:
            self._accepting = accepting

    def set_key(self, api_key: str) -> None:
        """Replace all keys by this one."""
        with self._lock:
            self._keys = {api_key: ApiKey(api_key)}

    def add_key(self, key: ApiKey) -> None:
        """Add a key; one with the same value is replaced."""
        with self._lock:
            self._keys[key.value] = key

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
            return self._calls[since:]

    def receive(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> tuple[Answer, Callable[[], None]]:
        """Log and count a call, and send its e-mail.

        `target` is the undecoded path and query, the headers' names are in lower case. Returns the
        answer, and what notes in the log that it is sent.
        """
        with self._lock:
            now, (operation, user_id) = self._clock(), _operation(target)
            needed, any_script = _OPERATIONS.get(operation, ("", ""))
            invites = operation == "invite" and method == needed
            answer = self._next_scripted(user_id, any_script) if method == needed else None
            if answer is None and self._is_over_quota(now):
                answer = Answer(status=429, headers={"Retry-After": "60"})
            else:
                self._counted_at.append(now)
                decided = self._decide(method, target, headers, now)
                if answer is None:
                    answer = decided
                elif not invites and answer.status == 200 and answer.body is None:
                    answer = replace(answer, status=decided.status, body=decided.body)

            emailed_at = now + answer.acts_after if invites and answer.sends_email else None
            if emailed_at is not None:
                self._last_email_at[user_id] = max(
                    emailed_at, self._last_email_at.get(user_id, emailed_at)
                )
            is_page = operation == "search" and answer.status == 200 and answer.drop is None
            if is_page and self._accepting:
                self._let_users_accept()
            calls, index = self._calls, len(self._calls)
            calls.append(Call(index + 1, now, target, operation, user_id or None, emailed_at))

        def note() -> None:
            with self._lock:
                # In the list of before, should a reset come between.
                calls[index] = replace(calls[index], status=answer.status)

        return answer, note

    def _let_users_accept(self) -> None:
        invited = [user for user in self._users.values() if user.status == "invited"]
        chosen = self._rng.sample(invited, min(self._accepting, len(invited)))
        self.add_users(replace(user, status="active") for user in chosen)

    def _next_scripted(self, *names: str) -> Answer | None:
        scripts = (self._scripts.get(name) for name in names)
        return next((script.popleft() for script in scripts if script), None)

    def _is_over_quota(self, now: float) -> bool:
        while self._counted_at and self._counted_at[0] <= now - QUOTA_PERIOD_SECONDS:
            self._counted_at.popleft()
        return len(self._counted_at) >= self._requests_per_minute

    def _decide(self, method: str, target: str, headers: Mapping[str, str], now: float) -> Answer:
        operation, user_id = _operation(target)
        if operation == "other":
            return Answer(status=404)
        allowed, _ = _OPERATIONS[operation]
        if method != allowed:
            return Answer(status=405, headers={"Allow": allowed})
        key = self._keys.get(headers.get("x-apikey", ""))
        if key is None or not key.is_active(now):
            return Answer(status=401)
        query = dict(parse_qsl(target.partition("?")[2], keep_blank_values=True))
        if operation == "search":
            return search(self._users.values(), key, query, self._found)
        if operation == "keys":
            return list_keys(self._keys.values(), key, query, now)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            return Answer(status=415)
        user = self._users.get(user_id)
        if user is None:
            return Answer(status=404)
        if user.forbidden or not key.may_access(user.org_id):
            return Answer(status=403)
        # The vendor documents neither of the next two answers: the code must not rely on the 400.
        if user.status != "invited" or user.disabled or user.sso_only:
            return bad_request("The user cannot be invited")
        if now < self._last_email_at.get(user_id, 0) + self._window_seconds:
            return bad_request("An invitation was sent a moment ago")
        return Answer()


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
