"""Entrypoint: batches of the queues, events of EventBridge, and direct invocations."""

import asyncio
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor,
    EventType,
    async_process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from invitations.dependencies import build_reinviter
from invitations.messages import Deferred, Message, RetryState
from invitations.observability import count, logger, metrics, traced
from invitations.partoo import THREADS
from invitations.queues import is_batch, message_of
from invitations.reinvite import Execution
from invitations.results import Result, Source

reinviter = build_reinviter()
threads = ThreadPoolExecutor(THREADS)


@logger.inject_lambda_context
@metrics.log_metrics
@traced
def handler(event: Any, context: LambdaContext) -> Mapping[str, Any]:
    """Answer a batch with its failures, and an invocation with its results."""
    execution = Execution(time.time() + context.get_remaining_time_in_millis() / 1000)
    if is_batch(event):
        processor = AsyncBatchProcessor(EventType.SQS)
        return async_process_partial_response(
            event, partial(carry_out_record, execution), processor, context
        )
    state = RetryState(asked_at=time.time())
    message = Message(context.aws_request_id, json.dumps(event), Source.DIRECT, state)
    futures = [
        threads.submit(reinviter.carry_out, each, execution)
        for each in reinviter.split_small_order(message)
    ]
    # After a failure, too: other threads must not go on in a container that Lambda freezes.
    wait(futures)
    return {"results": [answer(each) for future in futures for each in future.result()]}


async def carry_out_record(execution: Execution, record: SQSRecord) -> None:
    """Carry out one message of a batch, in a thread of its own.

    Only Powertools' asynchronous processor carries out records side by side.
    """
    loop = asyncio.get_running_loop()
    try:
        message = message_of(record, reinviter.retry_queue.name, reinviter.bulk_queue.name)
        await loop.run_in_executor(threads, reinviter.carry_out, message, execution)
    except Exception:
        logger.exception("message returned to its queue", extra={"message_id": record.message_id})
        count("MessagesReturned")
        raise


def answer(outcome: Result | Deferred) -> dict[str, Any]:
    """Return a result as it is published; a request whose result follows is `queued`."""
    if isinstance(outcome, Result):
        return asdict(outcome)
    return {
        "request_id": outcome.request_id,
        "user_id": outcome.user_id,
        "status": "queued",
        "reason": outcome.cause,
    }
