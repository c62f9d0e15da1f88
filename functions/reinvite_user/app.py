"""Entrypoint: requests from the queue, from EventBridge and from callers."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor,
    EventType,
    async_process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from invitations.adapters.sqs import PROGRESS_ATTRIBUTE
from invitations.bootstrap import BATCH_SIZE, build_service
from invitations.envelopes import deliveries_of_invocation
from invitations.models import Delivery, Queued, Result, Source
from invitations.observability import logger

Answer = Mapping[str, Any]

service = build_service()
executor = ThreadPoolExecutor(BATCH_SIZE)


def handler(event: Any, context: LambdaContext) -> Answer:
    """Answer a batch with its failures, and an invocation with its results."""
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    if _is_batch(event):
        return _carry_out_batch(event, context, deadline)
    deliveries = deliveries_of_invocation(event, context.aws_request_id, time.time())
    carried_out = [executor.submit(service.reinvite, delivery, deadline) for delivery in deliveries]
    # All of them end before an error of one is raised: nothing may run on behind the answer.
    wait(carried_out)
    return {"results": [_answer(each.result()) for each in carried_out]}


def _carry_out_batch(event: Any, context: LambdaContext, deadline: float) -> Answer:
    async def carry_out(record: SQSRecord) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(executor, _carry_out_record, record, deadline)

    # A batch that fails whole is answered like any other: raising would end the container.
    processor = AsyncBatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    return async_process_partial_response(event, carry_out, processor, context)


def _carry_out_record(record: SQSRecord, deadline: float) -> None:
    try:
        service.reinvite(_delivery(record), deadline)
    except Exception:
        logger.exception("message goes back to the queue", extra={"message_id": record.message_id})
        raise


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


def _answer(outcome: Result | Queued) -> dict[str, Any]:
    if isinstance(outcome, Result):
        return asdict(outcome)
    return {
        "request_id": outcome.request_id,
        "user_id": outcome.user_id,
        "status": "queued",
        "reason": outcome.cause,
    }
