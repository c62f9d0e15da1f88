"""A local AWS and the fake Partoo server, with resources for each handler; nothing is deployed."""

import json
import secrets
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.page import Say
from local.aws import REPOSITORY, LocalAws, local_aws
from local.environment import WORKSPACE
from local.errors import ProcessFailedError
from local.partoo.control import PartooControl, User
from local.partoo.server import running_fake_partoo
from local.stack import build

NO_QUOTA = 10_000
"""The largest quota that the configuration takes."""

# Runs every handler here: the local AWS's interpreter, for which the build makes bytecode.
_PYTHON = REPOSITORY / ".venv/aws/bin/python"
# `make bench` installs the naive handler's packages, without bytecode like a default `sam build`.
_PACKAGES = REPOSITORY / ".venv/bench/lib"
_DRIVER = Path(__file__).with_name("driver.py")
_QUEUES = ("request", "retry", "bulk", "dead_letter", "sweep")
# The third line is what the naive handler's Tracer needs to stay on. Nobody listens on the port:
# sending to it costs as much as sending to Lambda's daemon.
_CONSTANTS = """
AWS_LAMBDA_FUNCTION_NAME=bench AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512
POWERTOOLS_METRICS_NAMESPACE=bench TRACING=Disabled
LAMBDA_TASK_ROOT=/var/task AWS_XRAY_DAEMON_ADDRESS=127.0.0.1:9
PARTOO_TIMEOUT_SECONDS=10 HISTORY_DAYS=90 INVITE_WINDOW_SECONDS=300 MAX_ATTEMPTS=10
USER_DAILY_LIMIT=5 USER_ID_PATH=detail.user_id
SWEEP_MIN_AGE_HOURS=24 SWEEP_MAX_INVITES=3 SWEEP_MAX_USERS=10000 SWEEP_ROLES= SWEEP_ORG_IDS=
SWEEP_FIRST_INVITATION=true
"""
_TRACE_ID = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@dataclass(frozen=True)
class Handler:
    """Where a handler's imports are found, its dotted name, and its process's environment."""

    paths: list[str]
    name: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Invocation:
    """One invocation; seconds and bytes are the handler's alone, unless they say otherwise."""

    answer: Any
    seconds_since_start: float
    """From the start of the process to the answer."""
    cpu_since_start: float
    wall: float
    cpu: float
    log_bytes: int
    peak_kilobytes: int
    """The most memory that the process has had until now."""
    calls: list[dict[str, Any]]
    """The SDK's calls, if they were counted: `operation`, `parameters`."""


@dataclass(frozen=True)
class Stage:
    """Runs the handlers `ours`, `sweep` and `naive`."""

    aws: LocalAws
    partoo: PartooControl
    handlers: Mapping[str, Handler]

    def run(
        self,
        name: str,
        events: Sequence[Mapping[str, Any]],
        *,
        count: bool = False,
        requests_per_minute: int = NO_QUOTA,
    ) -> list[Invocation]:
        """Invoke a handler with events, in a process of its own.

        With `count`, note its calls, 0.05 ms each. Raises ProcessFailedError.
        """
        handler, log = self.handlers[name], self.aws.logs / f"{name}.log"
        command = {"paths": handler.paths, "handler": handler.name, "events": events}
        with log.open("a") as errors:
            started_at = time.time()
            done = subprocess.run(
                [str(_PYTHON), "-I", "-S", "-B", str(_DRIVER)],
                input=json.dumps({**command, "count": count}),
                env={**handler.environment, "REQUESTS_PER_MINUTE": str(requests_per_minute)},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                check=False,
            )
        if done.returncode:
            raise ProcessFailedError(f"The handler {name} ended with {done.returncode}", log)
        return [
            Invocation(seconds_since_start=report.pop("answered_at") - started_at, **report)
            for report in json.loads(done.stdout)
        ]

    def event(
        self, name: str, users: Sequence[str], *, retry_state: str | None = None
    ) -> dict[str, Any]:
        """Return an SQS event with a request for each user; with a state, of the retry queue."""
        environment = self.handlers[name].environment
        url = environment["RETRY_QUEUE_URL" if retry_state else "REQUEST_QUEUE_URL"]
        now = str(int(time.time() * 1000))
        lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
        attribute = {"dataType": "String", "stringValue": retry_state, **lists}
        return {
            "Records": [
                {
                    "messageId": str(uuid.uuid4()),
                    "receiptHandle": self._receipt_handle(url),
                    "body": json.dumps({"user_id": user, "request_id": str(uuid.uuid4())}),
                    "attributes": {
                        "ApproximateReceiveCount": "1",
                        "SentTimestamp": now,
                        "ApproximateFirstReceiveTimestamp": now,
                    },
                    "messageAttributes": {"retry_state": attribute} if retry_state else {},
                    "eventSource": "aws:sqs",
                    "eventSourceARN": f"arn:aws:sqs:eu-west-1:000000000000:{url.split('/')[-1]}",
                }
                for user in users
            ]
        }

    def fresh_users(self, count: int) -> list[str]:
        """Register users whom nobody has invited yet; ids are as long as the vendor's."""
        users = [uuid.uuid4().hex[:24] for _ in range(count)]
        self.partoo.add_users(*map(User, users))
        return users

    def _receipt_handle(self, queue_url: str) -> str:
        """Receive a real message, so that the naive handler can change its visibility."""
        sqs = self.aws.client("sqs")
        sqs.send_message(QueueUrl=queue_url, MessageBody="received by the benchmark")
        handle: str = sqs.receive_message(QueueUrl=queue_url)["Messages"][0]["ReceiptHandle"]
        return handle


@contextmanager
def staged(logs: Path, say: Say) -> Iterator[Stage]:
    """Build and run everything for the length of the block; raises CommandError."""
    say("building our functions")
    ours = build(WORKSPACE / "sam", logs=logs).parent
    layer, (packages,) = str(ours / "DependenciesLayer/python"), _PACKAGES.glob("*/site-packages")
    shipped = {
        "ours": ([str(ours / "ReinviteUserFunction"), layer], "reinvite_user.app.handler"),
        "sweep": ([str(ours / "SweepInvitationsFunction"), layer], "sweep_invitations.app.handler"),
        "naive": ([str(REPOSITORY / "bench/naive"), str(packages)], "app.handler"),
    }
    api_key = secrets.token_urlsafe()
    with (
        # Policies and TLS of the local AWS would be measured, too.
        local_aws(logs, enforces_policies=False) as aws,
        running_fake_partoo(api_key, requests_per_minute=10**9) as base_url,
    ):
        common = {
            **aws.environment(),
            **dict(each.split("=", 1) for each in _CONSTANTS.split()),
            "_X_AMZN_TRACE_ID": _TRACE_ID,
            "PARTOO_BASE_URL": base_url,
        }
        handlers = {
            name: Handler(paths, handler, common | _resources(aws, f"bench-{name}", api_key))
            for name, (paths, handler) in shipped.items()
        }
        yield Stage(aws, PartooControl(base_url), handlers)


def _resources(aws: LocalAws, name: str, api_key: str) -> dict[str, str]:
    """Create what one handler works with, and return the variables that name it."""
    aws.create_table(name, *(("pk",) if name == "bench-naive" else ("pk", "sk")))
    sqs = aws.client("sqs")
    secret = aws.client("secretsmanager").create_secret(Name=name, SecretString=api_key)
    queues = {f"{each.upper()}_QUEUE_URL": f"{name}-{each}" for each in _QUEUES}
    return {
        **{each: sqs.create_queue(QueueName=queue)["QueueUrl"] for each, queue in queues.items()},
        "TABLE_NAME": name,
        "RESULT_TOPIC_ARN": aws.client("sns").create_topic(Name=name)["TopicArn"],
        "API_KEY_SECRET_ARN": secret["ARN"],
    }
