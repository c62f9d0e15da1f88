"""A message, what travels with it, and how it ends or waits. No AWS, no clock.

Times are epoch seconds.
"""

import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from invitations.outcomes import Outcome
from invitations.results import Result, Source, Status, known_fields

MAX_DELAY_SECONDS = 900
"""The longest delay that SQS knows."""

MIN_HOP_SECONDS = 600
"""A longer wait is split into delays of 600 to 900 seconds, chosen at random, so that messages that
were deferred together do not return together."""

_BACKOFF_SECONDS = 5.0


class Pace(StrEnum):
    """The priority of a request: bulk gives way; any other is an event, whatever its source."""

    EVENT = "event"
    BULK = "bulk"


@dataclass(frozen=True)
class ClaimEnd:
    """What becomes of a user's window and counts when a claim ends."""

    window_ends_at: float | None = None
    """None: the window is free at once."""
    invited_at: float | None = None
    """When an e-mail went out, or may have; None when none did."""
    sent: bool = False
    """Whether it is known to have gone out."""


@dataclass(frozen=True)
class StoredResult:
    """A result as the table holds it; until the table takes it, it travels with the message."""

    result: Result
    ended_at: float
    claim_id: str | None = None
    """The claim under which the last call was made; None when the result needed no call."""
    window_ends_at: float | None = None
    invited_at: float | None = None

    @property
    def sent(self) -> bool:
        return self.result.status == Status.SENT

    @property
    def claim_end(self) -> ClaimEnd:
        return ClaimEnd(self.window_ends_at, self.invited_at, self.sent)

    def holds_for(self, asked_at: float) -> bool:
        """Return False for a `failed` from before `asked_at`: the request was redriven."""
        return self.result.status != Status.FAILED or asked_at <= self.ended_at

    def to_fields(self) -> dict[str, Any]:
        return {**vars(self), "result": self.result.to_json()}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "StoredResult":
        result = Result.from_json(fields["result"])
        return cls(**{**known_fields(cls, fields), "result": result})


@dataclass(frozen=True)
class RetryState:
    """What is known of a request besides its message. It travels with the message as JSON."""

    asked_at: float
    """When the first message of the request was sent; after a redrive, when that was."""
    wait_until: float = 0.0
    cause: str = ""
    """Why the request waits."""
    has_appointment: bool = False
    """Whether `wait_until` is an appointment of the rate limiter."""
    failures: int = 0
    """Deferrals because of failures; each one waits longer than the last."""
    attempts: int = 0
    """Calls made, those included that an execution may have made before it died."""
    counted_attempts: int = 0
    """Calls that count towards `MaxAttempts`."""
    unknown_outcomes: int = 0
    http_status: int | None = None
    """HTTP status of the answer to the last call."""
    max_invites: int | None = None
    """A sweep's request ends once its user has got so many invitations; None for other requests."""
    min_age_seconds: float = 0.0
    """A sweep's request ends if its user's last invitation is younger."""
    unsaved: StoredResult | None = None
    """A result that the table did not take."""

    def with_call(self, outcome: Outcome) -> "RetryState":
        """Count one more call."""
        return replace(
            self,
            attempts=self.attempts + 1,
            counted_attempts=self.counted_attempts + outcome.counts,
            unknown_outcomes=self.unknown_outcomes + outcome.is_unknown,
            http_status=outcome.http_status,
        )

    def to_json(self) -> str:
        unsaved = self.unsaved and self.unsaved.to_fields()
        return json.dumps({**vars(self), "unsaved": unsaved})

    @classmethod
    def from_json(cls, text: str) -> "RetryState":
        """Read a retry state; raises an error of many kinds for any other text."""
        fields = known_fields(cls, json.loads(text))
        if fields.get("unsaved"):
            fields["unsaved"] = StoredResult.from_fields(fields["unsaved"])
        return cls(**fields)


@dataclass(frozen=True)
class Deferred:
    """A request that waits on a queue; its result follows."""

    request_id: str
    user_id: str | None
    cause: str
    delay_seconds: int


@dataclass(frozen=True)
class Message:
    """One delivery of one message, its body untouched."""

    message_id: str
    """The same for each delivery. A redrive changes it; an invocation keeps its own id. A message
    from the application itself has the id of its request."""
    body: str
    source: Source
    state: RetryState
    given_request_id: str | None = None
    """From the body, an attribute or the event; None: the request is named after the message."""
    receive_count: int = 1
    pace: Pace = Pace.EVENT
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The sender's other message attributes, as Lambda delivers them."""
    trace_header: str | None = None

    @property
    def request_id(self) -> str:
        return self.given_request_id or self.message_id

    @property
    def loses_request_id(self) -> bool:
        """Whether SQS may soon move the message to the dead-letter queue, where a redrive gives the
        message another id, and so the request."""
        return self.receive_count > 1 and self.given_request_id is None


def delay_seconds(wait_seconds: float, rng: random.Random) -> int:
    """Return the delay of a message, or the first delay of a wait that needs several."""
    if wait_seconds > MAX_DELAY_SECONDS:
        return rng.randint(MIN_HOP_SECONDS, MAX_DELAY_SECONDS)
    return max(math.ceil(wait_seconds), 0)


def backoff_seconds(failures: int, most_seconds: float, rng: random.Random) -> float:
    """Return a wait that doubles with each failure, with jitter; `most_seconds` at most."""
    ceiling = min(_BACKOFF_SECONDS * 2.0 ** min(failures, 10), most_seconds)
    return ceiling * rng.uniform(0.5, 1)
