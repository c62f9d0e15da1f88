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


class Cause(StrEnum):
    """Why a request is deferred; errors.py has the causes of AWS services that fail."""

    CONNECTION_FAILED = "connection_failed"
    """No connection was established, so the API received nothing."""
    NO_ANSWER = "no_answer"
    """Sending began, and no final answer came."""
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

    http_status: int | None = None
    status: Status | None = None
    reason: Reason | None = None
    cause: Cause | None = None
    emailed_at: float | None = None
    """The latest time at which an e-mail can have gone out; None when none did."""
    retry_after_seconds: float | None = None
    excerpt: str = ""
    """The beginning of a failed call's answer or error, fit for the log."""
    body: str = ""
    """The body of a page, whole."""

    @property
    def is_unknown(self) -> bool:
        """Whether an e-mail may have gone out or not."""
        return self.cause in (Cause.NO_ANSWER, Cause.SERVER_ERROR)

    @property
    def counts(self) -> bool:
        """Whether the call counts towards `MaxAttempts`."""
        return self.cause not in (Cause.CONNECTION_FAILED, Cause.UNAUTHORIZED, Cause.THROTTLED)


_REJECTIONS = {
    400: Reason.BAD_REQUEST,
    403: Reason.FORBIDDEN,
    404: Reason.USER_NOT_FOUND,
    415: Reason.UNSUPPORTED_MEDIA_TYPE,
}


def judge(code: int, answered_at: float, retry_after: str | None = None) -> Outcome:
    """Return what an answer means. Source: the API's reference and RFC 9110."""
    if 200 <= code < 300:
        return Outcome(code, Status.SENT, Reason.INVITED, emailed_at=answered_at)
    if 300 <= code < 400:
        return Outcome(code, cause=Cause.REDIRECTED)
    if code == 401:
        return Outcome(code, cause=Cause.UNAUTHORIZED)
    if code == 429:
        wait = retry_after_seconds(retry_after, answered_at)
        return Outcome(code, cause=Cause.THROTTLED, retry_after_seconds=wait)
    if code in (408, 421, 425):
        return Outcome(code, cause=Cause.TRY_LATER)
    if 400 <= code < 500:
        return Outcome(code, Status.REJECTED, _REJECTIONS.get(code, Reason.CLIENT_ERROR))
    return Outcome(code, cause=Cause.SERVER_ERROR, emailed_at=answered_at)


def retry_after_seconds(value: str | None, now: float) -> float:
    """Return the wait that `Retry-After` asks for, in seconds or as a date (RFC 9110, 10.2.3).

    A missing or unreadable field means a minute; the wait is between a second and a day.
    """
    text = (value or "").strip()
    wait = 60.0
    if text.isascii() and text.isdigit():
        wait = float(text)
    else:
        with suppress(ValueError, OverflowError):
            moment = parsedate_to_datetime(text)
            # Every HTTP date is in UTC; one of its obsolete forms does not say so.
            wait = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now
    return math.ceil(min(max(wait, 1.0), 86_400.0))
