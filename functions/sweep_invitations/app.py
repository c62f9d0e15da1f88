"""Entrypoint: sweeps, started by a schedule or a caller, and those that were put off."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from invitations.observability import log_failure
from invitations.sweeper import PutOff
from invitations.sweeps import Summary, read_order
from sweep_invitations.wiring import build_sweeper

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from invitations.sweeper import Preview

Answer = Mapping[str, Any]

sweeper, default_terms = build_sweeper()


def handler(event: Any, context: "LambdaContext") -> Answer:
    """Answer an invocation with what came of it, and the queue with its failures.

    Raises InvalidOrderError for an invocation that asks for something that there is not.
    """
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    if not isinstance(event, dict) or "Records" not in event:
        return _carry_out(event, deadline)
    failures = []
    for record in event["Records"]:
        try:
            _carry_out(json.loads(record["body"]), deadline)
        except Exception as error:  # noqa: BLE001  # the queue hands it over again
            log_failure(record["messageId"], error)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def _carry_out(event: Any, deadline: float) -> Answer:
    order = read_order(event, default_terms, time.time())
    if order.dry_run:
        return _preview(sweeper.preview(order, deadline))
    outcome = sweeper.sweep(order, deadline)
    match outcome:
        case Summary():
            return asdict(outcome)
        case PutOff():
            return {**asdict(outcome), "status": "put_off"}


def _preview(preview: "Preview") -> Answer:
    users = [
        {"user_id": user_id, "due": verdict == "due", "reason": verdict}
        for user_id, verdict in preview.users
    ]
    return {**asdict(preview.summary), "dry_run": True, "users": users}
