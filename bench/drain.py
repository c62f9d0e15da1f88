"""The deployed stack carries out a backlog; the fake Partoo server counts the calls."""

import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from bench.page import Say, Section, Target
from local.aws import LocalAws, local_aws
from local.partoo.control import PartooControl, User, running_fake_partoo
from local.stack import DeployedStack, deploy

REQUESTS = 240
REQUESTS_PER_MINUTE = 120
MINUTE_SECONDS = 60.0

_PATIENCE_SECONDS = 240.0


def busiest_minute(moments: Sequence[float]) -> int:
    """Return the most calls in any 60 s, of moments in order."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - MINUTE_SECONDS:
            first += 1
        most = max(most, last - first + 1)
    return most


def measure(template: Path, logs: Path, say: Say) -> Section:
    """Deploy, fill the queue while the event sources are disabled, enable them, and watch.

    Raises CommandError when a part does not start.
    """
    api_key, users = secrets.token_urlsafe(), [f"{number:024x}" for number in range(REQUESTS)]
    with (
        local_aws(logs) as aws,
        running_fake_partoo(api_key, requests_per_minute=REQUESTS_PER_MINUTE) as base_url,
    ):
        say("drain: deploying")
        parameters = {"PartooBaseUrl": base_url, "RequestsPerMinute": str(REQUESTS_PER_MINUTE)}
        stack = deploy(aws, "bench", parameters, template=template, api_key=api_key)
        partoo = PartooControl(base_url)
        partoo.add_users(*map(User, users))
        _enable(aws, stack, enabled=False)
        for user in users:
            body = json.dumps({"user_id": user, "request_id": user})
            aws.client("sqs").send_message(QueueUrl=stack.request_queue_url, MessageBody=body)
        began = time.time()
        say(f"drain: {REQUESTS} requests")
        _enable(aws, stack, enabled=True)
        sent = _wait_for_results(aws, stack)
        seconds, calls = time.time() - began, partoo.calls()
    most = busiest_minute([call.received_at for call in calls])
    refused = sum(call.status == 429 for call in calls)
    figures = [f"{seconds:.1f}", *map(str, (sent, len(calls), refused, most))]
    return Section(
        f"The deployed stack, {REQUESTS} requests at {REQUESTS_PER_MINUTE} a minute",
        ["", "seconds", "sent", "calls", "429s", "most calls in 60 s"],
        [["ours", *figures]],
        [
            Target("deployed backlog, seconds", seconds, 140),
            Target("deployed backlog, requests without an e-mail", REQUESTS - sent, 0),
            Target("deployed backlog, calls in 60 s", most, REQUESTS_PER_MINUTE),
        ],
    )


def _enable(aws: LocalAws, stack: DeployedStack, *, enabled: bool) -> None:
    client = aws.client("lambda")
    mappings = client.list_event_source_mappings(FunctionName=stack.reinvite_function_name)
    for mapping in mappings["EventSourceMappings"]:
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)


def _wait_for_results(aws: LocalAws, stack: DeployedStack) -> int:
    """Wait until each request has a result, or patience ends; returns how many are `sent`."""
    statuses: dict[str, str] = {}
    give_up_at = time.time() + _PATIENCE_SECONDS
    while len(statuses) < REQUESTS and time.time() < give_up_at:
        for message in aws.receive(stack.results_queue_url, 1):
            result = json.loads(message["Body"])
            statuses[result["request_id"]] = result["status"]
    return list(statuses.values()).count("sent")
