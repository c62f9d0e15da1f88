"""Entrypoint: sweeps, started by a schedule or by an invocation, and rescheduled ones."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from invitations.dependencies import Dependencies, client
from invitations.observability import count, logger, metrics, traced
from invitations.queues import MessageQueue, is_batch
from invitations.sweeps.criteria import Criteria, read_sweep_request
from invitations.sweeps.sweeper import Sweeper


def words(text: str) -> tuple[str, ...]:
    """Return the words that commas separate, each once."""
    return tuple(dict.fromkeys(filter(None, text.split(","))))


shared, sqs, setting = Dependencies(), client("sqs"), os.environ
criteria = Criteria(
    min_age_hours=int(setting["SWEEP_MIN_AGE_HOURS"]),
    max_invites=int(setting["SWEEP_MAX_INVITES"]),
    max_users=int(setting["SWEEP_MAX_USERS"]),
    roles=words(setting["SWEEP_ROLES"]),
    org_ids=words(setting["SWEEP_ORG_IDS"]),
    first_invitation=setting["SWEEP_FIRST_INVITATION"] == "true",
)
sweeper = Sweeper(
    calls=shared.calls,
    api=shared.api,
    ledger=shared.ledger,
    table=shared.table,
    bulk_queue=MessageQueue(sqs, setting["BULK_QUEUE_URL"]),
    sweep_queue=MessageQueue(sqs, setting["SWEEP_QUEUE_URL"]),
    topic=shared.topic,
)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
@traced
def handler(event: Any, context: LambdaContext) -> Mapping[str, Any]:
    """Answer an invocation with what came of it; carry out the rescheduled sweep of a message.

    Raises InvalidSweepRequestError for what is no sweep request.
    """
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    if not is_batch(event):
        return carry_out(event, deadline)
    try:
        for record in event["Records"]:
            carry_out(json.loads(record["body"]), deadline)
    except Exception:
        logger.exception("message returned to its queue")
        count("MessagesReturned")
        raise
    return {}


def carry_out(event: Any, deadline: float) -> Mapping[str, Any]:
    asked_for = read_sweep_request(event, criteria)
    if event.get("dry_run"):
        return sweeper.preview(asked_for, deadline)
    return sweeper.sweep(asked_for, event.get("asked_at", time.time()), deadline)
