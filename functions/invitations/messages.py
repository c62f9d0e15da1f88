"""A message and what travels with it. No AWS, no clock; times are epoch seconds."""

import json
import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from invitations.outcomes import Email, Outcome
from invitations.results import Result, Source, Status, known_fields

MAX_DELAY_SECONDS = 900
"""The longest delay that SQS knows."""

MIN_HOP_SECONDS = 600
"""A wait beyond SQS's longest delay is made of hops of this to that length: hops of equal length
would bring thousands of messages back in the same second."""


class Pace(StrEnum):
    """Whose turn comes first: bulk gives way to events."""

    EVENT = "event"
    BULK = "bulk"


@dataclass(frozen=True)
class SweepCriteria:
    """What must hold for a sweep's request when it is carried out."""

    max_invites: int
    min_age_seconds: float


@dataclass(frozen=True)
class Ending:
    """How a request ended. The table stores it; until it does, it travels with the message."""

    result: Result
    ended_at: float
    claim_id: str | None = None
    """The claim under which the last call was made; None when the end needed no call."""
    window_ends_at: float | None = None
    invited_at: float | None = None
    """When an e-mail went out, or may have; None when none did."""

    @property
    def sent(self) -> bool:
        return self.result.status == Status.SENT

    def answers(self, asked_at: float) -> bool:
        """Whether it answers a request that was asked for then: a failed one may be redriven."""
        return self.result.status != Status.FAILED or asked_at <= self.ended_at


@dataclass(frozen=True)
class RetryState:
    """What is known of a deferred request. It travels with the message as JSON."""

    request_id: str
    source: str
    asked_at: float
    """When the first message of this request was sent, or the redriven one."""
    wait_until: float = 0.0
    cause: str | None = None
    """Why it waits."""
    has_appointment: bool = False
    """Whether `wait_until` is an appointment of the rate limiter."""
    failures: int = 0
    """Deferrals because something failed; each waits longer than the last."""
    attempts: int = 0
    """Calls made."""
    counted_attempts: int = 0
    """Those of them that count towards `MaxAttempts`."""
    unknown_outcomes: int = 0
    """Those of them whose outcome is unknown."""
    http_status: int | None = None
    """Of the last answer."""
    criteria: SweepCriteria | None = None
    """Of a sweep's request."""
    unsaved: Ending | None = None
    """An end that the table did not take."""

    def counting(self, outcome: Outcome) -> "RetryState":
        """With one more call."""
        return replace(
            self,
            attempts=self.attempts + 1,
            counted_attempts=self.counted_attempts + outcome.counts,
            unknown_outcomes=self.unknown_outcomes + (outcome.email == Email.UNKNOWN),
            http_status=outcome.http_status,
        )

    def to_json(self) -> str:
        return json.dumps({name: each for name, each in asdict(self).items() if each is not None})

    @classmethod
    def from_json(cls, text: str) -> "RetryState":
        """Read a retry state; fields that a newer version added are left out.

        Raises AttributeError, TypeError, ValueError, KeyError, OverflowError or RecursionError when
        it is none.
        """
        document = json.loads(text)
        criteria, unsaved = document.get("criteria"), document.get("unsaved")
        if criteria is not None:
            document["criteria"] = SweepCriteria(**known_fields(SweepCriteria, criteria))
        if unsaved is not None:
            unsaved["result"] = Result.from_fields(unsaved["result"])
            document["unsaved"] = Ending(**known_fields(Ending, unsaved))
        return cls(**known_fields(cls, document))


@dataclass(frozen=True)
class Deferred:
    """A request that waits on a queue; its result comes later."""

    request_id: str
    user_id: str | None
    cause: str
    delay_seconds: int


@dataclass(frozen=True)
class Message:
    """One delivery of one message, its body untouched."""

    message_id: str
    """The platform's name for it: equal when it is delivered again, new after a redrive."""
    body: str
    source: Source
    sent_at: float
    received_at: float
    """When it was first received."""
    receive_count: int = 1
    pace: Pace = Pace.EVENT
    retry_state: RetryState | None = None
    """None unless it comes from one of this application's own queues."""
    request_id: str | None = None
    """The message attribute of that name, which a redriven message has."""
    original_source: str | None = None
    """The message attribute `source` of a redriven message."""
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The sender's other message attributes, as SQS takes them."""
    trace_header: str | None = None

    @property
    def asked_at(self) -> float:
        return self.sent_at if self.retry_state is None else self.retry_state.asked_at


def delay_seconds(wait_seconds: float, rng: random.Random) -> int:
    """The delay of a message that waits so long, or of the first hop of its wait."""
    if wait_seconds > MAX_DELAY_SECONDS:
        return rng.randint(MIN_HOP_SECONDS, MAX_DELAY_SECONDS)
    return max(math.ceil(wait_seconds), 0)
