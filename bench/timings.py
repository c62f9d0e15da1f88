"""Start and warm batch, in turns with the naive handler: both meet the same load. And a sweep."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from bench.page import Say, Section, Target
from bench.stage import Invocation, Stage
from local.partoo.control import ANY_USER, Answer
from local.partoo.organisation import organisation

BATCH_SIZE = 10

_START_ROUNDS = 15
_BATCH_ROUNDS = 5
_BATCHES = 4
_API_SECONDS = 0.2
_SIZES = (1_000, 10_000)
_SWEEP_ROUNDS = 3
_SEED = 7

Taken = Mapping[str, list[Invocation]]


def measure_start(stage: Stage, say: Say) -> Section:
    """Measure the time from the start of a process to the answer to its first record."""
    taken: Taken = {"naive": [], "ours": []}
    # Round 0 brings the files into the page cache.
    for number in range(_START_ROUNDS + 1):
        say(f"start: round {number} of {_START_ROUNDS}")
        for name in taken:
            taken[name].extend(_invite(stage, name, [1])[: min(number, 1)])
    return _compared(
        f"Start to first answer ({_START_ROUNDS} rounds)",
        taken,
        lambda each: each.seconds_since_start,
        lambda each: each.cpu_since_start,
        0.48,
    )


def measure_batch(stage: Stage, say: Say) -> Section:
    """Measure a batch of ten fresh users in a warm process; the API answers after 0.2 s."""
    taken: Taken = {"naive": [], "ours": []}
    for number in range(1, _BATCH_ROUNDS + 1):
        say(f"batch: round {number} of {_BATCH_ROUNDS}")
        for name in taken:
            taken[name].extend(_invite(stage, name, [BATCH_SIZE] * _BATCHES, _API_SECONDS)[1:])
    title = "A warm batch of ten, the API answers after 200 ms"
    return _compared(title, taken, lambda each: each.wall, lambda each: each.cpu, 0.16)


def measure_sweep(stage: Stage, say: Say) -> Section:
    """Measure the time and the memory of a sweep of a whole organisation.

    The built function runs in a process of its own each time; the quota is wide open, and nothing
    consumes its requests.
    """
    rows, peaks = [], []
    for size in _SIZES:
        say(f"sweep: an organisation of {size:,}")
        stage.partoo.reset()
        stage.partoo.add_users(*organisation(size, _SEED, time.time()))
        calls = len(stage.run("sweep", [{}], count=True)[0].calls)
        rounds = [stage.run("sweep", [{}])[0] for _ in range(_SWEEP_ROUNDS)]
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


def _compared(
    title: str,
    taken: Taken,
    wall: Callable[[Invocation], float],
    cpu: Callable[[Invocation], float],
    bound: float,
) -> Section:
    """Return the medians, and ours by the naive handler's."""
    walls = {name: median(map(wall, each)) for name, each in taken.items()}
    cpus = {name: median(map(cpu, each)) for name, each in taken.items()}
    rows = [
        [
            name,
            f"{walls[name] * 1000:.0f}",
            f"{walls[name] / walls['naive']:.3f}",
            f"{cpus[name] * 1000:.0f}",
            f"{cpus[name] / cpus['naive']:.3f}",
        ]
        for name in taken
    ]
    target = Target("median, of the naive handler's", walls["ours"] / walls["naive"], bound)
    return Section(title, ["", "median ms", "of naive", "CPU ms", "of naive's"], rows, [target])


def _invite(
    stage: Stage, name: str, sizes: Sequence[int], api_seconds: float = 0.0
) -> list[Invocation]:
    """Let a new process invite batches of fresh users. Raises RuntimeError unless it does."""
    users = [stage.fresh_users(size) for size in sizes]
    stage.partoo.script(ANY_USER, *[Answer(delay_seconds=api_seconds)] * sum(sizes))
    done = stage.run(name, [stage.event(name, each) for each in users])
    emails = {call.user_id for call in stage.partoo.emails()}
    if not all(emails.issuperset(each) for each in users):
        raise RuntimeError(f"the {name} handler left users without an e-mail")
    return done
