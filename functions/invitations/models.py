"""The rules: what a request is, what an answer of the API means, what a result says.

Pure: no AWS, no HTTP, no clock. Every time is epoch seconds and is passed in.
"""

import json
import math
import random
import uuid
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple

from invitations.errors import InvalidRequestError

SCHEMA_VERSION = "1.0"

# The vendor's help pages: an invitation can be accepted for three days.
INVITATION_LIFE_SECONDS = 72 * 3600

# Executions read different clocks. A window counts as over only when it would be over on a clock
# that runs this far behind ours.
CLOCK_SKEW_SECONDS = 2

# SQS delays a message by at most this; a longer wait is made of several.
MAX_DELAY_SECONDS = 900

# What the API sends; taken when it sends nothing readable.
RETRY_AFTER_DEFAULT_SECONDS = 60
RETRY_AFTER_MIN_SECONDS = 1
RETRY_AFTER_MAX_SECONDS = 900

BACKOFF_BASE_SECONDS = 5

ROLES = ("PROVIDER", "ORG_ADMIN", "GROUP_MANAGER", "BUSINESS_MANAGER", "PUBLISHER")
"""What the vendor's users can be."""

_NAMESPACE = uuid.UUID("6b5b2a51-7b8f-4f0e-9a52-0f4d1e6f2c11")


class Source(StrEnum):
    SQS = "sqs"
    EVENTBRIDGE = "eventbridge"
    SNS = "sns"
    DIRECT = "direct"
    SWEEP = "sweep"


class Status(StrEnum):
    SENT = "sent"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    FAILED = "failed"
    INVALID = "invalid"


class OnActiveWindow(StrEnum):
    SKIP = "skip"
    DEFER = "defer"


class Request(NamedTuple):
    """One wish that one user be invited again."""

    request_id: str
    user_id: str
    source: Source
    on_active_window: OnActiveWindow = OnActiveWindow.SKIP
    not_after: float | None = None
    correlation_id: str | None = None


class Result(NamedTuple):
    """The final answer to a request. Stored before it is published, so that it never changes."""

    result_id: str
    request_id: str
    user_id: str | None
    correlation_id: str | None
    source: Source
    status: Status
    reason: str
    http_status: int | None
    attempts: int
    occurred_at: str
    window_ends_at: str | None
    invitation_expires_at: str | None
    sent_count: int | None = None
    """Of a `sent`: how many invitations the user has got, as far as the ledger knows."""
    schema_version: str = SCHEMA_VERSION

    @property
    def rests_in_dead_letter_queue(self) -> bool:
        return self.status in (Status.FAILED, Status.INVALID)

    def to_json(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, text: str) -> "Result":
        fields = json.loads(text)
        return cls(
            **{
                **fields,
                "source": Source(fields["source"]),
                "status": Status(fields["status"]),
            }
        )


class Tally(NamedTuple):
    """How often the API was called for a request."""

    attempts: int = 0
    pardons: int = 0
    """Calls that say nothing about the request and do not count towards `MaxAttempts`."""

    @property
    def strikes(self) -> int:
        return self.attempts - self.pardons


class Cap(NamedTuple):
    """How often, and how soon after the last time, a sweep may have a user invited."""

    max_invites: int
    min_age_seconds: float


class Claim(NamedTuple):
    """The right to call the API for one user, held by one execution."""

    claim_id: str
    request_id: str
    user_id: str


class Unrecorded(NamedTuple):
    """A final result that the ledger did not take; it travels with the message until it does."""

    claim: Claim
    result: Result
    answered_at: float
    window_ends_at: float | None


class Progress(NamedTuple):
    """What earlier executions learnt of a request; travels with its deferred copies."""

    request_id: str | None = None
    source: Source | None = None
    life_id: str | None = None
    """The first message of this life; a redrive from the dead-letter queue begins another."""
    asked_at: float | None = None
    """When that message was sent."""
    deferrals: int = 0
    """Those that something failed for; each waits longer than the last."""
    tally: Tally = Tally()
    http_status: int | None = None
    """Of the last answer."""
    unrecorded: Unrecorded | None = None
    cap: Cap | None = None
    """Of a sweep's request; holds again when the request is carried out."""


class Delivery(NamedTuple):
    """One arrival of one message, its body untouched."""

    delivery_id: str
    """The platform's name for this message: equal on redelivery, new after a redrive."""
    body: str
    source: Source
    received_at: float
    receive_count: int = 1
    notes: str | None = None
    """The `Progress` that a deferred copy carries, as JSON; None for a first arrival."""
    sent_at: float | None = None
    """None: it came without a queue."""

    @property
    def asked_at(self) -> float:
        return self.received_at if self.sent_at is None else self.sent_at


class Copy(NamedTuple):
    """A message that goes back to the queue, its body untouched, to arrive after a delay."""

    body: str
    progress: Progress
    delay_seconds: int


class Queued(NamedTuple):
    """The request waits on the queue; its result comes later."""

    request_id: str
    user_id: str
    cause: str
    delay_seconds: int


class Answered(NamedTuple):
    """The API answered; `excerpt` is the beginning of the body, or empty when unreadable."""

    http_status: int
    answered_at: float
    retry_after: str | None = None
    excerpt: str = ""
    body: str = ""
    """All of it, where it is wanted; holds what must not be logged."""


class NeverSent(NamedTuple):
    """The call failed before its first byte left: nobody can have acted on it."""

    error: str


class Unanswered(NamedTuple):
    """The call left and no answer came: whether an e-mail went out is unknown."""

    error: str
    gave_up_at: float


CallOutcome = Answered | NeverSent | Unanswered


class Email(StrEnum):
    """Can an e-mail have gone out? The question that decides what a call means."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Verdict(NamedTuple):
    """What one call to the API means for the window and for the request."""

    email: Email
    reason: str
    http_status: int | None = None
    status: Status | None = None
    """The final status, or None when the request is to be deferred."""
    pardoned: bool = False
    retry_after_seconds: float | None = None
    held_from: float | None = None
    """When an e-mail may have gone out at the latest; None when none did."""
    is_outage: bool = False
    """Whether the API seems to be down: no connection, no answer, or a 5xx."""


_REJECTIONS = {
    400: "bad_request",
    403: "forbidden",
    404: "user_not_found",
    415: "unsupported_media_type",
}


def judge(outcome: CallOutcome) -> Verdict:
    """Decide what a call means. Source: the outcome table of the API's known behaviour."""
    match outcome:
        case NeverSent():
            return Verdict(Email.NO, "connection_failed", is_outage=True)
        case Unanswered():
            return Verdict(Email.UNKNOWN, "no_answer", held_from=outcome.gave_up_at, is_outage=True)
        case Answered():
            return _judge_answer(outcome)


def _judge_answer(answer: Answered) -> Verdict:
    code = answer.http_status
    if 200 <= code < 300:
        return Verdict(Email.YES, "invited", code, status=Status.SENT, held_from=answer.answered_at)
    if 300 <= code < 400:
        return Verdict(Email.NO, "redirected", code)
    if code == 401:
        return Verdict(Email.NO, "unauthorized", code, pardoned=True)
    if code == 429:
        wait = retry_after_seconds(answer.retry_after, answer.answered_at)
        return Verdict(Email.NO, "throttled", code, pardoned=True, retry_after_seconds=wait)
    if 400 <= code < 500:
        reason = _REJECTIONS.get(code, "client_error")
        return Verdict(Email.NO, reason, code, status=Status.REJECTED)
    return Verdict(
        Email.UNKNOWN, "server_error", code, held_from=answer.answered_at, is_outage=True
    )


def retry_after_seconds(value: str | None, now: float) -> float:
    """Seconds to wait by a `Retry-After` field: seconds or an HTTP date (RFC 9110 §10.2.3)."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        wait = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
            # Every HTTP date is in UTC; one of its old forms does not say so.
            wait = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now
        except (ValueError, OverflowError):
            wait = RETRY_AFTER_DEFAULT_SECONDS
    return min(max(wait, RETRY_AFTER_MIN_SECONDS), RETRY_AFTER_MAX_SECONDS)


def backoff_seconds(deferrals: int, dice: random.Random) -> float:
    """Exponential wait with jitter: between half of it and all of it, at most 15 minutes."""
    ceiling = min(BACKOFF_BASE_SECONDS * 2.0 ** min(deferrals, 10), MAX_DELAY_SECONDS)
    return ceiling * dice.uniform(0.5, 1)


def queue_delay(wait_seconds: float) -> int:
    """A wait in the whole seconds that the queue knows, at most its longest delay."""
    return min(max(math.ceil(wait_seconds), 0), MAX_DELAY_SECONDS)


def window_is_over(window_ends_at: float, now: float) -> bool:
    """Whether a window is over on every clock that executions may read."""
    return window_ends_at + CLOCK_SKEW_SECONDS <= now


def answer_request(
    request: Request,
    status: Status,
    reason: str,
    *,
    occurred_at: float,
    attempts: int,
    http_status: int | None = None,
    window_ends_at: float | None = None,
    sent_count: int | None = None,
) -> Result:
    """The result of a request; its id depends on the request, the user and the status alone."""
    expires_at = occurred_at + INVITATION_LIFE_SECONDS if status is Status.SENT else None
    return Result(
        result_id=_result_id(status, json.dumps([request.request_id, request.user_id])),
        request_id=request.request_id,
        user_id=request.user_id,
        correlation_id=request.correlation_id,
        source=request.source,
        status=status,
        reason=reason,
        http_status=http_status,
        attempts=attempts,
        occurred_at=iso(occurred_at),
        window_ends_at=None if window_ends_at is None else iso(window_ends_at),
        invitation_expires_at=None if expires_at is None else iso(expires_at),
        sent_count=sent_count,
    )


def answer_invalid(delivery: Delivery, error: InvalidRequestError) -> Result:
    """The result of input that is no request.

    Built from what every redelivery of the message repeats, so that its content never changes
    although it is not stored. Two faulty messages may name one request: the message's own id
    tells them apart.
    """
    return Result(
        result_id=_result_id(Status.INVALID, delivery.delivery_id),
        request_id=error.request_id or delivery.delivery_id,
        user_id=None,
        correlation_id=error.correlation_id,
        source=Source(error.source or delivery.source),
        status=Status.INVALID,
        reason=error.reason,
        http_status=None,
        attempts=0,
        occurred_at=iso(delivery.received_at),
        window_ends_at=None,
        invitation_expires_at=None,
    )


def iso(moment: float) -> str:
    """ISO 8601 in UTC with milliseconds, from epoch seconds."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _result_id(status: Status, name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"result/{status}/{name}"))


def derived_request_id(base: str, user_id: str) -> str:
    """The id of one user's request among those that one order named together."""
    return str(uuid.uuid5(_NAMESPACE, f"request/{base}/{user_id}"))
