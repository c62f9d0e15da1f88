"""`make chaos`: inject faults into the deployed stack and check its promises from outside."""

import json
from functools import partial
from pathlib import Path

from rich.console import Console

from local.chaos.judge import judge
from local.chaos.plan import Plan, draw_plan
from local.chaos.report import draw, table
from local.chaos.soak import Say, soak
from local.environment import empty_log_folder
from local.errors import CommandError
from local.stack import build


def main(seed: str, requests: str) -> int:
    """Run a soak; returns 1 if a promise is broken."""
    if not (seed.isdecimal() and requests.isdecimal() and int(requests)):
        raise CommandError(
            f"SEED and REQUESTS must be whole numbers, REQUESTS at least 1, not {seed}, {requests}."
        )
    console = Console(highlight=False, markup=False)
    folder = empty_log_folder("chaos")
    console.print("Building functions and layer …")
    template = build(folder.parent / "sam", logs=folder)
    plan = draw_plan(int(seed), int(requests))
    say = partial(console.print, soft_wrap=True)
    return 1 if carry_out(plan, folder, template=template, say=say) else 0


def carry_out(plan: Plan, folder: Path, *, template: Path, say: Say) -> list[str]:
    """Run a plan on a new stack; writes table, history and chart to `folder`.

    Returns the violations. Raises CommandError if the stack cannot be deployed.
    """
    say("Starting AWS and the fake Partoo server, deploying …")
    history = soak(plan, folder, template, say)
    violations = list(judge(history))
    text = table(history, [promise for promise, _ in violations])
    (folder / "table.md").write_text(text + "\n")
    (folder / "history.json").write_text(json.dumps(vars(history), default=vars, indent=1) + "\n")
    draw(history, folder / "history.png")
    say(f"\n{text}\n\nTable, history and chart are in {folder}.")
    sentences = [f"{promise}: {where}" for promise, where in violations]
    for sentence in sentences:
        say(f"Violation: {sentence}.")
    return sentences
