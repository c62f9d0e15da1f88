"""`make chaos`: inject faults into the deployed stack and check its promises from outside."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console

from local.chaos.chart import draw
from local.chaos.judge import Violation, judge
from local.chaos.plan import Plan, draw_plan
from local.chaos.soak import Say, deployed_soak
from local.chaos.table import table
from local.environment import empty_log_folder
from local.errors import CommandError
from local.stack import build


class NotANumberError(CommandError):
    """SEED or REQUESTS is not a number."""

    def __init__(self, seed: str, requests: str) -> None:
        super().__init__(
            f"SEED and REQUESTS must be whole numbers, REQUESTS at least 1, not {seed}, {requests}."
        )


def main(seed: str, requests: str) -> int:
    """Run a soak; returns 1 if a promise is broken."""
    if not (seed.isdecimal() and requests.isdecimal() and int(requests)):
        raise NotANumberError(seed, requests)
    console = Console(highlight=False, markup=False)
    folder = empty_log_folder("chaos")
    console.print("Building functions and layer …")
    template = build(folder.parent / "sam", logs=folder)
    plan = draw_plan(int(seed), int(requests))
    violations = soak(plan, folder, template=template, say=partial(console.print, soft_wrap=True))
    return 1 if violations else 0


def soak(plan: Plan, folder: Path, *, template: Path, say: Say) -> list[Violation]:
    """Run a plan on a new stack; writes table, history and chart to `folder`.

    Raises CommandError if the stack cannot be deployed.
    """
    say("Starting AWS and the fake Partoo server, deploying …")
    with deployed_soak(plan, folder, template) as running:
        history = running.run(say)
    violations = judge(history)
    text = table(history, violations)
    (folder / "table.md").write_text(text + "\n")
    (folder / "history.json").write_text(json.dumps(asdict(history), indent=1) + "\n")
    draw(history, folder / "history.png")
    say(f"\n{text}\n\nTable, history and chart are in {folder}.")
    for violation in violations:
        say(f"Violation: {violation.promise}: {violation.text}.")
    return violations
