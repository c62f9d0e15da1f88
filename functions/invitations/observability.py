"""What is written to the log: one line for each result, each deferral and each odd answer.

Never a body, a header or an e-mail address; excerpts of the API's answers come cleaned.
"""

from aws_lambda_powertools import Logger

from invitations.errors import DependencyUnavailableError, InvalidRequestError
from invitations.models import (
    Answered,
    CallOutcome,
    NeverSent,
    Progress,
    Queued,
    Request,
    Result,
    Unanswered,
)

logger = Logger(service="partoo-reinvite")


def log_result(result: Result) -> None:
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
        },
    )


def log_invalid(result: Result, error: InvalidRequestError) -> None:
    logger.warning(
        "input is no request",
        extra={"request_id": result.request_id, "reason": error.reason, "error": str(error)},
    )


def log_deferral(request: Request, queued: Queued, progress: Progress) -> None:
    logger.info(
        "request deferred",
        extra={
            **_about(request),
            "cause": queued.cause,
            "delay_seconds": queued.delay_seconds,
            "attempts": progress.tally.attempts,
            "deferrals": progress.deferrals,
        },
    )


def log_call(request: Request, outcome: CallOutcome) -> None:
    """The vendor documents few of its answers, so the others are worth keeping."""
    match outcome:
        case Answered(http_status=code) if code < 300:
            return
        case Answered():
            told = {"http_status": outcome.http_status, "body": outcome.excerpt}
        case NeverSent() | Unanswered():
            told = {"error": outcome.error}
    logger.warning("call did not succeed", extra={**_about(request), **told})


def log_dependency(request: Request, error: DependencyUnavailableError) -> None:
    logger.error("dependency unavailable", extra={**_about(request), "error": str(error)})


def _about(request: Request) -> dict[str, object]:
    return {
        "request_id": request.request_id,
        "user_id": request.user_id,
        "correlation_id": request.correlation_id,
    }
