"""A backlog leaves at the vendor's rate and meets no 429, whatever limiter the vendor has."""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable

import pytest

from invitations.gate import BATCH_SIZE, Gate, Pace

REQUESTS = 2_000
REQUESTS_PER_MINUTE = 300
MINUTE = 60.0
# The template's.
EXECUTIONS_AT_ONCE = 5
BATCHING_WINDOW_SECONDS = 1.0
SCATTER_SECONDS = 0.5
_SEEDS = range(5)

Limiter = Callable[[float], bool]
"""Whether a call that arrives at a moment is allowed."""


def fixed_window() -> Limiter:
    counts: dict[int, int] = {}

    def allows(now: float) -> bool:
        minute = int(now // MINUTE)
        counts[minute] = counts.get(minute, 0) + 1
        return counts[minute] <= REQUESTS_PER_MINUTE

    return allows


def sliding_window() -> Limiter:
    recent = deque[float]()

    def allows(now: float) -> bool:
        while recent and recent[0] <= now - MINUTE:
            recent.popleft()
        recent.append(now)
        return len(recent) <= REQUESTS_PER_MINUTE

    return allows


def bucket_of(size: int) -> Limiter:
    level, filled_at = float(size), 0.0

    def allows(now: float) -> bool:
        nonlocal level, filled_at
        level = min(size, level + (now - filled_at) * REQUESTS_PER_MINUTE / MINUTE)
        filled_at = now
        level -= 1
        return level >= 0

    return allows


def arrivals_of_a_backlog(seed: int) -> list[float]:
    """When the calls of a backlog reach the API, by the gate and a queue that is not exact."""
    chance = random.Random(seed)
    pace, gate = Pace.within(REQUESTS_PER_MINUTE), Gate()
    visible_at = [0.0] * REQUESTS
    free_at = [0.0] * EXECUTIONS_AT_ONCE
    arrivals: list[float] = []
    while visible_at:
        polled_at = max(heapq.heappop(free_at), visible_at[0] + 0.02) + chance.uniform(0, 0.05)
        gathered_at = polled_at + BATCHING_WINDOW_SECONDS
        batch = [
            heapq.heappop(visible_at)
            for _ in range(BATCH_SIZE)
            if visible_at and visible_at[0] <= gathered_at
        ]
        now = max(polled_at, batch[-1]) if len(batch) == BATCH_SIZE else gathered_at
        gate, admission = gate.admit(pace, len(batch), now)
        arrivals += [max(at, now) + chance.uniform(0.02, 0.3) for at in admission.leave_at]
        # Those of one burst go back together, and come back over half a second.
        late = {at: chance.uniform(0, 0.5) for at in admission.return_at}
        for at in admission.return_at:
            heapq.heappush(
                visible_at,
                now + math.ceil(at - now) + late[at] + chance.uniform(0, SCATTER_SECONDS),
            )
        heapq.heappush(free_at, max([now, *admission.leave_at]) + 0.4)
    return sorted(arrivals)


@pytest.mark.parametrize("seed", _SEEDS)
@pytest.mark.parametrize(
    "make_limiter",
    [fixed_window, sliding_window, lambda: bucket_of(300), lambda: bucket_of(20)],
    ids=["fixed window", "sliding window", "bucket of 300", "bucket of 20"],
)
def test_a_backlog_meets_no_429(make_limiter: Callable[[], Limiter], seed: int) -> None:
    allows = make_limiter()
    arrivals = arrivals_of_a_backlog(seed)

    assert len(arrivals) == REQUESTS
    assert [at for at in arrivals if not allows(at)] == []


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_backlog_leaves_at_nearly_the_vendors_rate(seed: int) -> None:
    arrivals = arrivals_of_a_backlog(seed)

    minutes = (arrivals[-1] - arrivals[0]) / MINUTE
    assert REQUESTS / minutes / REQUESTS_PER_MINUTE >= 0.97
