"""Part 2: a warm batch of ten, beside the physical floor."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.process import Handler, Invocation, handler_process
from bench.say import Say
from bench.stage import Stage
from bench.start import expect_all_sent
from local.partoo.control import ANY_USER, Answer

BATCH_SIZE = 10
API_SECONDS = 0.2
"""How long the stand-in takes to answer."""

_ROUNDS = 15


@dataclass(frozen=True)
class Batches:
    """Seconds of each round; calls of AWS by service and operation, in one batch."""

    wall: Mapping[str, Sequence[float]]
    cpu: Mapping[str, Sequence[float]]
    floor: Sequence[float]
    """One e-mail's calls one after another, by a client that does nothing else."""
    floor_of_ten: Sequence[float]
    """Those of ten e-mails side by side by the same client: what the local AWS and the stand-in
    themselves take on this machine."""
    calls: Mapping[str, Mapping[str, int]]

    @property
    def wall_ratio(self) -> float:
        return statistics.median(self.wall["ours"]) / statistics.median(self.wall["naive"])

    @property
    def cpu_ratio(self) -> float:
        return statistics.median(self.cpu["ours"]) / statistics.median(self.cpu["naive"])

    @property
    def over_floor(self) -> float:
        return statistics.median(self.wall["ours"]) / statistics.median(self.floor)


def measure(stage: Stage, say: Say, rounds: int = _ROUNDS) -> Batches:
    """Give each handler a batch of fresh users once a round, one after another."""
    wall: dict[str, list[float]] = {"naive": [], "ours": []}
    cpu: dict[str, list[float]] = {"naive": [], "ours": []}
    floors: dict[str, list[float]] = {"one": [], "ten": []}
    with ExitStack() as processes:
        handlers = {name: processes.enter_context(stage.process(name)) for name in wall}
        floor = processes.enter_context(_floor_process(stage))
        # The first round warms up.
        for number in range(-1, rounds):
            say(f"batch: round {max(number, 0) + 1} of {rounds}")
            for name, handler in handlers.items():
                done = invite_batch(stage, name, handler)
                if number >= 0:
                    wall[name].append(done.wall)
                    cpu[name].append(done.cpu)
            users = stage.fresh_users(1 + BATCH_SIZE)
            _answer_slowly(stage, len(users))
            seconds = floor.invoke({"users": users}).answer
            if number >= 0:
                for kind, all_seconds in floors.items():
                    all_seconds.append(seconds[kind])
        counted = {
            name: _by_operation(invite_batch(stage, name, handler, count=True))
            for name, handler in handlers.items()
        }
    return Batches(wall, cpu, floors["one"], floors["ten"], counted)


def invite_batch(stage: Stage, name: str, handler: Handler, *, count: bool = False) -> Invocation:
    """Let a handler invite ten fresh users; raises RuntimeError unless all were."""
    users = stage.fresh_users(BATCH_SIZE)
    _answer_slowly(stage, BATCH_SIZE)
    done = handler.invoke(stage.event(name, users), count=count)
    expect_all_sent(done.answer)
    emails = {call.user_id for call in stage.partoo.emails()}
    if not emails.issuperset(users):
        raise RuntimeError(f"the {name} handler left users without an e-mail")
    return done


def _answer_slowly(stage: Stage, count: int) -> None:
    stage.partoo.script(ANY_USER, *[Answer(delay_seconds=API_SECONDS)] * count)


def _floor_process(stage: Stage):  # type: ignore[no-untyped-def]
    resources = stage.resources["floor"]
    key = stage.aws.client("secretsmanager").get_secret_value(SecretId=resources.secret_arn)
    environment = stage.aws.environment() | {
        "TABLE_NAME": resources.table_name,
        "RESULT_TOPIC_ARN": resources.topic_arn,
        "PARTOO_BASE_URL": stage.base_url,
        "API_KEY": key["SecretString"],
    }
    folder = Path(__file__).parent
    return handler_process((folder,), "floor.handler", environment, stage.logs / "floor.log")


def _by_operation(invocation: Invocation) -> dict[str, int]:
    counts = Counter(f"{call['service']} {call['operation']}" for call in invocation.calls)
    return dict(sorted(counts.items()))
