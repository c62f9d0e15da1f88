"""Part 4: the deployed stack carries out a real backlog before a stand-in that counts."""

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.say import Say
from bench.template import has_parameter
from local.aws import LocalAws, local_aws
from local.partoo.control import PartooControl, User, running_stand_in
from local.stack import DeployedStack, deploy

REQUESTS = 240
REQUESTS_PER_MINUTE = 120
MINUTE_SECONDS = 60.0

_NAME = "partoo-reinvite-bench"
_PATIENCE_SECONDS = 240.0
_SAY_SECONDS = 10.0


@dataclass(frozen=True)
class Backlog:
    """Seconds count from the moment at which the function was let at the queue."""

    requests: int
    requests_per_minute: int
    seconds: float
    """Until the last result was on the topic's queue, or patience ended."""
    results: dict[str, int]
    """By status."""
    calls_at: Sequence[float]
    refused_at: Sequence[float]

    @property
    def most_in_a_minute(self) -> int:
        return max((count for _, count in rolling(self.calls_at)), default=0)


def rolling(moments: Sequence[float], span: float = MINUTE_SECONDS) -> list[tuple[float, int]]:
    """For each moment, how many there were in the `span` seconds that end with it."""
    counts = []
    first = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - span:
            first += 1
        counts.append((moment, last - first + 1))
    return counts


def measure(template: Path, logs: Path, say: Say) -> Backlog:
    """Deploy, fill the queue while nobody takes from it, and then watch.

    Raises LocalStackError when a part does not come up.
    """
    api_key = secrets.token_urlsafe()
    with (
        local_aws(logs) as aws,
        running_stand_in(
            api_key, window_seconds=300, requests_per_minute=REQUESTS_PER_MINUTE
        ) as base_url,
    ):
        say("drain: deploying")
        parameters = {"PartooBaseUrl": base_url}
        if has_parameter("RequestsPerMinute"):
            parameters["RequestsPerMinute"] = str(REQUESTS_PER_MINUTE)
        stack = deploy(aws, _NAME, parameters, template=template, api_key=api_key)
        partoo = PartooControl(base_url)
        users = [f"{number:024x}" for number in range(REQUESTS)]
        partoo.add_users(*(User(user) for user in users))
        return _watch(aws, stack, partoo, users, say)


def _watch(
    aws: LocalAws, stack: DeployedStack, partoo: PartooControl, users: Sequence[str], say: Say
) -> Backlog:
    _let(aws, stack, enabled=False)
    _fill(aws, stack, users)
    began = time.time()
    _let(aws, stack, enabled=True)
    results: dict[str, str] = {}
    said_at = began
    ended = began
    while len(results) < len(users) and time.time() < began + _PATIENCE_SECONDS:
        new = _receive(aws, stack)
        if new:
            results |= new
            ended = time.time()
        if time.time() > said_at + _SAY_SECONDS:
            said_at = time.time()
            say(f"drain: {len(results)} of {len(users)} after {said_at - began:.0f} s")
    calls = partoo.calls()
    statuses = list(results.values())
    return Backlog(
        requests=len(users),
        requests_per_minute=REQUESTS_PER_MINUTE,
        seconds=(ended if len(results) == len(users) else time.time()) - began,
        results={status: statuses.count(status) for status in sorted(set(statuses))},
        calls_at=[call.received_at - began for call in calls],
        refused_at=[call.received_at - began for call in calls if call.status == 429],
    )


def _let(aws: LocalAws, stack: DeployedStack, *, enabled: bool) -> None:
    """Let the function take from the queue, or not."""
    client = aws.client("lambda")
    mappings = client.list_event_source_mappings(FunctionName=stack.reinvite_function_name)
    for mapping in mappings["EventSourceMappings"]:
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)


def _fill(aws: LocalAws, stack: DeployedStack, users: Sequence[str]) -> None:
    sqs = aws.client("sqs")
    for start in range(0, len(users), 10):
        entries = [
            {"Id": str(number), "MessageBody": json.dumps({"user_id": user, "request_id": user})}
            for number, user in enumerate(users[start : start + 10])
        ]
        sqs.send_message_batch(QueueUrl=stack.request_queue_url, Entries=entries)


def _receive(aws: LocalAws, stack: DeployedStack) -> dict[str, str]:
    """Statuses of the results that have arrived, by request."""
    sqs = aws.client("sqs")
    answer = sqs.receive_message(
        QueueUrl=stack.results_queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1
    )
    messages = answer.get("Messages", [])
    if messages:
        entries = [
            {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
            for number, message in enumerate(messages)
        ]
        sqs.delete_message_batch(QueueUrl=stack.results_queue_url, Entries=entries)
    results = [json.loads(message["Body"]) for message in messages]
    return {result["request_id"]: result["status"] for result in results}
