"""The deployed stack carries out a backlog; the fake Partoo server counts the calls."""

import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.page import Say, Section, Target
from local.aws import LocalAws, local_aws
from local.partoo.control import PartooControl, User, running_fake_partoo
from local.stack import DeployedStack, deploy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REQUESTS = 240
REQUESTS_PER_MINUTE = 120
MINUTE_SECONDS = 60.0

_PATIENCE_SECONDS = 240.0


def rolling(moments: Sequence[float]) -> list[int]:
    """For each moment, how many there are in the 60 s that end with it."""
    counts, first = [], 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - MINUTE_SECONDS:
            first += 1
        counts.append(last - first + 1)
    return counts


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
    calls_at = [call.received_at - began for call in calls]
    counts = rolling(calls_at)
    most = max(counts, default=0)
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
        lambda figure: _draw(calls_at, counts, figure),
    )


def _enable(aws: LocalAws, stack: DeployedStack, *, enabled: bool) -> None:
    client = aws.client("lambda")
    mappings = client.list_event_source_mappings(FunctionName=stack.reinvite_function_name)
    for mapping in mappings["EventSourceMappings"]:
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=enabled)


def _wait_for_results(aws: LocalAws, stack: DeployedStack) -> int:
    """Wait until each request has a result, or patience ends; returns how many are `sent`."""
    sqs, statuses = aws.client("sqs"), dict[str, str]()
    give_up_at = time.time() + _PATIENCE_SECONDS
    while len(statuses) < REQUESTS and time.time() < give_up_at:
        answer = sqs.receive_message(
            QueueUrl=stack.results_queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        for message in answer.get("Messages", []):
            result = json.loads(message["Body"])
            statuses[result["request_id"]] = result["status"]
            sqs.delete_message(
                QueueUrl=stack.results_queue_url, ReceiptHandle=message["ReceiptHandle"]
            )
    return list(statuses.values()).count("sent")


def _draw(calls_at: Sequence[float], counts: Sequence[int], figure: "Figure") -> None:
    axes = figure.subplots()
    axes.step(calls_at, range(1, len(calls_at) + 1), where="post", label="calls so far")
    axes.step(calls_at, counts, where="post", label="calls in the last 60 s")
    axes.axhline(REQUESTS_PER_MINUTE, color="black", linestyle="--", label="quota")
    axes.set_xlabel("seconds since the event sources were enabled")
    axes.legend()
