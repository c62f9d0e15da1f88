"""What one call to the API means. No AWS, no clock; times are epoch seconds.

The question that decides is whether an e-mail can have gone out.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

from invitations.results import Reason, Status

RETRY_AFTER_DEFAULT_SECONDS = 60.0
RETRY_AFTER_MIN_SECONDS = 1.0
RETRY_AFTER_MAX_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Answered:
    """The API answered. `excerpt` may be logged; `body` is the whole body of a page."""

    http_status: int
    answered_at: float
    retry_after: str | None = None
    excerpt: str = ""
    body: str = ""


@dataclass(frozen=True)
class NotSent:
    """No connection was established, so the API received nothing."""

    error: str


@dataclass(frozen=True)
class Unknown:
    """Sending began, and no final answer came."""

    error: str
    gave_up_at: float


Response = Answered | NotSent | Unknown


class Email(StrEnum):
    """Can an e-mail have gone out?"""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Why a request is deferred; errors.py has the causes of AWS services that fail."""

    CONNECTION_FAILED = "connection_failed"
    NO_ANSWER = "no_answer"
    SERVER_ERROR = "server_error"
    REDIRECTED = "redirected"
    TRY_LATER = "try_later"
    UNAUTHORIZED = "unauthorized"
    KEY_REPLACED = "key_replaced"
    THROTTLED = "throttled"
    OUTAGE = "outage"
    KEY_REFUSED = "key_refused"
    OPERATOR = "operator"
    QUOTA = "quota"
    WINDOW_ACTIVE = "window_active"
    IN_PROGRESS = "in_progress"
    CONTENDED = "contended"
    TIME_BUDGET_EXHAUSTED = "time_budget_exhausted"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  # no password
    REQUEST_ID_PERSISTED = "request_id_persisted"
    ORDER_SPLIT = "order_split"


@dataclass(frozen=True)
class Outcome:
    """What a call means: a final `status` and `reason`, or a `cause` to defer the request."""

    email: Email
    http_status: int | None = None
    status: Status | None = None
    reason: Reason | None = None
    cause: Cause | None = None
    emailed_at: float | None = None
    """The latest time at which an e-mail can have gone out; None when none did."""
    retry_after_seconds: float | None = None

    @property
    def counts(self) -> bool:
        """Whether the call counts towards `MaxAttempts`."""
        return self.cause not in (Cause.CONNECTION_FAILED, Cause.UNAUTHORIZED, Cause.THROTTLED)

    @property
    def is_outage(self) -> bool:
        """Whether the API seems to be down."""
        return self.cause in (Cause.CONNECTION_FAILED, Cause.NO_ANSWER, Cause.SERVER_ERROR)


_REJECTIONS = {
    400: Reason.BAD_REQUEST,
    403: Reason.FORBIDDEN,
    404: Reason.USER_NOT_FOUND,
    415: Reason.UNSUPPORTED_MEDIA_TYPE,
}
_TRY_LATER = {408, 421, 425}


def judge(response: Response) -> Outcome:
    """Return what a response means. Source: the API's reference and RFC 9110."""
    if isinstance(response, NotSent):
        return Outcome(Email.NO, cause=Cause.CONNECTION_FAILED)
    if isinstance(response, Unknown):
        return Outcome(Email.UNKNOWN, cause=Cause.NO_ANSWER, emailed_at=response.gave_up_at)
    code, at = response.http_status, response.answered_at
    if 200 <= code < 300:
        return Outcome(Email.YES, code, Status.SENT, Reason.INVITED, emailed_at=at)
    if 300 <= code < 400:
        return Outcome(Email.NO, code, cause=Cause.REDIRECTED)
    if code == 401:
        return Outcome(Email.NO, code, cause=Cause.UNAUTHORIZED)
    if code == 429:
        wait = retry_after_seconds(response.retry_after, at)
        return Outcome(Email.NO, code, cause=Cause.THROTTLED, retry_after_seconds=wait)
    if code in _TRY_LATER:
        return Outcome(Email.NO, code, cause=Cause.TRY_LATER)
    if 400 <= code < 500:
        return Outcome(Email.NO, code, Status.REJECTED, _REJECTIONS.get(code, Reason.CLIENT_ERROR))
    return Outcome(Email.UNKNOWN, code, cause=Cause.SERVER_ERROR, emailed_at=at)


def retry_after_seconds(value: str | None, now: float) -> float:
    """Return the wait that `Retry-After` asks for, in seconds or as a date (RFC 9110, 10.2.3).

    A missing or unreadable field means a minute; the wait is between a second and a day.
    """
    text = (value or "").strip()
    wait = RETRY_AFTER_DEFAULT_SECONDS
    if text.isascii() and text.isdigit():
        wait = float(text)
    else:
        with suppress(ValueError, OverflowError):
            moment = parsedate_to_datetime(text)
            # Every HTTP date is in UTC; one of its obsolete forms does not say so.
            wait = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now
    return math.ceil(min(max(wait, RETRY_AFTER_MIN_SECONDS), RETRY_AFTER_MAX_SECONDS))
