"""Start and warm batch, in turns with the naive handler: both meet the same load of the machine."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from bench.page import Say, Section, Target
from bench.stage import Invocation, Stage
from local.partoo.control import ANY_USER, Answer

BATCH_SIZE = 10

_START_ROUNDS = 15
_BATCH_ROUNDS = 5
_BATCHES = 4
_API_SECONDS = 0.2

Taken = Mapping[str, list[Invocation]]


def measure_start(stage: Stage, say: Say) -> Section:
    """Measure the time from the start of a process to the answer to its first record."""
    taken: Taken = {"naive": [], "ours": []}
    # Round 0 brings the files into the page cache.
    for number in range(_START_ROUNDS + 1):
        say(f"start: round {number} of {_START_ROUNDS}")
        for name in taken:
            taken[name].extend(_invite(stage, name, [1])[: min(number, 1)])
    rows, ratio = _compare(
        taken, lambda each: each.seconds_since_start, lambda each: each.cpu_since_start
    )
    target = Target("start to first answer, of the naive handler's", ratio, 0.48, 0.232)
    return Section(f"Start to first answer ({_START_ROUNDS} rounds)", *rows, [target])


def measure_batch(stage: Stage, say: Say) -> Section:
    """Measure a batch of ten fresh users in a warm process; the API answers after 0.2 s."""
    taken: Taken = {"naive": [], "ours": []}
    for number in range(1, _BATCH_ROUNDS + 1):
        say(f"batch: round {number} of {_BATCH_ROUNDS}")
        for name in taken:
            taken[name].extend(_invite(stage, name, [BATCH_SIZE] * _BATCHES, _API_SECONDS)[1:])
    rows, ratio = _compare(taken, lambda each: each.wall, lambda each: each.cpu)
    target = Target("warm batch of ten, of the naive handler's", ratio, 0.16, 0.1146)
    return Section("A warm batch of ten, the API answers after 200 ms", *rows, [target])


def _compare(
    taken: Taken,
    wall: Callable[[Invocation], float],
    cpu: Callable[[Invocation], float],
) -> tuple[tuple[list[str], list[list[str]]], float]:
    """Return a table's head and rows, and our median by the naive handler's."""
    walls = {name: sorted(map(wall, each)) for name, each in taken.items()}
    cpus = {name: median(map(cpu, each)) for name, each in taken.items()}
    ratios = {name: median(each) / median(walls["naive"]) for name, each in walls.items()}
    figures = {
        name: {
            "median ms": f"{median(walls[name]) * 1000:.0f}",
            "fastest ms": f"{walls[name][0] * 1000:.0f}",
            "slowest ms": f"{walls[name][-1] * 1000:.0f}",
            "of naive": f"{ratios[name]:.3f}",
            "CPU ms": f"{cpus[name] * 1000:.0f}",
            "of naive's": f"{cpus[name] / cpus['naive']:.3f}",
        }
        for name in taken
    }
    rows = [[name, *each.values()] for name, each in figures.items()]
    return (["", *figures["ours"]], rows), ratios["ours"]


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
