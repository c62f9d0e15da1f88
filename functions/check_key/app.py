"""Entrypoint: a check of the key, started by a schedule or by an invocation."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from invitations.dependencies import Dependencies
from invitations.key_check import check_key
from invitations.observability import logger, metrics, traced


@logger.inject_lambda_context
@metrics.log_metrics
@traced
def handler(_event: Any, context: LambdaContext) -> Mapping[str, Any]:
    """Answer with what is known of the key's expiry."""
    # New objects read the secret anew: the key may have been replaced since the last check.
    shared = Dependencies()
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    return asdict(check_key(shared.calls, shared.api, deadline))
