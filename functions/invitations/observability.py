"""The logger, the metrics and the tracer of all functions, and what they write.

A log line never has a body, a header or an address; excerpts of the API's answers come redacted.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from invitations.errors import DependencyUnavailableError
from invitations.limiter_state import FORBIDDEN_RUN, LimiterState
from invitations.messages import Deferred, RetryState
from invitations.outcomes import Answered, Cause, NotSent, Response
from invitations.requests import Request
from invitations.results import Reason, Result, iso

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


def about(request: Request) -> dict[str, object]:
    """Return the fields that identify a request in its log lines."""
    return {
        "request_id": request.request_id,
        "user_id": request.user_id,
        "correlation_id": request.correlation_id,
    }


def traced(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return the handler, recorded by X-Ray if tracing is on."""
    if tracer is None:
        return handler
    captured: Callable[..., Any] = tracer.capture_lambda_handler(handler, capture_response=False)
    return captured


@contextmanager
def traced_call(name: str, **annotations: str | int) -> Iterator[Callable[[Response], None]]:
    """Record a call to the API; the block hands over the response."""
    if tracer is None:
        yield lambda _: None
        return
    with tracer.provider.in_subsegment(f"partoo {name}", namespace="remote") as subsegment:

        def note(response: Response) -> None:
            if isinstance(response, Answered):
                annotations["http_status"] = response.http_status

        yield note
        if subsegment is not None:
            for key, value in annotations.items():
                subsegment.put_annotation(key, value)


@contextmanager
def _one_thread_writes() -> Iterator[None]:
    """Hold the logger's lock: Powertools prints metrics in parts, without a lock of its own."""
    handler = logger.registered_handler
    handler.acquire()
    try:
        yield
    finally:
        handler.release()


def count(name: str, value: float = 1, unit: MetricUnit = MetricUnit.Count) -> None:
    """Add to a metric that is written at the end of the execution."""
    with _one_thread_writes():
        metrics.add_metric(name, unit, value)


def count_by(name: str, value: float = 1, **dimensions: str) -> None:
    """Write a metric with dimensions of its own."""
    with (
        _one_thread_writes(),
        single_metric(name, MetricUnit.Count, value, namespace=metrics.namespace) as metric,
    ):
        for dimension, text in dimensions.items():
            metric.add_dimension(dimension, text)


def log_result(result: Result, age_seconds: float) -> None:
    logger.info(
        "result published",
        extra={
            name: getattr(result, name)
            for name in (
                "result_id",
                "request_id",
                "user_id",
                "correlation_id",
                "source",
                "status",
                "reason",
                "http_status",
                "attempts",
            )
        },
    )
    count_by("Results", status=result.status, reason=result.reason)
    if result.reason == Reason.DAILY_LIMIT:
        count("DailyLimits")
    count("RequestAge", round(age_seconds, 3), MetricUnit.Seconds)


def log_deferral(deferred: Deferred, state: RetryState, waiting_seconds: float | None) -> None:
    """Log a deferral; `waiting_seconds` is the request's age, None for bulk."""
    logger.info(
        "request deferred",
        extra={**asdict(deferred), "attempts": state.attempts, "failures": state.failures},
    )
    count_by("Deferrals", cause=deferred.cause)
    if waiting_seconds is not None:
        count("WaitingAge", round(waiting_seconds, 3), MetricUnit.Seconds)


def log_call(fields: Mapping[str, object], response: Response, seconds: float) -> None:
    """Log a call; the vendor documents few errors, so the log keeps an excerpt of their bodies."""
    count("ApiCalls")
    count("ApiLatency", round(seconds * 1000, 1), MetricUnit.Milliseconds)
    if isinstance(response, Answered) and response.http_status < 300:
        return
    if isinstance(response, Answered):
        answer = str(response.http_status)
        details: dict[str, object] = {
            "http_status": response.http_status,
            "body": response.excerpt,
        }
    else:
        answer = "not_sent" if isinstance(response, NotSent) else "unknown"
        details = {"error": response.error}
    logger.warning("call failed", extra={**fields, "answer": answer, **details})
    count_by("ApiFailures", answer=answer)


def log_dependency(fields: Mapping[str, object], error: DependencyUnavailableError) -> None:
    extra = {**fields, "cause": error.cause, "error": str(error)}
    logger.error("dependency unavailable", extra=extra)
    count("DependencyFailures")


def log_limiter(before: LimiterState, after: LimiterState, now: float) -> None:
    """Log pauses, the circuit breaker and runs of 403s when they change."""
    if after.paused_until > before.paused_until and not after.is_open:
        extra = {"paused_until": iso(after.paused_until)}
        logger.warning("calls paused", extra=extra)
        count("QuotaPauses")
        count("QuotaPauseSeconds", round(after.paused_until - now, 3), MetricUnit.Seconds)
    if after.is_open and (not before.is_open or after.paused_until > before.paused_until):
        extra = {"cause": str(after.pause_reason), "open_until": iso(after.paused_until)}
        logger.error("breaker opened", extra=extra)
        count("KeyRefusals" if after.pause_reason == Cause.KEY_REFUSED else "BreakerOpenings")
        count("BreakerState", 1, MetricUnit.NoUnit)
    if after.forbidden > before.forbidden and after.forbidden >= FORBIDDEN_RUN:
        logger.error("invitations forbidden", extra={"in_a_row": after.forbidden})
        count("ForbiddenRuns")
    if before.is_open and not after.is_open:
        logger.info("breaker closed", extra={"cause": str(before.pause_reason)})
        count("BreakerState", 0, MetricUnit.NoUnit)
