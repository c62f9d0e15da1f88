"""Wires the real adapters to a sweeper, which the other function does not load."""

import os
import random
import time

from invitations.adapters.sqs import SqsSweepQueue
from invitations.adapters.sweeps import DynamoDbSweepStore
from invitations.bootstrap import Parts, new_id
from invitations.config import SweepConfig
from invitations.sweeper import Sweeper
from invitations.sweeps import Terms


def build_sweeper() -> tuple[Sweeper, Terms]:
    """The sweeper, and who is due when an order does not say. Raises ConfigurationError."""
    config = SweepConfig.from_environment(os.environ)
    shared = config.shared
    parts = Parts.of(shared)
    sweeper = Sweeper(
        caller=parts.caller,
        search=parts.api,
        ledger=parts.ledger,
        store=DynamoDbSweepStore(parts.dynamodb, shared.table_name),
        queue=SqsSweepQueue(
            parts.make_queue_client, shared.request_queue_url, config.sweep_queue_url
        ),
        topic=parts.topic,
        clock=time.time,
        new_id=new_id,
        dice=random.Random(),  # noqa: S311  # spreads waits, guards nothing
    )
    terms = Terms(config.min_age_hours, config.max_invites, config.max_users, config.roles)
    return sweeper, terms
