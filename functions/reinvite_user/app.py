"""Entrypoint: requests from the queue, from EventBridge and from callers."""

import gc
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from invitations.adapters.sqs import PROGRESS_ATTRIBUTE
from invitations.bootstrap import build_service
from invitations.envelopes import deliveries_of_invocation
from invitations.gate import BATCH_SIZE
from invitations.models import Delivery, Queued, Result, Source
from invitations.observability import log_failure
from invitations.ports import T
from invitations.service import Outcome

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Answer = Mapping[str, Any]
Record = Mapping[str, Any]

service = build_service()
executor = ThreadPoolExecutor(BATCH_SIZE)

# What was made until now lives as long as the container.
gc.freeze()
gc.enable()


def handler(event: Any, context: "LambdaContext") -> Answer:
    """Answer a batch with its failures, and an invocation with its results."""
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    if _is_batch(event):
        return _carry_out_batch(event["Records"], deadline)
    deliveries = deliveries_of_invocation(event, context.aws_request_id, time.time())
    outcomes = service.reinvite(deliveries, deadline, _side_by_side)
    return {"results": [_answer(outcome) for outcome in outcomes]}


def _carry_out_batch(records: Sequence[Record], deadline: float) -> Answer:
    deliveries = [_delivery(record) for record in records]
    outcomes = service.reinvite(deliveries, deadline, _side_by_side)
    failures = []
    for delivery, outcome in zip(deliveries, outcomes, strict=True):
        if isinstance(outcome, Exception):
            log_failure(delivery.delivery_id, outcome)
            failures.append({"itemIdentifier": delivery.delivery_id})
    return {"batchItemFailures": failures}


def _side_by_side(work: Callable[[int], T], items: Iterable[int]) -> list[T]:
    return list(executor.map(work, items))


def _is_batch(event: Any) -> bool:
    try:
        return bool(event["Records"][0]["eventSource"] == "aws:sqs")
    except (KeyError, IndexError, TypeError):
        return False


def _delivery(record: Record) -> Delivery:
    attributes = record["attributes"]
    notes = record["messageAttributes"].get(PROGRESS_ATTRIBUTE, {})
    return Delivery(
        delivery_id=record["messageId"],
        body=record["body"],
        source=Source.SQS,
        received_at=int(attributes["ApproximateFirstReceiveTimestamp"]) / 1000,
        sent_at=int(attributes["SentTimestamp"]) / 1000,
        receive_count=int(attributes["ApproximateReceiveCount"]),
        notes=notes.get("stringValue"),
    )


def _answer(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Result():
            return outcome._asdict()
        case Queued():
            return {
                "request_id": outcome.request_id,
                "user_id": outcome.user_id,
                "status": "queued",
                "reason": outcome.cause,
            }
        case error:
            raise error
