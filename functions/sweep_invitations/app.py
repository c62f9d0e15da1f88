"""Entrypoint: sweeps, started by a schedule or by an invocation, and rescheduled ones."""

import json
import os
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from invitations.dependencies import client, shared_dependencies
from invitations.limited_call import LimitedCaller
from invitations.observability import count, logger, metrics, traced
from invitations.queues import MessageQueue
from invitations.records import is_batch
from invitations.sweeps.criteria import Criteria, read_sweep_request
from invitations.sweeps.sweeper import Sweeper


def words(text: str) -> tuple[str, ...]:
    """Return the words that commas separate, each once."""
    return tuple(dict.fromkeys(filter(None, text.split(","))))


shared, sqs, setting = shared_dependencies(), client("sqs"), os.environ
criteria = Criteria(
    min_age_hours=int(setting["SWEEP_MIN_AGE_HOURS"]),
    max_invites=int(setting["SWEEP_MAX_INVITES"]),
    max_users=int(setting["SWEEP_MAX_USERS"]),
    roles=words(setting["SWEEP_ROLES"]),
    org_ids=words(setting["SWEEP_ORG_IDS"]),
    first_invitation=setting["SWEEP_FIRST_INVITATION"] == "true",
)
sweeper = Sweeper(
    caller=LimitedCaller(shared.calls, shared.call_budget_seconds),
    api=shared.api,
    ledger=shared.ledger,
    table=shared.table,
    bulk_queue=MessageQueue(sqs, setting["BULK_QUEUE_URL"]),
    sweep_queue=MessageQueue(sqs, setting["SWEEP_QUEUE_URL"]),
    topic=shared.topic,
)


@logger.inject_lambda_context
@metrics.log_metrics
@traced
def handler(event: Any, context: LambdaContext) -> Mapping[str, Any]:
    """Answer an invocation with what came of it, and a batch with its failures.

    Raises InvalidSweepRequestError for an invocation that is no sweep request.
    """
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    if not is_batch(event):
        return carry_out(event, deadline)
    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    record_handler = partial(carry_out_record, deadline=deadline)
    return process_partial_response(event, record_handler, processor, context)


def carry_out_record(record: SQSRecord, deadline: float) -> None:
    try:
        carry_out(json.loads(record.body), deadline)
    except Exception:
        logger.exception("message returned to its queue", extra={"message_id": record.message_id})
        count("MessagesReturned")
        raise


def carry_out(event: Any, deadline: float) -> Mapping[str, Any]:
    request = read_sweep_request(event, criteria, time.time())
    carry_on = sweeper.preview if request.dry_run else sweeper.sweep
    return carry_on(request, deadline)
