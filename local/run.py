"""`make run`: send the sample events through the whole stack and wait for their results."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from rich.console import Console

from local.aws import REPOSITORY
from local.environment import LocalEnvironment, empty_log_folder, local_environment
from local.errors import CommandError
from local.partoo.control import User
from local.rows import counted, print_row
from local.samples import Entrance, Sample, known_users, read_samples, request_ids

# Long enough for a second request to find the window active, short enough to wait for its end.
_WINDOW_SECONDS = 10
# A cold start, a window, and the next poll.
_RESULTS_SECONDS = 40.0
_EVENT_FIELDS = {"source", "detail-type", "detail"}
_NEXT = """
Next: make local keeps the stack running and shows what happens, make sweep
invites an organisation. docs/runbook.md explains each reason, README.md how to
deploy. The logs are in {logs}."""
# Status, reason, request, time of day, user.
_WIDTHS = (9, 18, 36, 12, 0)


class _RefusedError(Exception):
    """An answer that refuses a sample."""


@dataclass
class Run:
    """Samples and results by request id."""

    sent: dict[str, Sample] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def missing(self) -> dict[str, Sample]:
        return {name: sample for name, sample in self.sent.items() if name not in self.results}


def main(only: str) -> int:
    """Send one sample or all (""); returns 1 if a request gets no result."""
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
        console.print(f"Sending {counted(len(samples), 'sample event')} …")
        for sample in samples:
            try:
                run.sent |= dict.fromkeys(_send(environment, sample), sample)
            except (ClientError, _RefusedError) as error:
                raise CommandError(f"{sample.path} was refused: {error}.") from error
        print_row(console, _WIDTHS, "status", "reason", "request", "time (UTC)", "user")
        _wait_for_results(environment, run, console)
        emails = len(environment.partoo.emails())
    console.print(summary([result["status"] for result in run.results.values()], emails))
    for request_id, sample in run.missing.items():
        console.print(f"[red]No result for request {request_id} of {sample.path}.")
    console.print(_NEXT.strip().format(logs=logs.relative_to(REPOSITORY)), highlight=False)
    return 1 if run.missing else 0


def summary(statuses: list[str], emails: int) -> str:
    """Return the last line of `make run` and `make local`."""
    counts = ", ".join(f"{count} {status}" for status, count in sorted(Counter(statuses).items()))
    return f"{counted(len(statuses), 'request')}: {counts or 'none'}. E-mails at the API: {emails}."


def _send(environment: LocalEnvironment, sample: Sample) -> list[str]:
    """Send a sample; returns its request ids."""
    match sample.entrance:
        case Entrance.QUEUE:
            message = environment.aws.client("sqs").send_message(
                QueueUrl=environment.stack.request_queue_url, MessageBody=sample.text
            )
            return request_ids(sample.text, message["MessageId"])
        case Entrance.BUS:
            event = sample.document
            if not isinstance(event, dict) or not _EVENT_FIELDS.issubset(event):
                raise _RefusedError("it is not an EventBridge event")
            entry = {
                "EventBusName": environment.stack.event_bus_name,
                "Source": event["source"],
                "DetailType": event["detail-type"],
                "Detail": json.dumps(event["detail"]),
            }
            answer = environment.aws.client("events").put_events(Entries=[entry])
            if answer["FailedEntryCount"]:
                raise _RefusedError(answer["Entries"])
            # PutEvents assigns a new id to each event.
            given = {**event, "id": answer["Entries"][0]["EventId"]}
            return request_ids(json.dumps(given), given["id"])
        case Entrance.INVOKE:
            invocation = environment.aws.client("lambda").invoke(
                FunctionName=environment.stack.reinvite_function_name, Payload=sample.text
            )
            payload = json.load(invocation["Payload"])
            if "FunctionError" in invocation or "results" not in payload:
                raise _RefusedError(payload)
            return [result["request_id"] for result in payload["results"]]


def _wait_for_results(environment: LocalEnvironment, run: Run, console: Console) -> None:
    deadline = time.monotonic() + _RESULTS_SECONDS
    while run.missing and time.monotonic() < deadline:
        for message in environment.aws.receive(environment.stack.results_queue_url, 1):
            result = json.loads(message["Body"])
            # A result may be published more than once.
            if result["request_id"] not in run.results:
                moment = result["occurred_at"].removesuffix("Z").partition("T")[2]
                cells = (result[name] for name in ("status", "reason", "request_id"))
                print_row(console, _WIDTHS, *cells, moment, result["user_id"] or "")
            run.results[result["request_id"]] = result
