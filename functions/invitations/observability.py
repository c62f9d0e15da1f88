"""What is written to the log: one line for each result, each deferral and each odd answer.

Never a body, a header or an e-mail address; excerpts of the API's answers come cleaned.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

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
    from invitations.sweeps import Summary

_SERVICE = "partoo-reinvite"

_STANDARD = vars(logging.makeLogRecord({})).keys()


class JsonFormatter(logging.Formatter):
    """One JSON object for each record, with its extra fields and without those that are None."""

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


def log_result(result: Result, error: InvalidRequestError | None) -> None:
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
        },
    )


def log_call(about: Mapping[str, object], outcome: CallOutcome) -> None:
    """The vendor documents few of its answers, so the others are worth keeping."""
    match outcome:
        case Answered(http_status=code) if code < 300:
            return
        case Answered():
            told = {"http_status": outcome.http_status, "body": outcome.excerpt}
        case NeverSent() | Unanswered():
            told = {"error": outcome.error}
    logger.warning("call did not succeed", extra={**about, **told})


def log_dependency(about: Mapping[str, object], error: DependencyUnavailableError) -> None:
    logger.error("dependency unavailable", extra={**about, "error": str(error)})
    if isinstance(error, KeyUnavailableError):
        _count("SecretFailures")


def log_sweep(summary: "Summary") -> None:
    log = logger.error if summary.status == "sweep_failed" else logger.info
    log("sweep ended", extra={**asdict(summary), "skipped": dict(summary.skipped)})
    for name, count in (
        ("SweepUsersFound", summary.found),
        ("SweepUsersDue", summary.due),
        ("SweepRequestsQueued", summary.queued),
        ("SweepsEnded", 1),
        ("SweepFailures", int(summary.status == "sweep_failed")),
    ):
        _count(name, count)


def log_put_off(sweep_id: str | None, cause: str, delay_seconds: int) -> None:
    told = {"sweep_id": sweep_id, "cause": cause, "delay_seconds": delay_seconds}
    logger.info("sweep put off", extra=told)


def log_failure(message_id: str, error: Exception) -> None:
    logger.error("message goes back to the queue", extra={"message_id": message_id}, exc_info=error)


def log_gate_unavailable(error: DependencyUnavailableError) -> None:
    logger.error("the others cannot be told", extra={"error": str(error)})


def log_gate(before: Gate, after: Gate) -> None:
    """A pause for the quota and the breaker, each with a metric of its own, when they change."""
    if after.paused_until > before.paused_until:
        logger.warning("quota pause", extra={"paused_until": iso(after.paused_until)})
        _count("QuotaPauses")
    if after.shut_cause is not None and after.shut_until > before.shut_until:
        told = {"cause": after.shut_cause, "shut_until": iso(after.shut_until)}
        logger.error("breaker open", extra=told)
        _count("KeyRefusals" if after.shut_cause == "key_refused" else "BreakerOpenings")
    if after.shut_cause is None and before.shut_cause is not None:
        logger.info("breaker closed", extra={"cause": before.shut_cause})
        _count("BreakerClosings")


def _count(name: str, count: int = 1) -> None:
    # Only now: what is rare must not slow every start.
    from aws_lambda_powertools.metrics import MetricUnit, single_metric  # noqa: PLC0415

    namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "partoo-reinvite")
    with single_metric(name, MetricUnit.Count, count, namespace=namespace):
        pass


def about(request: Request) -> dict[str, object]:
    """What names a request in every line about it."""
    return {
        "request_id": request.request_id,
        "user_id": request.user_id,
        "correlation_id": request.correlation_id,
    }
