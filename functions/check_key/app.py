"""Entrypoint: a check of the key, started by a schedule or a caller."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from check_key.wiring import build_key_check

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

key_check = build_key_check()


def handler(_event: Any, context: "LambdaContext") -> Mapping[str, Any]:
    """Answer with what is known of the key's expiry; there is nothing to order."""
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    return asdict(key_check.check(deadline))
