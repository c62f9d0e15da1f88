"""Makes the clients and wires the dependencies, once for each container."""

import os
import time
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config as SdkConfig

from invitations.api_key import MAX_AGE_SECONDS, ApiKeys
from invitations.calls import ApiCalls
from invitations.config import Config, ReinviteConfig
from invitations.exits import Exits
from invitations.ledger import Ledger
from invitations.partoo import CONNECTIONS, PartooApi
from invitations.queues import MessageQueue
from invitations.rate_limiter import RateLimiter
from invitations.reinvite import Reinviter
from invitations.table import DynamoDbTable, Table
from invitations.topic import ResultTopic

SDK_CONFIG = SdkConfig(
    # Three tries stay below ten seconds, so that a slow service leaves time to defer the request.
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=CONNECTIONS,
    # botocore computes its own for each call, which takes a twelfth of a warm batch's time.
    user_agent="partoo-reinvite",
)


@dataclass(frozen=True)
class Dependencies:
    """The objects that all functions share."""

    table: Table
    ledger: Ledger
    calls: ApiCalls
    api: PartooApi
    topic: ResultTopic

    @classmethod
    def of(cls, config: Config, key_max_age_seconds: int = MAX_AGE_SECONDS) -> "Dependencies":
        table = DynamoDbTable(client("dynamodb"), config.table_name)
        return cls(
            table=table,
            ledger=Ledger(table, config.history_days, time.time),
            calls=ApiCalls(
                RateLimiter(table, config.requests_per_minute),
                ApiKeys(client("secretsmanager"), config.api_key_secret_arn, key_max_age_seconds),
            ),
            api=PartooApi(config.partoo_base_url, config.partoo_timeout_seconds),
            topic=ResultTopic(client("sns"), config.result_topic_arn),
        )


def client(service: Any) -> Any:
    """Make a client; the adapters name its type."""
    return boto3.client(service, config=SDK_CONFIG)


def build_reinviter() -> Reinviter:
    """Make the object that carries out requests, from the environment."""
    config = ReinviteConfig.from_environment(os.environ)
    shared, sqs = Dependencies.of(config.shared), client("sqs")
    exits = Exits(
        ledger=shared.ledger,
        topic=shared.topic,
        retry_queue=MessageQueue(sqs, config.retry_queue_url),
        bulk_queue=MessageQueue(sqs, config.bulk_queue_url),
        dead_letter_queue=MessageQueue(sqs, config.dead_letter_queue_url),
        clock=time.time,
    )
    return Reinviter(shared.ledger, shared.calls, shared.api, exits, config.policy)
