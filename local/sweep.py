"""`make sweep`: sweep a made-up organisation with the whole stack on this machine."""

import json
import math
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from local.environment import LocalEnvironment, empty_log_folder, local_environment
from local.errors import CommandError
from local.partoo.organisation import organisation

_WINDOW_SECONDS = 300
# Ten times the default, so that the command ends soon.
_REQUESTS_PER_MINUTE = 3_000
_SEED = 7
_MOST_USERS = 100_000
_LOOK_SECONDS = 0.5
_BAR_WIDTH = 24


def main(size: str) -> int:
    """Run one sweep; returns 1 if a user who was due got no e-mail."""
    if not size.isdecimal() or not 0 < int(size) <= _MOST_USERS:
        raise CommandError(f"USERS is a whole number from 1 to {_MOST_USERS:,}, not {size!r}.")
    console = Console()
    users = organisation(int(size), _SEED, time.time())
    console.print("Starting AWS and the fake Partoo server …")
    with local_environment(
        empty_log_folder("sweep"),
        users=users,
        window_seconds=_WINDOW_SECONDS,
        say=console.print,
        requests_per_minute=_REQUESTS_PER_MINUTE,
    ) as environment:
        console.print(f"Previewing a sweep of {len(users):,} users …")
        preview = _invoke(environment, {"dry_run": True})
        _invoke(environment, {}, wait=False)
        due = preview["due"]
        with Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        ) as progress:
            results, summary = _follow(environment, progress, due)
        after = _invoke(environment, {"dry_run": True})
    statuses = Counter(result["status"] for result in results.values())
    console.print(_table(preview, summary))
    console.print(invitations_chart(summary["invitations"], after["invitations"]))
    counts = ", ".join(f"{count:,} {status}" for status, count in sorted(statuses.items()))
    console.print(f"Requests of the sweep: {counts or 'none'}.")
    return 0 if statuses["sent"] == due == summary["queued"] else 1


def _invoke(environment: LocalEnvironment, event: dict[str, Any], *, wait: bool = True) -> Any:
    answer = environment.aws.client("lambda").invoke(
        FunctionName=environment.stack.sweep_function_name,
        InvocationType="RequestResponse" if wait else "Event",
        Payload=json.dumps(event),
    )
    payload = answer["Payload"].read()
    if "FunctionError" in answer:
        raise CommandError(f"The sweep function returned an error: {json.loads(payload)}")
    return json.loads(payload) if wait else None


def _follow(
    environment: LocalEnvironment, progress: Progress, due: int
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Wait until all requests of the sweep have results; returns the results and the summary."""
    bars = {name: progress.add_task(name, total=due) for name in ("e-mails", "results")}
    results: dict[str, dict[str, Any]] = {}
    summary: dict[str, Any] | None = None
    while summary is None or len(results) < summary["queued"]:
        time.sleep(_LOOK_SECONDS)
        while messages := environment.aws.receive(environment.stack.results_queue_url):
            for document in (json.loads(message["Body"]) for message in messages):
                if "sweep_id" in document:
                    summary = document
                else:
                    results[document["request_id"]] = document
        progress.update(bars["e-mails"], completed=len(environment.partoo.emails()))
        progress.update(bars["results"], completed=len(results))
    return results, summary


def _table(preview: dict[str, Any], summary: dict[str, Any]) -> Table:
    table = Table("", "dry run", "sweep", title=f"{summary['status']}: {summary['reason']}")
    for name in ("found", "due", "queued", "pages", "seconds"):
        table.add_row(name, f"{preview[name]:,}", f"{summary[name]:,}")
    for reason in sorted({*preview["skipped"], *summary["skipped"]}):
        counts = (f"{each['skipped'].get(reason, 0):,}" for each in (preview, summary))
        table.add_row(f"skipped: {reason}", *counts)
    return table


def invitations_chart(before: Mapping[str, int], after: Mapping[str, int]) -> Table:
    """Draw how many users had been invited 0, 1, 2, … times, before the sweep and after it."""
    table = Table("invitations", "users before", "users after", title="Invitations of those found")
    for times in sorted({*before, *after}, key=int):
        bars = (_bar(users.get(times, 0), sum(users.values())) for users in (before, after))
        table.add_row(times, *bars)
    return table


def _bar(users: int, total: int) -> str:
    bar = "█" * math.ceil(_BAR_WIDTH * users / total) if users else ""
    return f"{bar} {users:,}".strip()
