"""What is written to the log: one line for each result, each deferral and each call.

Never a body, a header or an e-mail address; excerpts of the API's answers come cleaned.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from invitations import metrics
from invitations.errors import (
    DependencyUnavailableError,
    InvalidRequestError,
    KeyUnavailableError,
)
from invitations.gate import Gate
from invitations.models import (
    Answered,
    CallOutcome,
    NeverSent,
    Progress,
    Queued,
    Request,
    Result,
    Unanswered,
    iso,
)

if TYPE_CHECKING:
    from invitations.expiry import Expiry
    from invitations.sweeps import Summary

_SERVICE = "partoo-reinvite"

_STANDARD = vars(logging.makeLogRecord({})).keys()


class JsonFormatter(logging.Formatter):
    """One JSON object for each record, with its extra fields and without those that are None.

    The field `metrics` says which of the others CloudWatch is to count.
    """

    def format(self, record: logging.LogRecord) -> str:
        trace = os.environ.get("_X_AMZN_TRACE_ID", "").partition(";")[0].removeprefix("Root=")
        fields: dict[str, object] = {
            "level": record.levelname,
            "location": f"{record.funcName}:{record.lineno}",
            "message": record.getMessage(),
            # In this form, Lambda takes it and the level over as the line's own.
            "timestamp": iso(record.created),
            "service": _SERVICE,
            **{name: each for name, each in vars(record).items() if name not in _STANDARD},
            "xray_trace_id": trace or None,
        }
        if "metrics" in fields:
            fields["_aws"] = {
                "Timestamp": int(record.created * 1000),
                "CloudWatchMetrics": fields.pop("metrics"),
            }
        if record.exc_info and record.exc_info[0]:
            fields["exception"] = self.formatException(record.exc_info)
            fields["exception_name"] = record.exc_info[0].__name__
        told = {name: each for name, each in fields.items() if each is not None}
        return json.dumps(told, separators=(",", ":"), default=str)


def _json_logger() -> logging.Logger:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger(_SERVICE)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    # The runtime has a handler of its own, which would write every line again.
    logger.propagate = False
    return logger


logger = _json_logger()


def log_result(result: Result, error: InvalidRequestError | None, age_seconds: float) -> None:
    logger.info(
        "result published",
        extra={
            "result_id": result.result_id,
            "request_id": result.request_id,
            "user_id": result.user_id,
            "correlation_id": result.correlation_id,
            "source": result.source,
            "status": result.status,
            "reason": result.reason,
            "http_status": result.http_status,
            "attempts": result.attempts,
            "error": None if error is None else str(error),
            "metrics": metrics.RESULT,
            "Results": 1,
            "RequestAge": round(age_seconds, 3),
        },
    )


def log_deferral(request: Request, queued: Queued, progress: Progress) -> None:
    logger.info(
        "request deferred",
        extra={
            **about(request),
            "cause": queued.cause,
            "delay_seconds": queued.delay_seconds,
            "attempts": progress.tally.attempts,
            "deferrals": progress.deferrals,
            "metrics": metrics.DEFERRAL,
            "Deferrals": 1,
        },
    )


def log_call(about: Mapping[str, object], outcome: CallOutcome, latency_seconds: float) -> None:
    """The vendor documents few of its answers, so those that are odd are worth keeping."""
    measured = {
        **about,
        "metrics": metrics.CALL,
        "ApiCalls": 1,
        "ApiLatency": round(latency_seconds * 1000, 1),
    }
    match outcome:
        case Answered(http_status=code) if code < 300:
            logger.info("call succeeded", extra={**measured, "answer": str(code)})
            return
        case Answered(http_status=code):
            told = {"answer": str(code), "http_status": code, "body": outcome.excerpt}
        case NeverSent():
            told = {"answer": "never_sent", "error": outcome.error}
        case Unanswered():
            told = {"answer": "none", "error": outcome.error}
    logger.warning("call did not succeed", extra={**measured, **told})


def log_dependency(about: Mapping[str, object], error: DependencyUnavailableError) -> None:
    counted = {"metrics": metrics.SECRET_FAILURE, "SecretFailures": 1}
    told = counted if isinstance(error, KeyUnavailableError) else {}
    logger.error("dependency unavailable", extra={**about, "error": str(error), **told})


def log_sweep(summary: "Summary") -> None:
    failed = summary.status == "sweep_failed"
    log = logger.error if failed else logger.info
    log(
        "sweep ended",
        extra={
            **asdict(summary),
            "skipped": dict(summary.skipped),
            "metrics": metrics.SWEEP,
            "SweepsEnded": 1,
            "SweepFailures": int(failed),
            "SweepUsersFound": summary.found,
            "SweepUsersDue": summary.due,
            "SweepRequestsQueued": summary.queued,
        },
    )


def log_put_off(sweep_id: str | None, cause: str, delay_seconds: int) -> None:
    told = {"sweep_id": sweep_id, "cause": cause, "delay_seconds": delay_seconds}
    logger.info("sweep put off", extra=told)


def log_key_check(expiry: "Expiry") -> None:
    log = logger.warning if expiry.is_soon or expiry.reason is not None else logger.info
    counted, values = metrics.KEY_CHECK, {"KeyExpiryUnknown": int(expiry.reason is not None)}
    # A check that found nothing out takes no warning back.
    if expiry.is_soon or expiry.reason is None:
        counted = counted + metrics.KEY_WARNING
        values["KeyExpiresSoon"] = int(expiry.is_soon)
    if expiry.days_left is not None:
        counted = counted + metrics.KEY_DAYS
        values["KeyDaysLeft"] = expiry.days_left
    log("key checked", extra={**asdict(expiry), "metrics": counted, **values})


def log_failure(message_id: str, error: Exception) -> None:
    counted = {"metrics": metrics.RETURNED, "MessagesReturned": 1}
    told = {"message_id": message_id, **counted}
    logger.error("message goes back to the queue", extra=told, exc_info=error)


def log_gate_unavailable(error: DependencyUnavailableError) -> None:
    logger.error("the others cannot be told", extra={"error": str(error)})


def log_gate(before: Gate, after: Gate) -> None:
    """A pause for the quota and the breaker, each with metrics of its own, when they change."""
    if after.paused_until > before.paused_until:
        paused = {"metrics": metrics.QUOTA_PAUSE, "QuotaPauses": 1}
        logger.warning("quota pause", extra={"paused_until": iso(after.paused_until), **paused})
    if after.shut_cause is not None and after.shut_until > before.shut_until:
        told = {"cause": after.shut_cause, "shut_until": iso(after.shut_until), "BreakerState": 1}
        counted = (
            {"metrics": metrics.KEY_REFUSAL, "KeyRefusals": 1}
            if after.shut_cause == "key_refused"
            else {"metrics": metrics.BREAKER_OPENING, "BreakerOpenings": 1}
        )
        logger.error("breaker open", extra={**told, **counted})
    if after.shut_cause is None and before.shut_cause is not None:
        told = {"cause": before.shut_cause, "metrics": metrics.BREAKER_CLOSING, "BreakerState": 0}
        logger.info("breaker closed", extra=told)


def about(request: Request) -> dict[str, object]:
    """What names a request in every line about it."""
    return {
        "request_id": request.request_id,
        "user_id": request.user_id,
        "correlation_id": request.correlation_id,
    }
