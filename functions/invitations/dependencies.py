"""Reads the settings, makes the clients and wires the dependencies, once for each container.

The settings of sweeps are in sweep_invitations/app.py. The template sets each environment variable;
its parameters have the bounds and patterns of the values.
"""

import os
import time
from typing import Any

import boto3
import jmespath
from botocore.config import Config

from invitations.api_key import ApiKeys
from invitations.calls import ApiCalls
from invitations.ledger import Ledger
from invitations.partoo import THREADS, PartooApi
from invitations.policy import Policy
from invitations.queues import MessageQueue
from invitations.rate_limiter import RateLimiter
from invitations.reinvite import Reinviter
from invitations.table import Table
from invitations.topic import ResultTopic

SDK_CONFIG = Config(
    # Three tries stay below ten seconds, so that a slow service leaves time to defer the request.
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=THREADS,
    # botocore computes its own for each call, which takes a twelfth of a warm batch's time.
    user_agent="partoo-reinvite",
)


class Dependencies:
    """The objects that all functions share. Raises KeyError for a variable that is missing."""

    def __init__(self) -> None:
        setting = os.environ
        timeout_seconds = int(setting["PARTOO_TIMEOUT_SECONDS"])
        self.table = Table(client("dynamodb"), setting["TABLE_NAME"])
        self.ledger = Ledger(self.table, int(setting["HISTORY_DAYS"]), time.time)
        limiter = RateLimiter(self.table, int(setting["REQUESTS_PER_MINUTE"]))
        keys = ApiKeys(client("secretsmanager"), setting["API_KEY_SECRET_ARN"])
        self.calls = ApiCalls(limiter, keys, call_budget_seconds(timeout_seconds))
        self.api = PartooApi(setting["PARTOO_BASE_URL"], timeout_seconds)
        self.topic = ResultTopic(client("sns"), setting["RESULT_TOPIC_ARN"])


def build_reinviter() -> Reinviter:
    """Make what carries out requests; raises KeyError, or jmespath's ParseError."""
    shared, sqs, setting = Dependencies(), client("sqs"), os.environ
    policy = Policy(
        window_seconds=int(setting["INVITE_WINDOW_SECONDS"]),
        max_attempts=int(setting["MAX_ATTEMPTS"]),
        user_daily_limit=int(setting["USER_DAILY_LIMIT"]),
        user_id_path=jmespath.compile(setting["USER_ID_PATH"]),
    )
    return Reinviter(
        ledger=shared.ledger,
        calls=shared.calls,
        api=shared.api,
        topic=shared.topic,
        retry_queue=MessageQueue(sqs, setting["RETRY_QUEUE_URL"]),
        bulk_queue=MessageQueue(sqs, setting["BULK_QUEUE_URL"]),
        dead_letter_queue=MessageQueue(sqs, setting["DEAD_LETTER_QUEUE_URL"]),
        policy=policy,
    )


def client(service: Any) -> Any:
    """Make a client; the adapters name its type."""
    return boto3.client(service, config=SDK_CONFIG)


def call_budget_seconds(timeout_seconds: int) -> float:
    """Return the time that an execution must have left when it begins a call.

    A body that stalls after the head takes the time-out once more. Connecting, and saving the
    result with a table that is slow but alive, take 12 s.
    """
    return 2 * timeout_seconds + 12
