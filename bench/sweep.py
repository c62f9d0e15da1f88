"""A sweep of a whole organisation: its time, and the memory of its process.

The built function in a process of its own; the quota is wide open, and nothing consumes its
requests.
"""

import time
from statistics import median

from bench.page import Say, Section, Target
from bench.stage import Stage
from local.partoo.organisation import organisation

SIZES = (1_000, 10_000)
_ROUNDS = 3
_SEED = 7


def measure(stage: Stage, say: Say) -> Section:
    """Sweep an organisation of each size, each time in a new process."""
    rows, peaks = [], []
    for size in SIZES:
        say(f"sweep: an organisation of {size:,}")
        stage.partoo.reset()
        stage.partoo.add_users(*organisation(size, _SEED, time.time()))
        calls = len(stage.run("sweep", [{}], count=True)[0].calls)
        rounds = [stage.run("sweep", [{}])[0] for _ in range(_ROUNDS)]
        peaks.append(median(each.peak_kilobytes for each in rounds) / 1000)
        wall, cpu = median(each.wall for each in rounds), median(each.cpu for each in rounds)
        counts = [size, rounds[0].answer["due"], rounds[0].answer["pages"], calls]
        seconds = [f"{wall:.1f}", f"{cpu:.1f}", f"{peaks[-1]:.1f}"]
        rows.append([*(f"{each:,}" for each in counts), *seconds])
    text = "memory of a sweep of 10,000 users, of that of 1,000"
    return Section(
        "A sweep, nobody else at the quota",
        ["users", "due", "searches", "calls of AWS", "seconds", "CPU seconds", "peak MB"],
        rows,
        [Target(text, peaks[-1] / peaks[0], 1.2)],
    )
