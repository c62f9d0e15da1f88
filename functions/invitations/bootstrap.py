"""Wires the real adapters, once for each container."""

import os
import random
import time
import uuid

import boto3
from botocore.config import Config as SdkConfig

from invitations.adapters.dynamodb import DynamoDbLedger
from invitations.adapters.partoo import PartooApi
from invitations.adapters.secrets import SecretsManagerApiKeys
from invitations.adapters.sns import SnsResultTopic
from invitations.adapters.sqs import SqsRequestQueue
from invitations.config import Config
from invitations.service import Policy, ReinviteService

BATCH_SIZE = 10
"""Requests carried out side by side: the most that the queue hands over at once."""

# Each step stays far inside an execution, so that a slow service leaves time to put the request
# back on the queue. What fails for longer is the queue's to repeat.
SDK_CONFIG = SdkConfig(
    connect_timeout=2,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=BATCH_SIZE,
)


def build_service() -> ReinviteService:
    """Raises ConfigurationError."""
    config = Config.from_environment(os.environ)
    session = boto3.Session()
    clock = time.time
    return ReinviteService(
        ledger=DynamoDbLedger(
            session.client("dynamodb", config=SDK_CONFIG), config.table_name, config.history_days
        ),
        api=PartooApi(
            config.partoo_base_url, config.partoo_timeout_seconds, clock, connections=BATCH_SIZE
        ),
        keys=SecretsManagerApiKeys(
            session.client("secretsmanager", config=SDK_CONFIG), config.api_key_secret_arn, clock
        ),
        topic=SnsResultTopic(session.client("sns", config=SDK_CONFIG), config.result_topic_arn),
        queue=SqsRequestQueue(
            session.client("sqs", config=SDK_CONFIG),
            config.request_queue_url,
            config.dead_letter_queue_url,
        ),
        clock=clock,
        new_id=lambda: str(uuid.uuid4()),
        dice=random.Random(),  # noqa: S311  # spreads waits, guards nothing
        policy=Policy(
            invite_window_seconds=config.invite_window_seconds,
            max_attempts=config.max_attempts,
            call_budget_seconds=config.call_budget_seconds,
            user_id_path=config.user_id_path,
        ),
    )
