"""What the fake Partoo server and its control exchange."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import responses
from typing import Literal

Operation = Literal["invite", "search", "keys", "other"]

ANY_USER = "*"
ANY_SEARCH = "?search"

_DOCUMENTED = {
    401: {"authentication": "User not authenticated"},
    403: {"authorization": "Operation not allowed"},
    404: {"json": "Resource not found"},
}


@dataclass(frozen=True)
class User:
    """A user; an empty `email` is `<id>@example.com`."""

    id: str
    status: str = "invited"
    disabled: bool = False
    sso_only: bool = False
    role: str = "BUSINESS_MANAGER"
    org_id: int = 1
    email: str = ""
    created_at: int = 1_577_836_800


@dataclass(frozen=True)
class ApiKey:
    """An API key; `expiration_date` is `yyyy-mm-dd`, or None if the key does not expire.

    `may_list`: the key may list the organisation's keys.
    """

    value: str
    expiration_date: str | None = None
    may_list: bool = True

    def is_active(self, now: float) -> bool:
        # The vendor's guide: a key has expired on its date. The time zone is not documented.
        return (self.expiration_date or "9999") > datetime.fromtimestamp(
            now, UTC
        ).date().isoformat()


@dataclass(frozen=True)
class Answer:
    """The answer to one call; times are in seconds.

    - `body`: by default the documented one for the status. A lone surrogate, such as `\\udcff`, is
      sent as the byte that it stands for.
    - `drop`: the connection is closed without an answer, `before` or `after` the e-mail.
    - `email`: whether an e-mail goes out. Default: for a 200, and for a drop `after`.
    - `acts_after`: the e-mail goes out, and the answer follows, this long after the call was
      received, whether or not the client still waits. `delay_seconds`: only the answer is late.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    drop: Literal["before", "after"] | None = None
    email: bool | None = None
    delay_seconds: float = 0.0
    acts_after: float = 0.0

    def __post_init__(self) -> None:
        if not 200 <= self.status <= 599:
            raise ValueError(f"An answer's status is from 200 to 599, not {self.status}.")

    @property
    def sends_email(self) -> bool:
        if self.email is not None:
            return self.email
        return self.drop == "after" or (self.drop is None and self.status == 200)

    def content(self) -> bytes:
        if self.body is not None:
            return self.body.encode(errors="surrogateescape")
        if self.status == 200:
            return b'{"status": "success"}'
        errors = _DOCUMENTED.get(self.status, {"json": responses.get(self.status, "Unknown")})
        return json.dumps({"errors": errors}).encode()


@dataclass
class Call:
    """An entry of the call log; times are epoch seconds.

    - `status`: None without an answer, or before it.
    - `emailed_at`: when the e-mail goes out, which may be in the future; None if there is none.
    - `path`: the undecoded path and query.
    """

    received_at: float
    path: str
    operation: Operation
    user_id: str | None
    emailed_at: float | None
    status: int | None = None

    @property
    def email_sent(self) -> bool:
        return self.emailed_at is not None
