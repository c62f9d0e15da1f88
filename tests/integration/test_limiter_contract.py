"""The rate limiter shares one state, over the table of the unit tests and over DynamoDB.

tests/unit/test_limiter_state.py has its rules.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from invitations.limiter_state import Token, Wait
from invitations.messages import Pace
from invitations.outcomes import Answered, Cause, Unknown, judge
from invitations.rate_limiter import RateLimiter
from invitations.table import Table

NOW = 1_800_000_000.0
NO_ANSWER = judge(Unknown("timed out", NOW))


@pytest.fixture
def containers(table: Table) -> list[RateLimiter]:
    """The rate limiters of four containers, whose clocks stand still."""
    return [RateLimiter(table, 300, clock=lambda: NOW) for _ in range(4)]


def test_token_is_given_once_in_a_race(containers: list[RateLimiter]) -> None:
    with ThreadPoolExecutor(20) as threads:
        answers = list(
            threads.map(lambda number: containers[number % 4].take_token(Pace.EVENT), range(60))
        )

    tokens = sorted(each.leaves_at for each in answers if isinstance(each, Token))
    appointments = [each.until for each in answers if isinstance(each, Wait)]
    assert sum(at < NOW + 0.001 for at in tokens) == 10
    # Ten at once, and one each 0.214 s until those that wait for longer than 2.5 s.
    assert len(tokens) == 21
    assert len(set(tokens[9:])) == len(tokens[9:])
    assert len(set(appointments)) == len(appointments) == 39


def test_no_failure_is_lost_in_a_race(containers: list[RateLimiter]) -> None:
    with ThreadPoolExecutor(9) as threads:
        list(threads.map(lambda number: containers[number % 4].report(NO_ANSWER), range(9)))
    assert isinstance(containers[0].take_token(Pace.EVENT), Token)

    containers[0].report(NO_ANSWER)
    wait = containers[1].take_token(Pace.EVENT)
    assert isinstance(wait, Wait)
    assert wait.cause == Cause.OUTAGE


def test_pause_is_known_to_every_container(containers: list[RateLimiter]) -> None:
    warm, other, *_ = containers
    warm.take_token(Pace.EVENT)
    other.report(judge(Answered(429, NOW, "60")))

    assert warm.is_paused()
    assert warm.take_token(Pace.EVENT) == Wait(
        NOW + 60, has_appointment=True, cause=Cause.THROTTLED
    )
