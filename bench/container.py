"""`python -m bench.container REQUESTS PATH`: a container's whole life on a simulated clock.

The real service over ports that remember nothing, so that what memory grows by is the service's
own. Writes what it took to PATH, as JSON.
"""

import json
import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jmespath

from invitations.caller import Caller
from invitations.errors import QueueUnavailableError, TopicUnavailableError
from invitations.gate import BATCH_SIZE, Gate, Pace
from invitations.ledger import Change, Ledger, Standing, Subject
from invitations.models import Answered, Copy, Delivery, Progress, Result, Source
from invitations.ports import T
from invitations.service import Policy, ReinviteService

_START = 1_800_000_000.0
_EXECUTION_SECONDS = 60.0
# Wide open: a request that is deferred would be the queue's memory, not the service's.
_REQUESTS_PER_MINUTE = 10_000
_BATCH_SECONDS = 1.0


class _World:
    """Every port in one; all calls succeed at once, and nothing is kept."""

    def __init__(self) -> None:
        self.now = _START
        self.last_known = Gate()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def read(self) -> Gate:
        return self.last_known

    def change(self, event: Callable[[Gate], tuple[Gate, T]]) -> T:
        self.last_known, answer = event(self.last_known)
        return answer

    def read_records(self, subjects: Sequence[Subject]) -> list[Standing]:
        return [Standing(subject) for subject in subjects]

    def write_record(self, seen: Standing, change: Change) -> Standing:
        return seen._replace(version=seen.version + 1, user=change.user or seen.user)

    def invite(self, user_id: str, api_key: str) -> Answered:
        return Answered(200, self.now)

    def current(self) -> str:
        return "key"

    def refreshed(self, since: float) -> str:
        return "key"

    def publish(self, results: Sequence[Result]) -> list[TopicUnavailableError | None]:
        return [None] * len(results)

    def defer(self, copies: Sequence[Copy]) -> list[QueueUnavailableError | None]:
        return [None] * len(copies)

    def park(self, body: str, progress: Progress | None, result: Result) -> None:
        pass


@dataclass(frozen=True)
class _Table:
    read: Callable[[Sequence[Subject]], list[Standing]]
    write: Callable[[Standing, Change], Standing]


def main(requests: int, path: Path) -> None:
    world = _World()
    service = ReinviteService(
        ledger=Ledger(_Table(world.read_records, world.write_record), world.sleep),
        caller=Caller(
            gate=world,
            keys=world,
            clock=world.clock,
            sleep=world.sleep,
            pace=Pace.within(_REQUESTS_PER_MINUTE),
            call_budget_seconds=22,
        ),
        api=world,
        topic=world,
        queue=world,
        clock=world.clock,
        new_id=lambda: "claim",
        dice=random.Random(0),  # noqa: S311  # guards nothing
        policy=Policy(
            invite_window_seconds=300,
            max_attempts=8,
            user_id_path=jmespath.compile("detail.user_id"),
        ),
    )
    began = time.process_time()
    _carry_out(service, world, requests)
    cpu_seconds = time.process_time() - began
    # Once more for the memory: noting each allocation takes time.
    tracemalloc.start()
    _carry_out(service, world, requests)
    kept, peak = tracemalloc.get_traced_memory()
    report = {"cpu_seconds": cpu_seconds, "kept_bytes": kept, "peak_bytes": peak}
    path.write_text(json.dumps(report))


def _carry_out(service: ReinviteService, world: _World, requests: int) -> None:
    for first in range(0, requests, BATCH_SIZE):
        batch = [_delivery(number) for number in range(first, min(first + BATCH_SIZE, requests))]
        service.reinvite(batch, world.now + _EXECUTION_SECONDS, _one_by_one)
        world.now += _BATCH_SECONDS


def _delivery(number: int) -> Delivery:
    body = json.dumps({"user_id": f"{number:024x}", "request_id": f"request-{number}"})
    return Delivery(f"message-{number}", body, Source.SQS, _START)


def _one_by_one(work: Callable[[int], T], items: Iterable[int]) -> list[T]:
    return [work(item) for item in items]


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
