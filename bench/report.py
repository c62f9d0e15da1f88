"""`make bench`: measure the chosen parts, or all, and write the page to `.local/bench/`."""

from collections.abc import Callable, Mapping

from bench import cost, drain, quota, timings
from bench.page import Say, Section
from bench.stage import Stage, staged
from local.environment import empty_log_folder
from local.errors import CommandError
from local.rows import plain_console

STAGED: Mapping[str, Callable[[Stage, Say], Section]] = {
    "start": timings.measure_start,
    "batch": timings.measure_batch,
    "cost": cost.measure,
    "sweep": timings.measure_sweep,
}
ALONE: Mapping[str, Callable[[Say], Section]] = {"quota": quota.measure, "drain": drain.measure}


def main(*parts: str) -> int:
    """Return 0, whether targets are met or not; raises CommandError."""
    chosen = parts or (*STAGED, *ALONE)
    for part in chosen:
        if part not in {*STAGED, *ALONE}:
            raise CommandError(f"PART is one of {', '.join([*STAGED, *ALONE])}, not {part}.")
    say, folder = plain_console().print, empty_log_folder("bench")
    sections = []
    if on_stage := [part for part in chosen if part in STAGED]:
        with staged(folder, say) as stage:
            sections += [STAGED[part](stage, say) for part in on_stage]
    sections += [ALONE[part](say) for part in chosen if part in ALONE]
    page = "\n\n".join(map(str, sections))
    (folder / "page.md").write_text(page + "\n")
    say(f"\n{page}\n\nThe page is in {folder}.")
    return 0
