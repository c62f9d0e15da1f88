"""Reads the settings, makes the clients and wires the dependencies, once for each container.

The settings of sweeps are in sweep_invitations/app.py. The template sets each environment variable;
its parameters have the bounds and patterns of the values.
"""

import os
import time
from dataclasses import dataclass
from typing import Any

import boto3
import jmespath
from botocore.config import Config

from invitations.api_key import MAX_AGE_SECONDS, ApiKeys
from invitations.calls import ApiCalls
from invitations.exits import Exits
from invitations.ledger import Ledger
from invitations.partoo import CONNECTIONS, PartooApi
from invitations.policy import Policy
from invitations.queues import MessageQueue
from invitations.rate_limiter import RateLimiter
from invitations.reinvite import Reinviter
from invitations.table import DynamoDbTable, Table
from invitations.topic import ResultTopic

SDK_CONFIG = Config(
    # Three tries stay below ten seconds, so that a slow service leaves time to defer the request.
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=CONNECTIONS,
    # botocore computes its own for each call, which takes a twelfth of a warm batch's time.
    user_agent="partoo-reinvite",
)

# Connecting, and saving the result with a table that is slow but alive.
_SAVE_SECONDS = 12


@dataclass(frozen=True)
class Dependencies:
    """The objects that all functions share."""

    table: Table
    ledger: Ledger
    calls: ApiCalls
    api: PartooApi
    topic: ResultTopic
    call_budget_seconds: float
    """Time that an execution must have left when it begins a call."""


def shared_dependencies(key_max_age_seconds: int = MAX_AGE_SECONDS) -> Dependencies:
    """Make what all functions share; raises KeyError for a variable that is missing."""
    setting = os.environ
    timeout_seconds = int(setting["PARTOO_TIMEOUT_SECONDS"])
    table = DynamoDbTable(client("dynamodb"), setting["TABLE_NAME"])
    return Dependencies(
        table=table,
        ledger=Ledger(table, int(setting["HISTORY_DAYS"]), time.time),
        calls=ApiCalls(
            RateLimiter(table, int(setting["REQUESTS_PER_MINUTE"])),
            ApiKeys(client("secretsmanager"), setting["API_KEY_SECRET_ARN"], key_max_age_seconds),
        ),
        api=PartooApi(setting["PARTOO_BASE_URL"], timeout_seconds),
        topic=ResultTopic(client("sns"), setting["RESULT_TOPIC_ARN"]),
        call_budget_seconds=call_budget_seconds(timeout_seconds),
    )


def build_reinviter() -> Reinviter:
    """Make what carries out requests; raises KeyError, or jmespath's ParseError."""
    shared, sqs, setting = shared_dependencies(), client("sqs"), os.environ
    exits = Exits(
        ledger=shared.ledger,
        topic=shared.topic,
        retry_queue=MessageQueue(sqs, setting["RETRY_QUEUE_URL"]),
        bulk_queue=MessageQueue(sqs, setting["BULK_QUEUE_URL"]),
        dead_letter_queue=MessageQueue(sqs, setting["DEAD_LETTER_QUEUE_URL"]),
        clock=time.time,
    )
    policy = Policy(
        window_seconds=int(setting["INVITE_WINDOW_SECONDS"]),
        max_attempts=int(setting["MAX_ATTEMPTS"]),
        user_daily_limit=int(setting["USER_DAILY_LIMIT"]),
        user_id_path=jmespath.compile(setting["USER_ID_PATH"]),
        call_budget_seconds=shared.call_budget_seconds,
    )
    return Reinviter(shared.ledger, shared.calls, shared.api, exits, policy)


def client(service: Any) -> Any:
    """Make a client; the adapters name its type."""
    return boto3.client(service, config=SDK_CONFIG)


def call_budget_seconds(timeout_seconds: int) -> float:
    """Return the time that an execution must have left when it begins a call.

    A body that stalls after the head takes the time-out once more.
    """
    return 2 * timeout_seconds + _SAVE_SECONDS
