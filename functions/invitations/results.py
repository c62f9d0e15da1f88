"""What goes out: the one result of each request. No AWS, no clock; times are epoch seconds."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invitations.requests import Request

SCHEMA_VERSION = "1.1"

INVITATION_SECONDS = 72 * 3600
"""How long an invitation can be accepted. Source: the vendor's help pages."""

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


class Reason(StrEnum):
    """Why a request ended as it did; schemas/result-1.1.json lists the same."""

    INVITED = "invited"
    WINDOW_ACTIVE = "window_active"
    NOT_DUE = "not_due"
    DAILY_LIMIT = "daily_limit"
    BAD_REQUEST = "bad_request"
    FORBIDDEN = "forbidden"
    USER_NOT_FOUND = "user_not_found"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    CLIENT_ERROR = "client_error"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    DEADLINE_PASSED = "deadline_passed"
    MALFORMED_JSON = "malformed_json"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_KEY = "duplicate_key"
    UNSUPPORTED_SHAPE = "unsupported_shape"
    FIELD_MISSPELT = "field_misspelt"
    DRY_RUN_NOT_SUPPORTED = "dry_run_not_supported"
    USER_ID_MISSING = "user_id_missing"
    USER_ID_NOT_A_STRING = "user_id_not_a_string"
    USER_ID_EMPTY = "user_id_empty"
    USER_ID_TOO_LONG = "user_id_too_long"
    USER_ID_UNSAFE_CHARACTER = "user_id_unsafe_character"
    USER_ID_DOT_SEGMENT = "user_id_dot_segment"
    USER_IDS_MALFORMED = "user_ids_malformed"
    REQUEST_ID_MALFORMED = "request_id_malformed"
    CORRELATION_ID_MALFORMED = "correlation_id_malformed"
    ON_ACTIVE_WINDOW_UNKNOWN = "on_active_window_unknown"
    NOT_AFTER_MALFORMED = "not_after_malformed"


ENDS: Mapping[Reason, tuple[Status, str | None]] = {
    Reason.INVITED: (Status.SENT, None),
    Reason.WINDOW_ACTIVE: (
        Status.SKIPPED,
        "The user was invited within the last minutes, or may have been; ask again after "
        "window_ends_at, or send on_active_window: defer.",
    ),
    Reason.NOT_DUE: (
        Status.SKIPPED,
        "The user was invited, or may have been, after the sweep found them; the next sweep looks "
        "at them again.",
    ),
    Reason.DAILY_LIMIT: (
        Status.SKIPPED,
        "The user got as many invitations in the last 24 hours as UserDailyLimit allows; find out "
        "what keeps asking.",
    ),
    Reason.BAD_REQUEST: (
        Status.REJECTED,
        "The API called the request malformed; check the user_id.",
    ),
    Reason.FORBIDDEN: (
        Status.REJECTED,
        "The API key may not invite this user; check that its Partoo user has write access.",
    ),
    Reason.USER_NOT_FOUND: (Status.REJECTED, "The API knows no such user; check the user_id."),
    Reason.UNSUPPORTED_MEDIA_TYPE: (
        Status.REJECTED,
        "The API did not accept the request's content type.",
    ),
    Reason.CLIENT_ERROR: (Status.REJECTED, "The API refused the request; http_status says how."),
    Reason.ATTEMPTS_EXHAUSTED: (
        Status.FAILED,
        "No call brought a clear answer in MaxAttempts calls; redrive the message once the API "
        "answers again.",
    ),
    Reason.DEADLINE_PASSED: (
        Status.FAILED,
        "The request's not_after passed before it could be carried out.",
    ),
}
"""The status and the detail of each reason that does not depend on the input."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The final answer to a request. The content of a `result_id` never changes.

    All results but `invalid` are stored before they are published.
    """

    result_id: str
    request_id: str
    user_id: str | None
    correlation_id: str | None
    source: str
    status: str
    reason: str
    detail: str | None
    http_status: int | None = None
    attempts: int = 0
    occurred_at: str
    window_ends_at: str | None = None
    invitation_expires_at: str | None = None
    sent_count: int | None = None
    schema_version: str = SCHEMA_VERSION

    @property
    def goes_to_dead_letter_queue(self) -> bool:
        return self.status in (Status.FAILED, Status.INVALID)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Result":
        return cls(**known_fields(cls, json.loads(text)))


def request_result(
    request: "Request",
    reason: Reason,
    occurred_at: float,
    *,
    window_ends_at: float | None = None,
    sent_count: int | None = None,
) -> Result:
    """Return the result of a request; its id depends on the request, the user and the status.

    The id of a `failed` also depends on when the request was asked for: a redriven request may fail
    again.
    """
    state, (status, detail) = request.state, ENDS[reason]
    is_sent = status == Status.SENT
    asked_at = [state.asked_at] if status == Status.FAILED else []
    return Result(
        result_id=result_id(status, request.request_id, request.user_id, *asked_at),
        request_id=request.request_id,
        user_id=request.user_id,
        correlation_id=request.correlation_id,
        source=request.message.source,
        status=status,
        reason=reason,
        detail=detail,
        http_status=state.http_status,
        attempts=state.attempts,
        occurred_at=iso(occurred_at),
        window_ends_at=None if window_ends_at is None else iso(window_ends_at),
        invitation_expires_at=iso(occurred_at + INVITATION_SECONDS) if is_sent else None,
        sent_count=sent_count,
    )


def known_fields(cls: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a stored document that a dataclass has, with arrays as tuples.

    A newer version of the code may have stored more.
    """
    known = {each.name: document[each.name] for each in fields(cls) if each.name in document}
    return {name: tuple(each) if isinstance(each, list) else each for name, each in known.items()}


def result_id(status: Status, *identity: str | float) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"result/{status}/{json.dumps(identity)}"))


def derived_request_id(order_id: str, user_id: Any) -> str:
    """Return the request id of one user in an order for many users, or in a sweep."""
    return str(uuid.uuid5(_NAMESPACE, f"request/{json.dumps([order_id, user_id])}"))


def iso(moment: float) -> str:
    """Format epoch seconds as ISO 8601 in UTC with milliseconds."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
