"""The benchmark's simulated backlogs: what must hold whatever they show."""

import pytest

from bench.quota import drain
from invitations.messages import Pace
from tests.simulation.backlog import World
from tests.simulation.limiters import LIMITERS, NO_LIMIT
from tests.simulation.strategies import STRATEGIES, Naive

REQUESTS = 400


@pytest.mark.parametrize("limiter", [NO_LIMIT, *LIMITERS])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_request_is_sent_or_dead(strategy: str, limiter: str) -> None:
    drained = drain(strategy, limiter, requests=REQUESTS)

    assert drained.emails + drained.tally.dead == REQUESTS
    assert drained.tally.calls == drained.emails + drained.tally.refused
    assert drained.tally.emails_at == sorted(drained.tally.emails_at)


@pytest.mark.parametrize("limiter", LIMITERS)
def test_naive_strategy_is_refused(limiter: str) -> None:
    assert drain("naive", limiter, requests=REQUESTS, requests_per_minute=60).tally.refused > 0


def test_without_limit_no_request_is_refused_or_deferred() -> None:
    tally = drain("naive", NO_LIMIT, requests=REQUESTS).tally

    assert (tally.refused, tally.dead, tally.received) == (0, 0, REQUESTS)


def test_same_backlog_is_drained_alike() -> None:
    limiter = "bucket of a fifteenth"

    assert drain("ours", limiter, requests=REQUESTS) == drain("ours", limiter, requests=REQUESTS)


def test_rate_is_counted_from_first_email_to_last() -> None:
    drained = drain("two at a time, evenly spaced", NO_LIMIT, requests=REQUESTS)

    assert drained.seconds == drained.tally.emails_at[-1] - drained.tally.emails_at[0]
    assert drained.achieved == pytest.approx(
        REQUESTS / (drained.seconds / 60) / drained.requests_per_minute
    )


def test_our_batch_costs_one_write_and_conflicts() -> None:
    tally = drain("ours", "sliding window", requests=REQUESTS).tally

    assert tally.executions <= tally.limiter_writes <= 2 * tally.executions


def test_purge_empties_queues() -> None:
    world = World(Naive())
    world.ask(100, pace=Pace.BULK)
    world.at(0.6, world.purge)
    world.ask(1, at=1.0)
    world.clock.run()

    assert 1 <= world.tally.calls < 100
    assert sum(message.asked_at >= 1 for _, message in world.tally.calls_left) == 1
