"""Makes the clients and wires the parts, once for each container."""

import os
import time
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config as SdkConfig

from invitations.api_key import ApiKeys
from invitations.config import Config, ReinviteConfig
from invitations.exits import Exits
from invitations.ledger import Ledger
from invitations.observability import log_limiter
from invitations.partoo import CONNECTIONS, PartooApi
from invitations.policy import Policy
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
    # botocore makes its own up for each call: a twelfth of a warm batch's time.
    user_agent="partoo-reinvite",
)


@dataclass(frozen=True)
class Dependencies:
    """What every function is made of."""

    session: boto3.session.Session
    table: Table
    ledger: Ledger
    limiter: RateLimiter
    keys: ApiKeys
    api: PartooApi
    topic: ResultTopic

    @classmethod
    def of(cls, config: Config) -> "Dependencies":
        session = boto3.session.Session()
        table = DynamoDbTable(client(session, "dynamodb"), config.table_name)
        secrets = client(session, "secretsmanager")
        return cls(
            session=session,
            table=table,
            ledger=Ledger(table, config.history_days, time.time),
            limiter=RateLimiter(table, config.requests_per_minute, on_change=log_limiter),
            keys=ApiKeys(secrets, config.api_key_secret_arn),
            api=PartooApi(config.partoo_base_url, config.partoo_timeout_seconds),
            topic=ResultTopic(client(session, "sns"), config.result_topic_arn),
        )


def client(session: boto3.session.Session, service: Any) -> Any:
    """Any: the adapters name the client's type."""
    return session.client(service, config=SDK_CONFIG)


def build_reinviter() -> Reinviter:
    """Raises ConfigurationError."""
    config = ReinviteConfig.from_environment(os.environ)
    shared = Dependencies.of(config.shared)
    sqs = client(shared.session, "sqs")
    exits = Exits(
        ledger=shared.ledger,
        topic=shared.topic,
        retry_queue=MessageQueue(sqs, config.retry_queue_url),
        bulk_queue=MessageQueue(sqs, config.bulk_queue_url),
        dead_letter_queue=MessageQueue(sqs, config.dead_letter_queue_url),
        clock=time.time,
    )
    policy = Policy(
        window_seconds=config.invite_window_seconds,
        max_attempts=config.max_attempts,
        user_daily_limit=config.user_daily_limit,
        user_id_path=config.user_id_path,
        call_budget_seconds=config.shared.call_budget_seconds,
    )
    return Reinviter(shared.ledger, shared.limiter, shared.keys, shared.api, exits, policy)
