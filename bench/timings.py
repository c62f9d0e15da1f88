"""Start and warm batch, in turns with the naive handler: both meet the same load. And a sweep."""

import time
from collections.abc import Sequence
from statistics import median

from bench.page import Say, Section
from bench.stage import Invocation, Stage
from local.partoo.control import ANY_USER, Answer
from local.partoo.organisation import organisation

_START_ROUNDS = 15
_BATCH_ROUNDS = 5
_BATCHES = 4
_SIZES = (1_000, 10_000)
_SWEEP_ROUNDS = 3
_SEED = 7


def measure_start(stage: Stage, say: Say) -> Section:
    """Measure the time from the start of a process to the answer to its first record."""
    title = f"Start to first answer ({_START_ROUNDS} rounds)"
    fields = ("seconds_since_start", "cpu_since_start")
    return _compared(stage, say, title, _START_ROUNDS, sizes=[1], fields=fields)


def measure_batch(stage: Stage, say: Say) -> Section:
    """Measure a batch of ten fresh users in a warm process; the API answers after 0.2 s."""
    title, answer = "A warm batch of ten, the API answers after 200 ms", Answer(delay_seconds=0.2)
    sizes, fields = [10] * _BATCHES, ("wall", "cpu")
    return _compared(stage, say, title, _BATCH_ROUNDS, sizes, fields, answer)


def measure_sweep(stage: Stage, say: Say) -> Section:
    """Measure the time and the memory of a sweep of a whole organisation.

    The built function runs in a process of its own each time; the quota is wide open, and nothing
    consumes its requests.
    """
    rows = []
    for size in _SIZES:
        say(f"sweep: an organisation of {size:,}")
        stage.partoo.reset()
        stage.partoo.add_users(*organisation(size, _SEED, time.time()))
        calls = len(stage.run("sweep", [{}], count=True)[0].calls)
        rounds = [stage.run("sweep", [{}])[0] for _ in range(_SWEEP_ROUNDS)]
        counts = [size, rounds[0].answer["due"], rounds[0].answer["pages"], calls]
        medians = (
            median(each.wall for each in rounds),
            median(each.cpu for each in rounds),
            median(each.peak_kilobytes for each in rounds) / 1000,
        )
        rows.append([*(f"{each:,}" for each in counts), *(f"{each:.1f}" for each in medians)])
    head = ["users", "due", "searches", "calls of AWS", "seconds", "CPU seconds", "peak MB"]
    return Section("A sweep, nobody else at the quota", head, rows)


def _compared(
    stage: Stage,
    say: Say,
    title: str,
    rounds: int,
    sizes: Sequence[int],
    fields: tuple[str, str],
    answer: Answer = Answer(),  # noqa: B008  # a value
) -> Section:
    """Let new processes of both handlers invite batches of fresh users.

    Returns the medians of two of the invocations' fields, time and CPU time, and ours by the naive
    handler's. Of several batches, the first starts the process and does not count.
    """
    taken: dict[str, list[Invocation]] = {"naive": [], "ours": []}
    for number in range(1, rounds + 1):
        say(f"{title}: round {number} of {rounds}")
        for name, invocations in taken.items():
            users = [stage.fresh_users(size) for size in sizes]
            stage.partoo.script(ANY_USER, *[answer] * sum(sizes))
            ran = stage.run(name, [stage.event(name, each) for each in users])
            invocations.extend(ran[1:] or ran)
            emails = {call.user_id for call in stage.partoo.emails()}
            if not all(emails.issuperset(each) for each in users):
                raise RuntimeError(f"the {name} handler left users without an e-mail")
    medians = {
        name: [median(getattr(each, field) for each in those) for field in fields]
        for name, those in taken.items()
    }
    rows = []
    for name, figures in medians.items():
        row = [name]
        for own, naive in zip(figures, medians["naive"], strict=True):
            row += [f"{own * 1000:.0f}", f"{own / naive:.3f}"]
        rows.append(row)
    return Section(title, ["", "median ms", "of naive", "CPU ms", "of naive's"], rows)
