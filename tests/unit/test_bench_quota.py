"""The simulated backlogs of the benchmark: what must be true of each, whatever they show."""

import pytest

from bench.limiters import LIMITERS, NO_LIMIT
from bench.quota import STRATEGIES, drain

REQUESTS = 400


@pytest.mark.parametrize("limiter", [NO_LIMIT, *LIMITERS])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_request_is_sent_or_dead(strategy: str, limiter: str) -> None:
    drained = drain(strategy, limiter, requests=REQUESTS)

    assert drained.emails + drained.tally.dead == REQUESTS
    assert drained.tally.calls == drained.emails + drained.tally.refused
    assert drained.tally.emails_at == sorted(drained.tally.emails_at)


@pytest.mark.parametrize("limiter", LIMITERS)
def test_the_naive_strategy_runs_into_refusals(limiter: str) -> None:
    assert drain("naive", limiter, requests=REQUESTS, requests_per_minute=60).tally.refused > 0


def test_without_a_limit_nobody_is_refused_or_deferred() -> None:
    tally = drain("naive", NO_LIMIT, requests=REQUESTS).tally

    assert (tally.refused, tally.dead, tally.received) == (0, 0, REQUESTS)


def test_the_same_seed_tells_the_same_story() -> None:
    assert drain("ours", "bucket of 20", requests=REQUESTS) == drain(
        "ours", "bucket of 20", requests=REQUESTS
    )


def test_a_rate_is_counted_from_the_first_email_to_the_last() -> None:
    drained = drain("two at a time, evenly spaced", NO_LIMIT, requests=REQUESTS)

    assert drained.seconds == drained.tally.emails_at[-1] - drained.tally.emails_at[0]
    assert drained.achieved == pytest.approx(
        REQUESTS / (drained.seconds / 60) / drained.requests_per_minute
    )
