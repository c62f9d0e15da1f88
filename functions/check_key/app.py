"""Entrypoint: a check of the key, started by a schedule or by an invocation."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from invitations.dependencies import shared_dependencies
from invitations.key_check import KeyCheck
from invitations.limited_call import LimitedCaller
from invitations.observability import logger, metrics, traced

# A check right after a rotation must not use the key of the check before it.
shared = shared_dependencies(key_max_age_seconds=0)
key_check = KeyCheck(LimitedCaller(shared.calls, shared.call_budget_seconds), shared.api)


@logger.inject_lambda_context
@metrics.log_metrics
@traced
def handler(_event: Any, context: LambdaContext) -> Mapping[str, Any]:
    """Answer with what is known of the key's expiry."""
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    return asdict(key_check.check(deadline))
