"""Answers of the fake Partoo server, scripted and documented ones, and the log of its calls."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import responses
from typing import Literal

Operation = Literal["invite", "search", "keys", "other"]

_DOCUMENTED = {
    401: {"authentication": "User not authenticated"},
    403: {"authorization": "Operation not allowed"},
    404: {"json": "Resource not found"},
}


@dataclass(frozen=True)
class Answer:
    """The answer to one call; times are in seconds.

    - `body`: by default the documented one for the status. A lone surrogate, such as `\\udcff`, is
      sent as the byte that it stands for. `echo_headers` sends the request's headers as JSON.
    - `email`: whether an e-mail goes out. Default: for a 200, and for a drop `after`.
    - `acts_after`: the e-mail goes out, and the answer follows, this long after the call was
      received, whether or not the client still waits.
    - `interim`: informational statuses (1xx) that are sent at once, before the answer.
    - `delay_seconds`, `hold` (until a release, at most 60 s): only the answer is late.
    - `drip_seconds`: the body is sent byte by byte over this time.
    - `drop`: the connection is closed without an answer, `before` or `after` the e-mail.

    Raises ValueError for a status that does not exist.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
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

    @property
    def sends_email(self) -> bool:
        if self.email is not None:
            return self.email
        return self.drop == "after" or (self.drop is None and self.status == 200)

    def content(self) -> bytes:
        """Return the body, without regard to `echo_headers`."""
        if self.body is not None:
            return self.body.encode(errors="surrogateescape")
        if self.status == 200:
            return b'{"status": "success"}'
        errors = _DOCUMENTED.get(self.status, {"json": responses.get(self.status, "Unknown")})
        return json.dumps({"errors": errors}).encode()


@dataclass(frozen=True)
class Call:
    """An entry of the call log; times are epoch seconds.

    - `sequence`: 1 for the first call since a reset. `status`: None without an answer, or before.
    - `emailed_at`: when the e-mail goes out, which may be in the future; None if there is none.
    - `path`: the undecoded path and query.
    """

    sequence: int
    received_at: float
    path: str
    operation: Operation
    user_id: str | None
    emailed_at: float | None
    status: int | None = None

    @property
    def email_sent(self) -> bool:
        return self.emailed_at is not None
