"""Part 1: how long a fresh process takes to its first answer."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.process import handler_process
from bench.say import Say
from bench.stage import Stage

_ROUNDS = 15
_KINDS = ("naive", "ours", "bare")


@dataclass(frozen=True)
class Starts:
    """Seconds from the spawn of a process to the answer to its first record, round by round.

    `bare` is the same process without a handler: what the interpreter and the driver take.
    """

    naive: Sequence[float]
    ours: Sequence[float]
    bare: Sequence[float]
    megabytes: dict[str, float]
    bytecode_files: dict[str, int]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.naive)


def measure(stage: Stage, say: Say, rounds: int = _ROUNDS) -> Starts:
    """Start each handler once a round, one after another, so that both see the same machine."""
    seconds: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    # The first of each only brings the files into the page cache.
    for number in range(-1, rounds):
        say(f"start: round {max(number, 0) + 1} of {rounds}")
        for kind in _KINDS:
            taken = _start(stage, kind)
            if number >= 0:
                seconds[kind].append(taken)
    artifacts = (stage.builds.naive, stage.builds.ours)
    return Starts(
        **seconds,
        megabytes={each.name: each.megabytes for each in artifacts},
        bytecode_files={each.name: each.bytecode_files for each in artifacts},
    )


def _start(stage: Stage, kind: str) -> float:
    if kind == "bare":
        log = stage.logs / "bare.log"
        with handler_process((), "", stage.environment("naive"), log) as handler:
            handler.invoke({})
            return handler.seconds_since_start()
    event = stage.event(kind, stage.fresh_users(1))
    with stage.process(kind) as handler:
        invocation = handler.invoke(event)
        taken = handler.seconds_since_start()
    expect_all_sent(invocation.answer)
    return taken


def expect_all_sent(answer: dict[str, object]) -> None:
    """Raises RuntimeError when a record of the batch failed: its time would say nothing."""
    if answer != {"batchItemFailures": []}:
        raise RuntimeError(f"the handler answered {answer}")
