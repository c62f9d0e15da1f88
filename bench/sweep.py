"""Part 7: what a sweep of a whole organisation takes, and what it keeps in memory.

The built function in a process of its own, against the local AWS and the stand-in; the quota is
wide open and nobody carries its requests out, so that what is measured is the sweep.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.say import Say
from bench.stage import Stage
from local.partoo.organisation import organisation

SIZES = (1_000, 10_000)
_ROUNDS = 3
_SEED = 7


@dataclass(frozen=True)
class Sweep:
    """One sweep, in a new process."""

    users: int
    due: int
    pages: int
    wall: float
    cpu: float
    """Of the function's process, in seconds."""
    peak_megabytes: float
    calls: int
    """Of AWS; counted in a sweep of its own."""


@dataclass(frozen=True)
class Sweeps:
    rounds: Sequence[Sweep]

    def median(self, users: int, name: str) -> float:
        figures = [float(getattr(each, name)) for each in self.rounds if each.users == users]
        return statistics.median(figures)

    @property
    def memory_ratio(self) -> float:
        """Of the largest organisation, by the smallest."""
        smallest, *_, largest = (self.median(size, "peak_megabytes") for size in SIZES)
        return largest / smallest


def measure(stage: Stage, say: Say) -> Sweeps:
    rounds = []
    for size in SIZES:
        say(f"sweep: an organisation of {size:,}")
        stage.partoo.reset()
        stage.partoo.add_users(*organisation(size, _SEED, time.time()))
        calls = len(_sweep(stage, count=True)[1])
        for _ in range(_ROUNDS):
            sweep, _ = _sweep(stage, count=False)
            rounds.append(Sweep(size, *sweep, calls))
    return Sweeps(rounds)


def _sweep(
    stage: Stage, *, count: bool
) -> tuple[tuple[int, int, float, float, float], list[dict[str, object]]]:
    with stage.process("sweep") as handler:
        done = handler.invoke({}, count=count)
    summary = done.answer
    figures = (summary["due"], summary["pages"], done.wall, done.cpu, done.peak_kilobytes / 1000)
    return figures, done.calls
