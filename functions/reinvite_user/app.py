"""Entrypoint: requests from the queue, from EventBridge and from callers."""

import gc
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from invitations.adapters.sqs import PROGRESS_ATTRIBUTE
from invitations.bootstrap import build_service
from invitations.envelopes import deliveries_of_invocation
from invitations.gate import BATCH_SIZE
from invitations.models import Delivery, Queued, Result, Source
from invitations.observability import log_failure
from invitations.ports import T
from invitations.service import Outcome

Answer = Mapping[str, Any]

service = build_service()
executor = ThreadPoolExecutor(BATCH_SIZE)

# What was made until now lives as long as the container.
gc.freeze()
gc.enable()


def handler(event: Any, context: LambdaContext) -> Answer:
    """Answer a batch with its failures, and an invocation with its results."""
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    if _is_batch(event):
        return _carry_out_batch(event, context, deadline)
    deliveries = deliveries_of_invocation(event, context.aws_request_id, time.time())
    outcomes = service.reinvite(deliveries, deadline, _side_by_side)
    return {"results": [_answer(outcome) for outcome in outcomes]}


def _carry_out_batch(event: Any, context: LambdaContext, deadline: float) -> Answer:
    deliveries = [_delivery(SQSRecord(record)) for record in event["Records"]]
    outcomes = iter(service.reinvite(deliveries, deadline, _side_by_side))

    def acknowledge(record: SQSRecord) -> None:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            log_failure(record.message_id, outcome)
            raise outcome

    # A batch that fails whole is answered like any other: raising would end the container.
    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event, acknowledge, processor, context)


def _side_by_side(work: Callable[[int], T], items: Iterable[int]) -> list[T]:
    return list(executor.map(work, items))


def _is_batch(event: Any) -> bool:
    try:
        return bool(event["Records"][0]["eventSource"] == "aws:sqs")
    except (KeyError, IndexError, TypeError):
        return False


def _delivery(record: SQSRecord) -> Delivery:
    notes = record.message_attributes[PROGRESS_ATTRIBUTE]
    return Delivery(
        delivery_id=record.message_id,
        body=record.body,
        source=Source.SQS,
        received_at=int(record.attributes.approximate_first_receive_timestamp) / 1000,
        receive_count=int(record.attributes.approximate_receive_count),
        notes=None if notes is None else notes.string_value,
    )


def _answer(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Result():
            return asdict(outcome)
        case Queued():
            return {
                "request_id": outcome.request_id,
                "user_id": outcome.user_id,
                "status": "queued",
                "reason": outcome.cause,
            }
        case error:
            raise error
