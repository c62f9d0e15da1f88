"""`make sweep`: sweep a made-up organisation with the whole stack on this machine."""

import time
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from local.environment import LocalEnvironment, empty_log_folder, local_environment
from local.errors import CommandError
from local.partoo.organisation import organisation
from local.run import summary

# Ten times the default, so that the command ends soon.
_REQUESTS_PER_MINUTE = 3_000
_SEED = 7
_MOST_USERS = 100_000


def main(size: str) -> int:
    """Run one sweep; returns 1 if a user who was due got no e-mail."""
    if not size.isdecimal() or not 0 < int(size) <= _MOST_USERS:
        raise CommandError(f"USERS is a whole number from 1 to {_MOST_USERS:,}, not {size!r}.")
    console = Console()
    users = organisation(int(size), _SEED, time.time())
    with local_environment(
        empty_log_folder("sweep"),
        users=users,
        window_seconds=300,
        say=console.print,
        requests_per_minute=_REQUESTS_PER_MINUTE,
    ) as environment:
        function, client = environment.stack.sweep_function_name, environment.aws.client("lambda")
        console.print(f"Previewing a sweep of {len(users):,} users …")
        preview = environment.invoke(function, '{"dry_run": true}')
        client.invoke(FunctionName=function, InvocationType="Event", Payload="{}")
        statuses, sweep = _follow(environment, console, preview["due"])
        after = environment.invoke(function, '{"dry_run": true}')
        emails = len(environment.partoo.emails())
    console.print(_table(preview, sweep, after))
    console.print(summary(statuses, emails))
    return 0 if emails == preview["due"] == sweep["queued"] else 1


def _follow(
    environment: LocalEnvironment, console: Console, due: int
) -> tuple[list[str], dict[str, Any]]:
    """Wait until all requests of the sweep have results; returns their statuses and the summary."""
    statuses: dict[str, str] = {}
    sweep: dict[str, Any] | None = None
    with Progress(console=console) as progress:
        results = progress.add_task("results", total=due)
        while sweep is None or len(statuses) < sweep["queued"]:
            for document in environment.published():
                if "sweep_id" in document:
                    sweep = document
                else:
                    statuses[document["request_id"]] = document["status"]
            progress.update(results, completed=len(statuses))
    return list(statuses.values()), sweep


def _table(*summaries: dict[str, Any]) -> Table:
    _, sweep, _ = summaries
    title = f"{sweep['status']}: {sweep['reason']}"
    table = Table("", "dry run before", "sweep", "dry run after", title=title)
    for name in ("found", "due", "queued", "pages", "seconds"):
        table.add_row(name, *(f"{each[name]:,}" for each in summaries))
    for group in ("skipped", "invitations"):
        for name in sorted({name for each in summaries for name in each[group]}):
            table.add_row(
                f"{group}: {name}", *(f"{each[group].get(name, 0):,}" for each in summaries)
            )
    return table
