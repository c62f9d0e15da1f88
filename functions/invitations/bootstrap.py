"""Wires the real adapters, once for each container."""

import os
import random
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from botocore.config import Config as SdkConfig
from botocore.credentials import CredentialResolver, EnvProvider
from botocore.handlers import BUILTIN_HANDLERS, add_retry_headers
from botocore.hooks import HierarchicalEmitter
from botocore.session import Session

from invitations.adapters.dynamodb import DynamoDbTable
from invitations.adapters.limiter import DynamoDbGateKeeper
from invitations.adapters.partoo import PartooApi
from invitations.adapters.secrets import SecretsManagerApiKeys
from invitations.adapters.sns import SnsResultTopic
from invitations.adapters.sqs import SqsRequestQueue
from invitations.caller import Caller
from invitations.config import Config, ReinviteConfig
from invitations.gate import BATCH_SIZE, Pace
from invitations.ledger import Ledger
from invitations.service import Policy, ReinviteService

# Each step stays far inside an execution, so that a slow service leaves time to put the request
# back on the queue. What fails for longer is the queue's to repeat.
SDK_CONFIG = SdkConfig(
    connect_timeout=2,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=BATCH_SIZE,
    # Both cost a batch of ten some milliseconds. botocore makes its own name up for each call anew;
    # what the adapters hand over is typed, and AWS checks it again.
    user_agent="partoo-reinvite",
    parameter_validation=False,
    # The API is called without a proxy as well; each client would search the environment for some.
    proxies={},
)

# As botocore's events have them.
_SERVICES = {"dynamodb", "secrets-manager", "sns", "sqs"}


def build_service() -> ReinviteService:
    """Raises ConfigurationError."""
    config = ReinviteConfig.from_environment(os.environ)
    parts = Parts.of(config.shared)
    return ReinviteService(
        ledger=parts.ledger,
        caller=parts.caller,
        api=parts.api,
        topic=parts.topic,
        queue=SqsRequestQueue(
            parts.make_queue_client,
            config.shared.request_queue_url,
            config.dead_letter_queue_url,
        ),
        clock=time.time,
        new_id=new_id,
        dice=random.Random(),  # noqa: S311  # spreads waits, guards nothing
        policy=Policy(
            invite_window_seconds=config.invite_window_seconds,
            max_attempts=config.max_attempts,
            user_id_path=config.user_id_path,
        ),
    )


class Parts(NamedTuple):
    """What every function is made of."""

    ledger: Ledger
    caller: Caller
    api: PartooApi
    topic: SnsResultTopic
    dynamodb: Any
    make_queue_client: Callable[[], Any]
    """Most executions put nothing on a queue."""

    @classmethod
    def of(cls, config: Config) -> "Parts":
        session = sdk_session()
        dynamodb, clock = _client(session, "dynamodb"), time.time
        table = DynamoDbTable(dynamodb, config.table_name, config.history_days)
        secrets = _client(session, "secretsmanager")
        return cls(
            ledger=Ledger(table, time.sleep),
            caller=Caller(
                gate=DynamoDbGateKeeper(dynamodb, config.table_name),
                keys=SecretsManagerApiKeys(secrets, config.api_key_secret_arn, clock),
                clock=clock,
                sleep=time.sleep,
                pace=Pace.within(config.requests_per_minute),
                call_budget_seconds=config.call_budget_seconds,
            ),
            api=PartooApi(
                config.partoo_base_url, config.partoo_timeout_seconds, clock, connections=BATCH_SIZE
            ),
            topic=SnsResultTopic(_client(session, "sns"), config.result_topic_arn),
            dynamodb=dynamodb,
            make_queue_client=lambda: _client(session, "sqs"),
        )


def new_id() -> str:
    return str(uuid.uuid4())


def sdk_session() -> Session:
    """Not boto3's, which costs every start its import and adds nothing to a client.

    What one client has loaded, the next find in it.
    """
    # On its own, a session puts every event's name through the list of names that services once
    # had, which costs more than the handlers do. None of ours is called by an old name.
    events = HierarchicalEmitter()
    session = Session(event_hooks=events, include_builtin_handlers=False)
    session.register_component("event_emitter", events)
    # A function's credentials are in its environment. Two of the places where botocore would look
    # next have HTTP clients of their own.
    session.register_component("credential_provider", CredentialResolver([EnvProvider()]))
    # Of botocore's 127 handlers 117 are for services that are not called here, and every client
    # would get copies of them. The second part of an event's name, if any, is the service. One adds
    # headers for AWS's statistics, which would be signed with each call.
    for event, handler, *_ in BUILTIN_HANDLERS:
        if {*event.split(".")[1:2]} <= _SERVICES and handler is not add_retry_headers:
            events.register(event, handler)
    events.register("before-call.sns", _encode_once)
    return session


def _encode_once(params: dict[str, Any], **_: object) -> None:
    """botocore would encode SNS's form twice: to sign it, and to send it."""
    params["body"] = urlencode(params["body"]).encode()


def _client(session: Session, service: str) -> Any:
    """Any, because botocore's own types know of no services: the adapters name the client's."""
    return session.create_client(service, config=SDK_CONFIG)
