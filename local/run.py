"""`make run`: send the sample events through the whole stack and wait for their results."""

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from botocore.exceptions import ClientError
from rich.console import Console

from local.aws import REPOSITORY
from local.environment import LocalEnvironment, empty_log_folder, local_environment
from local.errors import CommandError
from local.partoo.control import User
from local.rows import counted, print_row
from local.samples import Sample, known_users, read_samples, users_by_request

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


def main(only: str) -> int:
    """Send one sample or all (""); returns 1 if a request gets no result."""
    console = Console()
    samples, logs = read_samples(Path(only) if only else None), empty_log_folder("run")
    with local_environment(
        logs,
        users=map(User, known_users(samples)),
        window_seconds=_WINDOW_SECONDS,
        say=console.print,
    ) as environment:
        console.print(f"Sending {counted(len(samples), 'sample event')} …")
        sent = {name: sample for sample in samples for name in _send(environment, sample)}
        print_row(console, _WIDTHS, "status", "reason", "request", "time (UTC)", "user")
        statuses = {}
        for result in environment.results(len(sent), _RESULTS_SECONDS):
            statuses[result["request_id"]] = result["status"]
            moment = result["occurred_at"].removesuffix("Z").partition("T")[2]
            cells = (result[name] for name in ("status", "reason", "request_id"))
            print_row(console, _WIDTHS, *cells, moment, result["user_id"] or "")
        emails = len(environment.partoo.emails())
    console.print(summary(statuses.values(), emails))
    missing = sent.keys() - statuses.keys()
    for request_id in missing:
        console.print(f"[red]No result for request {request_id} of {sent[request_id].path}.")
    console.print(_NEXT.strip().format(logs=logs.relative_to(REPOSITORY)), highlight=False)
    return 1 if missing else 0


def summary(statuses: Collection[str], emails: int) -> str:
    """Return the last line of `make run` and `make sweep`."""
    counts = ", ".join(f"{count} {status}" for status, count in sorted(Counter(statuses).items()))
    return f"{counted(len(statuses), 'request')}: {counts or 'none'}. E-mails at the API: {emails}."


def _send(environment: LocalEnvironment, sample: Sample) -> Collection[str]:
    """Send a sample; returns its request ids, raises CommandError if it is refused."""
    try:
        return _enter(environment, sample)
    except (ClientError, CommandError) as error:
        raise CommandError(f"{sample.path} was refused: {error}") from error


def _enter(environment: LocalEnvironment, sample: Sample) -> Collection[str]:
    match sample.entrance:
        case "queue":
            return users_by_request(sample.text, environment.send(sample.text))
        case "bus":
            event = json.loads(sample.text)
            if not isinstance(event, dict) or not _EVENT_FIELDS.issubset(event):
                raise CommandError("it is not an EventBridge event.")
            fields = (event["source"], event["detail-type"], json.dumps(event["detail"]))
            # PutEvents assigns a new id to each event.
            event["id"] = environment.put_event(*fields)
            return users_by_request(json.dumps(event))
    answer = environment.invoke(environment.stack.reinvite_function_name, sample.text)
    if "results" not in answer:
        raise CommandError(f"the answer is {answer}.")
    return [result["request_id"] for result in answer["results"]]
