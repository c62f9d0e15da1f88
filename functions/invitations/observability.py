"""The logger, the metrics and the tracer of all functions, and what they write.

A log line never has a body, a header or an address; excerpts of the API's answers come redacted.
monitoring.yaml counts results, deferrals and failed calls from their log lines.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from invitations.errors import DependencyUnavailableError
from invitations.limiter_state import FORBIDDEN_RUN, LimiterState
from invitations.messages import Deferred, RetryState
from invitations.outcomes import Cause, Outcome
from invitations.results import Reason, Result, Status, iso

SERVICE = "partoo-reinvite"
VERSION = "1.0.0"

# RFC 3339 is what Lambda takes over as the time of the line.
logger = Logger(service=SERVICE, version=VERSION, utc=True, use_rfc3339=True)
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", SERVICE))
# Importing the tracer takes as long as the rest of a start.
tracer: Any = None
if os.environ.get("TRACING") == "Active":
    from aws_lambda_powertools import Tracer

    tracer = Tracer(service=SERVICE, patch_modules=("botocore",))


def traced(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the handler, recorded by X-Ray if tracing is on."""
    if tracer is None:
        return handler
    captured: Callable[..., Any] = tracer.capture_lambda_handler(handler, capture_response=False)
    return captured


def traced_call(name: str) -> AbstractContextManager[Any]:
    """Return a context in which a call to the API is recorded by X-Ray if tracing is on."""
    if tracer is None:
        return nullcontext()
    subsegment: AbstractContextManager[Any] = tracer.provider.in_subsegment(
        f"partoo {name}", namespace="remote"
    )
    return subsegment


def count(name: str, value: float = 1, unit: MetricUnit = MetricUnit.Count) -> None:
    """Add to a metric that is written at the end of the execution."""
    # Powertools' metrics have no lock, and print at once when a hundred values wait: the log's
    # lock also keeps them from mixing with log lines.
    handler = logger.registered_handler
    handler.acquire()
    try:
        metrics.add_metric(name, unit, value)
    finally:
        handler.release()


def log_result(result: Result, age_seconds: float) -> None:
    names = ("result_id", "source", "status", "reason", "http_status", "attempts")
    logger.info("result published", extra={name: getattr(result, name) for name in names})
    if result.reason == Reason.DAILY_LIMIT:
        count("DailyLimits")
    count("RequestAge", round(age_seconds, 3), MetricUnit.Seconds)


def log_deferral(deferred: Deferred, state: RetryState, waiting_seconds: float | None) -> None:
    """Log a deferral; `waiting_seconds` is the request's age, None for bulk."""
    logger.info(
        "request deferred",
        extra={**asdict(deferred), "attempts": state.attempts, "failures": state.failures},
    )
    if waiting_seconds is not None:
        count("WaitingAge", round(waiting_seconds, 3), MetricUnit.Seconds)


def log_call(outcome: Outcome, seconds: float) -> None:
    """Log a call; the vendor documents few errors, so the log keeps an excerpt of their bodies."""
    count("ApiCalls")
    count("ApiLatency", round(seconds * 1000, 1), MetricUnit.Milliseconds)
    if outcome.status != Status.SENT:
        no_answer = "not_sent" if outcome.cause == Cause.CONNECTION_FAILED else "unknown"
        extra = {"answer": str(outcome.http_status or no_answer), "excerpt": outcome.excerpt}
        logger.warning("call failed", extra=extra)


def log_dependency(error: DependencyUnavailableError) -> None:
    logger.error("dependency unavailable", extra={"cause": error.cause, "error": str(error)})
    if not error.is_counted:
        error.is_counted = True
        count("DependencyFailures")


def log_limiter(before: LimiterState, after: LimiterState, now: float) -> None:
    """Log pauses, the circuit breaker and runs of 403s when they change."""
    is_longer, until = after.paused_until > before.paused_until, iso(after.paused_until)
    if is_longer and after.is_open:
        extra = {"cause": str(after.pause_reason), "open_until": until}
        logger.error("breaker opened", extra=extra)
        count("KeyRefusals" if after.pause_reason == Cause.KEY_REFUSED else "BreakerOpenings")
        count("BreakerState", 1, MetricUnit.NoUnit)
    elif is_longer:
        logger.warning("calls paused", extra={"paused_until": until})
        count("QuotaPauses")
        count("QuotaPauseSeconds", round(after.paused_until - now, 3), MetricUnit.Seconds)
    if after.forbidden > before.forbidden and after.forbidden >= FORBIDDEN_RUN:
        logger.error("invitations forbidden", extra={"in_a_row": after.forbidden})
        count("ForbiddenRuns")
    if before.is_open and not after.is_open:
        logger.info("breaker closed", extra={"cause": str(before.pause_reason)})
        count("BreakerState", 0, MetricUnit.NoUnit)
