"""`make run`: send the sample events through the whole stack and wait for their results."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console

from local.environment import LocalEnvironment, empty_log_folder, local_environment
from local.errors import CommandError
from local.partoo.control import User
from local.rows import print_row
from local.samples import Entrance, Sample, known_users, read_samples

# Long enough for a second request to find the window active, short enough to wait for its end.
_WINDOW_SECONDS = 10
# A cold start, a window, and the next poll.
_RESULTS_SECONDS = 40.0
_EVENT_FIELDS = {"source", "detail-type", "detail"}
# Status, reason, request, time of day, user.
_WIDTHS = (9, 18, 36, 12, 0)


class SampleRefusedError(CommandError):
    """AWS refused a sample."""

    def __init__(self, sample: Sample, answer: object) -> None:
        super().__init__(f"{sample.path} was refused: {answer}.")


@dataclass
class Run:
    """Samples and results by request id."""

    sent: dict[str, Sample] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def missing(self) -> dict[str, Sample]:
        return {name: sample for name, sample in self.sent.items() if name not in self.results}


def main(only: str | None = None) -> int:
    """Send one sample or all; returns 1 if a request gets no result."""
    console = Console()
    samples = read_samples(Path(only) if only else None)
    logs = empty_log_folder("run")
    run = Run()
    console.print("Starting AWS and the fake Partoo server …")
    with local_environment(
        logs,
        users=map(User, known_users(samples)),
        window_seconds=_WINDOW_SECONDS,
        say=console.print,
    ) as environment:
        console.print(f"Sending {len(samples)} sample events …")
        for sample in samples:
            try:
                run.sent |= dict.fromkeys(_send(environment, sample), sample)
            except ClientError as error:
                raise SampleRefusedError(sample, error) from error
        print_row(console, _WIDTHS, "status", "reason", "request", "time (UTC)", "user")
        _wait_for_results(environment, run, console)
        emails = len(environment.partoo.emails())
    statuses = Counter(result["status"] for result in run.results.values())
    counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    console.print(f"{len(run.sent)} requests: {counts}. E-mails at the API: {emails}.")
    for request_id, sample in run.missing.items():
        console.print(f"[red]No result for request {request_id} of {sample.path}.")
    if run.missing:
        console.print(f"The logs are in {logs}.")
    return 1 if run.missing else 0


def _send(environment: LocalEnvironment, sample: Sample) -> list[str]:
    """Send a sample; returns its request ids."""
    match sample.entrance:
        case Entrance.QUEUE:
            message = environment.aws.client("sqs").send_message(
                QueueUrl=environment.stack.request_queue_url, MessageBody=sample.text
            )
            return [sample.request_id or message["MessageId"]]
        case Entrance.BUS:
            event = sample.document
            if not isinstance(event, dict) or not _EVENT_FIELDS.issubset(event):
                raise SampleRefusedError(sample, "it is not an EventBridge event")
            entry = {
                "EventBusName": environment.stack.event_bus_name,
                "Source": event["source"],
                "DetailType": event["detail-type"],
                "Detail": json.dumps(event["detail"]),
            }
            answer = environment.aws.client("events").put_events(Entries=[entry])
            if answer["FailedEntryCount"]:
                raise SampleRefusedError(sample, answer["Entries"])
            return [sample.request_id or answer["Entries"][0]["EventId"]]
        case Entrance.INVOKE:
            invocation = environment.aws.client("lambda").invoke(
                FunctionName=environment.stack.reinvite_function_name, Payload=sample.text
            )
            payload = json.load(invocation["Payload"])
            if "FunctionError" in invocation:
                raise SampleRefusedError(sample, payload)
            return [result["request_id"] for result in payload["results"]]


def _wait_for_results(environment: LocalEnvironment, run: Run, console: Console) -> None:
    sqs = environment.aws.client("sqs")
    queue_url = environment.stack.results_queue_url
    deadline = time.monotonic() + _RESULTS_SECONDS
    while run.missing and time.monotonic() < deadline:
        answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in answer.get("Messages", []):
            result = json.loads(message["Body"])
            # A result may be published more than once.
            if result["request_id"] not in run.results:
                moment = result["occurred_at"].removesuffix("Z").partition("T")[2]
                print_row(
                    console,
                    _WIDTHS,
                    result["status"],
                    result["reason"],
                    result["request_id"],
                    moment,
                    result["user_id"] or "",
                )
            run.results[result["request_id"]] = result
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
