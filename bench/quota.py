"""A backlog before the vendor's quota, on a simulated clock, by three strategies."""

from dataclasses import dataclass, replace

from bench.page import Say, Section
from bench.stage import Stage
from tests.simulation.backlog import Tally, World
from tests.simulation.limiters import LIMITERS, MINUTE_SECONDS, NO_LIMIT, NoLimit
from tests.simulation.strategies import STRATEGIES

REQUESTS = 2_000
REQUESTS_PER_MINUTE = 300

_MOST_REQUESTS_PER_MINUTE = 10_000


@dataclass(frozen=True)
class Drained:
    """How a backlog fared under one limiter by one strategy."""

    strategy: str
    limiter: str
    requests_per_minute: int
    tally: Tally

    @property
    def emails(self) -> int:
        return len(self.tally.emails_at)

    @property
    def seconds(self) -> float:
        """From the first e-mail to the last."""
        return self.tally.emails_at[-1] - self.tally.emails_at[0]

    @property
    def achieved(self) -> float:
        """The rate of e-mails, as a share of the limit."""
        return self.emails * MINUTE_SECONDS / self.seconds / self.requests_per_minute


def drain(
    strategy: str,
    limiter: str,
    *,
    requests: int = REQUESTS,
    requests_per_minute: int = REQUESTS_PER_MINUTE,
    late: float = 0.0,
    scatter: float = 0.5,
) -> Drained:
    """Simulate a backlog that is there at once, until each request is sent or given up.

    Deferred copies come back `late` to `late + scatter` seconds late. Without a limit, our rate
    limiter has the highest quota that the configuration allows.
    """
    if limiter == NO_LIMIT:
        requests_per_minute = _MOST_REQUESTS_PER_MINUTE
    world = World(
        STRATEGIES[strategy](requests_per_minute),
        NoLimit() if limiter == NO_LIMIT else LIMITERS[limiter](requests_per_minute),
        late=late,
        scatter=scatter,
    )
    world.ask(requests)
    world.clock.run()
    return Drained(strategy, limiter, requests_per_minute, world.tally)


def measure(_: Stage, say: Say) -> Section:
    """Simulate each strategy before each limiter, and ours with copies that come back late."""
    say("quota: simulating")
    drained = [drain(strategy, limiter) for limiter in LIMITERS for strategy in STRATEGIES]
    late = drain("ours", "sliding window", late=2.0, scatter=3.0)
    drained.append(replace(late, strategy="ours, copies come back 2 to 5 s late"))
    rows = []
    for each in drained:
        tally = each.tally
        counts = (each.emails, tally.refused, tally.dead, tally.deferred)
        figures = [f"{each.achieved:.3f}", *map(str, counts)]
        rows.append([each.strategy, each.limiter, *figures])
    return Section(
        f"{REQUESTS:,} requests at {REQUESTS_PER_MINUTE} a minute, simulated",
        ["", "limiter", "of the quota", "sent", "429s", "DLQ", "deferred"],
        rows,
    )
