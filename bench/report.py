"""`make bench`: measure the chosen parts, or all, and write the page to `.local/bench/`."""

from bench import cost, drain, quota, timings
from bench.stage import staged
from local.environment import empty_log_folder
from local.errors import CommandError
from local.rows import plain_console

PARTS = {
    "start": timings.measure_start,
    "batch": timings.measure_batch,
    "quota": quota.measure,
    "cost": cost.measure,
    "sweep": timings.measure_sweep,
    "drain": drain.measure,
}


def main(*parts: str) -> int:
    """Measure, print the page and return 0; raises CommandError for an unknown part."""
    for part in parts:
        if part not in PARTS:
            raise CommandError(f"PART is one of {', '.join(PARTS)}, not {part}.")
    say, folder = plain_console().print, empty_log_folder("bench")
    # In this order: the cost leaves a rate limiter behind that has no tokens.
    chosen = [part for part in PARTS if part in (parts or PARTS)]
    with staged(folder, say) as stage:
        page = "\n\n".join(str(PARTS[part](stage, say)) for part in chosen)
    (folder / "page.md").write_text(page + "\n")
    say(f"\n{page}\n\nThe page is in {folder}.")
    return 0
