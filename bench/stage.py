"""The local AWS and the stand-in, with a set of resources for each handler and nothing deployed.

Nothing consumes the queues here: what a handler puts on one stays there, and disturbs no run.
"""

import json
import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.builds import FUNCTIONS, Artifact, Builds
from bench.process import Handler, handler_process
from local.aws import LocalAws, local_aws
from local.partoo.control import PartooControl, User, running_stand_in

Event = Mapping[str, Any]

_WINDOW_SECONDS = 300
# The most that the configuration takes: here it is the handlers that are measured.
_NO_QUOTA = 10_000


@dataclass(frozen=True)
class Resources:
    """What one handler works with."""

    table_name: str
    queue_url: str
    queue_arn: str
    dead_letter_queue_url: str
    topic_arn: str
    secret_arn: str


@dataclass(frozen=True)
class Stage:
    aws: LocalAws
    partoo: PartooControl
    base_url: str
    builds: Builds
    resources: Mapping[str, Resources]
    logs: Path

    def environment(self, name: str, requests_per_minute: int = _NO_QUOTA) -> dict[str, str]:
        """Environment variables of a handler's process: Lambda's own, and the handler's."""
        resources = self.resources[name]
        lambdas = {
            "AWS_LAMBDA_FUNCTION_NAME": "bench",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.builds.function("ours")["MemorySize"]),
            # Without these the Tracer would find that it is not in Lambda, and switch itself off.
            "LAMBDA_TASK_ROOT": str(self.builds.naive.paths[0]),
            "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;"
            "Parent=53995c3f42cd8ad8;Sampled=1",
            # UDP to a port where nobody listens, as cheap as to Lambda's own daemon.
            "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9",
        }
        if name in FUNCTIONS:
            own = _variables(self, name, resources, requests_per_minute)
        else:
            own = {
                "TABLE_NAME": resources.table_name,
                "REQUEST_QUEUE_URL": resources.queue_url,
                "RESULT_TOPIC_ARN": resources.topic_arn,
                "API_KEY_SECRET_ARN": resources.secret_arn,
                "PARTOO_BASE_URL": self.base_url,
            }
        return self.aws.environment() | lambdas | own

    @contextmanager
    def process(self, name: str, requests_per_minute: int = _NO_QUOTA) -> Iterator[Handler]:
        """Run a handler in a process of its own: `ours`, `sweep` or `naive`."""
        artifact: Artifact = getattr(self.builds, name)
        environment = self.environment(name, requests_per_minute)
        log = self.logs / f"{name}.log"
        with handler_process(artifact.paths, artifact.handler, environment, log) as handler:
            yield handler

    def event(self, name: str, users: Sequence[str]) -> Event:
        """An SQS batch with a request for each user."""
        return {"Records": [self._record(name, user) for user in users]}

    def fresh_users(self, count: int) -> list[str]:
        """Register users whom nobody has invited yet; ids are as long as the vendor's."""
        users = [uuid.uuid4().hex[:24] for _ in range(count)]
        self.partoo.add_users(*(User(user) for user in users))
        return users

    def _record(self, name: str, user: str) -> dict[str, Any]:
        # The real time of arrival does not matter to either handler.
        moment = "1800000000000"
        return {
            "messageId": str(uuid.uuid4()),
            "receiptHandle": uuid.uuid4().hex,
            "body": json.dumps({"user_id": user, "request_id": str(uuid.uuid4())}),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": moment,
                "SenderId": "AIDA",
                "ApproximateFirstReceiveTimestamp": moment,
            },
            "messageAttributes": {},
            "md5OfBody": "0" * 32,
            "eventSource": "aws:sqs",
            "eventSourceARN": self.resources[name].queue_arn,
            "awsRegion": "eu-west-1",
        }


@contextmanager
def staged(builds: Builds, logs: Path) -> Iterator[Stage]:
    """Run everything for the length of the block; raises LocalStackError when a part fails."""
    api_key = secrets.token_urlsafe()
    with (
        # What the local AWS takes for policies and TLS would be taken for ours.
        local_aws(logs, enforces_policies=False) as aws,
        running_stand_in(
            api_key, window_seconds=_WINDOW_SECONDS, requests_per_minute=10**9
        ) as base_url,
    ):
        resources = {name: _make(aws, name, api_key) for name in (*FUNCTIONS, "naive", "floor")}
        yield Stage(aws, PartooControl(base_url), base_url, builds, resources, logs)


def _make(aws: LocalAws, name: str, api_key: str) -> Resources:
    sqs = aws.client("sqs")
    aws.create_table(f"bench-{name}", *(("pk", "sk") if name in FUNCTIONS else ("pk",)))
    queues = [
        sqs.create_queue(QueueName=f"bench-{name}{suffix}")["QueueUrl"] for suffix in ("", "-dead")
    ]
    attributes = sqs.get_queue_attributes(QueueUrl=queues[0], AttributeNames=["QueueArn"])
    secret = aws.client("secretsmanager").create_secret(Name=f"bench-{name}", SecretString=api_key)
    return Resources(
        table_name=f"bench-{name}",
        queue_url=queues[0],
        queue_arn=attributes["Attributes"]["QueueArn"],
        dead_letter_queue_url=queues[1],
        topic_arn=aws.client("sns").create_topic(Name=f"bench-{name}")["TopicArn"],
        secret_arn=secret["ARN"],
    )


def _variables(
    stage: Stage, name: str, resources: Resources, requests_per_minute: int
) -> dict[str, str]:
    """The variables of the built template, so that a new one is not forgotten here."""
    parameters = {
        name: str(each.get("Default", "")) for name, each in stage.builds.parameters.items()
    }
    known = parameters | {
        "AWS::StackName": "bench",
        "PartooBaseUrl": stage.base_url,
        "RequestsPerMinute": str(requests_per_minute),
        "InvitationTable": resources.table_name,
        "RequestQueue": resources.queue_url,
        "DeadLetterQueue": resources.dead_letter_queue_url,
        "SweepQueue": resources.dead_letter_queue_url,
        "ResultTopic": resources.topic_arn,
        "ApiKeySecret": resources.secret_arn,
    }

    def resolve(value: Any) -> str:
        match value:
            case {"Ref": logical_id} | {"Fn::GetAtt": [logical_id, *_]}:
                return known[logical_id]
            case {"Fn::If": [_, made, _given]}:
                return resolve(made)
        return str(value)

    variables = stage.builds.function(name)["Environment"]["Variables"]
    return {variable: resolve(value) for variable, value in variables.items()}
