"""`python -m bench [PART …]`: one page of figures beside the naive handler's.

The parts are start, batch, quota, drain, cost and sweep; without any, all run. The page goes to
`.local/bench/`.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property

from bench import cost, drain, quota, timings
from bench.page import Section
from bench.stage import Builds, Stage, build_all, staged
from local.aws import REPOSITORY
from local.errors import CommandError
from local.processes import treat_ends_as_interrupt

_WORKSPACE = REPOSITORY / ".local/bench"


class Bench:
    """Makes what the parts share once, when the first of them needs it."""

    def __init__(self, open_until_done: ExitStack) -> None:
        self._open = open_until_done
        self._began = time.monotonic()
        self.logs = _WORKSPACE / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:5.0f} s  {text}", flush=True)

    @cached_property
    def builds(self) -> Builds:
        self.say("building both handlers")
        return build_all(_WORKSPACE, self.logs)

    @cached_property
    def stage(self) -> Stage:
        builds = self.builds
        self.say("starting the local AWS and the fake Partoo server")
        return self._open.enter_context(staged(builds, self.logs))


PARTS: Mapping[str, Callable[[Bench], Section]] = {
    "start": lambda bench: timings.measure_start(bench.stage, bench.say),
    "batch": lambda bench: timings.measure_batch(bench.stage, bench.say),
    "quota": lambda bench: quota.measure(bench.say),
    "drain": lambda bench: drain.measure(bench.builds.template, bench.logs, bench.say),
    "cost": lambda bench: cost.measure(bench.stage, bench.say),
    "sweep": lambda bench: timings.measure_sweep(bench.stage, bench.say),
}


def main(chosen: Sequence[str]) -> int:
    """Measure the chosen parts, or all, whether targets are met or not. Raises CommandError."""
    for part in chosen:
        if part not in PARTS:
            raise CommandError(f"PART is one of {', '.join(PARTS)}, not {part}.")
    with ExitStack() as open_until_done:
        bench = Bench(open_until_done)
        page = "\n\n".join(str(PARTS[part](bench)) for part in chosen or PARTS)
    (_WORKSPACE / "page.md").write_text(page + "\n")
    print(f"\n{page}\n\nThe page is in {_WORKSPACE}.")
    return 0


if __name__ == "__main__":
    treat_ends_as_interrupt()
    try:
        sys.exit(main(sys.argv[1:]))
    except CommandError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
