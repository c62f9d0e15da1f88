"""What the figures are held against: printed as pass or miss, and never a test's business."""

from collections.abc import Iterable
from dataclasses import dataclass

from bench.batch import Batches
from bench.cost import Costs
from bench.drain import Backlog
from bench.limiters import LIMITERS
from bench.quota import Drained
from bench.start import Starts
from bench.sweep import Sweeps


@dataclass(frozen=True)
class Target:
    """A figure, and the most that it may be; or the least, when `at_least`."""

    text: str
    measured: float
    bound: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def __str__(self) -> str:
        verdict = "pass" if self.is_met else "MISS"
        relation = ">=" if self.at_least else "<="
        return f"{verdict}  {self.text}: {self.measured:.4g} (target {relation} {self.bound:g})"


def of_start(starts: Starts) -> Iterable[Target]:
    yield Target("start to first answer, of the naive one's", starts.ratio, 0.25)


def of_batch(batches: Batches) -> Iterable[Target]:
    yield Target("warm batch of ten, of the naive one's time", batches.wall_ratio, 0.115)
    yield Target("warm batch of ten, of the physical floor", batches.over_floor, 1.15)


def of_quota(drained: Iterable[Drained]) -> Iterable[Target]:
    for each in drained:
        if each.strategy == "ours":
            rate = f"rate before a {each.limiter}, of the limit"
            yield Target(rate, each.achieved, 0.97, at_least=True)
            yield Target(f"429s before a {each.limiter}", each.tally.refused, 0)


def of_drain(backlog: Backlog) -> Iterable[Target]:
    unfinished = backlog.requests - sum(backlog.results.values())
    yield Target("deployed backlog, requests without a result", unfinished, 0)
    yield Target("deployed backlog, seconds", backlog.seconds, 130)
    limit = backlog.requests_per_minute
    yield Target("deployed backlog, most calls in 60 s", backlog.most_in_a_minute, limit)


def of_cost(costs: Costs) -> Iterable[Target]:
    for limiter in LIMITERS:
        text = f"a million e-mails before a {limiter}, of the naive one's dollars"
        yield Target(text, costs.ratio(limiter), 0.5)


def of_sweep(sweeps: Sweeps) -> Iterable[Target]:
    text = "memory of a sweep of 10,000 users, of that of 1,000"
    yield Target(text, sweeps.memory_ratio, 1.2)
