"""`make chaos`: a seeded soak of the deployed stack, judged from the outside."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console

from local.chaos.judge import Violation, judge
from local.chaos.picture import draw
from local.chaos.plan import Plan, draw_plan
from local.chaos.stage import Say, staged
from local.chaos.table import table
from local.environment import empty_log_folder
from local.errors import LocalStackError
from local.stack import build


class NotANumberError(LocalStackError):
    """SEED or REQUESTS is no whole number."""

    def __init__(self, seed: str, requests: str) -> None:
        super().__init__(
            f"SEED is a whole number and REQUESTS a positive one, not {seed} and {requests}."
        )


def main(seed: str, requests: str) -> int:
    """Run a soak; returns 1 when a promise was broken."""
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
    """Run a plan on a stack of its own; table, history and picture go to `folder`.

    Raises LocalStackError when a part does not come up.
    """
    say("Starting AWS and the stand-in for the API, deploying …")
    with staged(plan, folder, template) as stage:
        history = stage.play(say)
    violations = judge(history)
    text = table(history, violations)
    (folder / "table.md").write_text(text + "\n")
    (folder / "history.json").write_text(json.dumps(asdict(history), indent=1) + "\n")
    draw(history, folder / "history.png")
    say(f"\n{text}\n\nTable, history and picture are in {folder}.")
    for violation in violations:
        say(f"Broken: {violation.promise}: {violation.text}.")
    return violations
