"""The rate limiter over the fake of the unit tests and over DynamoDB: both keep one contract."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from invitations.errors import TableUnavailableError
from invitations.limiter_state import Token, Wait
from invitations.messages import Pace
from invitations.outcomes import Answered, Cause, Outcome, Unknown, judge
from invitations.rate_limiter import RateLimiter
from invitations.table import DynamoDbTable, Table
from local.aws import LocalAws
from ops.limiter import pause, resume
from tests.memory_table import InMemoryTable

NOW = 1_800_000_000.0
NO_ANSWER = judge(Unknown("timed out", NOW))

Make = Callable[..., RateLimiter]
"""Makes the rate limiter of one more container, whose clock stands still."""


def throttled(seconds: int) -> Outcome:
    return judge(Answered(429, NOW, str(seconds)))


@pytest.fixture
def in_memory() -> Table:
    return InMemoryTable()


@pytest.fixture
def dynamodb(aws: LocalAws, name: str) -> Table:
    aws.create_table(name, "pk", "sk")
    return DynamoDbTable(aws.client("dynamodb"), name)


@pytest.fixture(params=["in_memory", "dynamodb"])
def make(request: pytest.FixtureRequest) -> Make:
    table: Table = request.getfixturevalue(request.param)
    return lambda now=NOW: RateLimiter(table, 300, clock=lambda: now)


def test_first_call_gets_token(make: Make) -> None:
    assert make().admit(Pace.EVENT) == Token(NOW)
    assert not make().is_paused()


def test_every_container_goes_on_where_others_have_left_off(make: Make) -> None:
    containers = [make() for _ in range(3)]
    for number in range(9):
        assert isinstance(containers[number % 3].admit(Pace.EVENT), Token)
    for _ in range(30):
        answer = containers[0].admit(Pace.EVENT)

    assert isinstance(answer, Wait)
    later = make().admit(Pace.EVENT)
    assert isinstance(later, Wait)
    assert later.until > answer.until


def test_token_is_given_once_in_a_race(make: Make) -> None:
    containers = [make() for _ in range(4)]

    with ThreadPoolExecutor(20) as threads:
        answers = list(
            threads.map(lambda number: containers[number % 4].admit(Pace.EVENT), range(60))
        )

    tokens = sorted(each.leaves_at for each in answers if isinstance(each, Token))
    appointments = [each.until for each in answers if isinstance(each, Wait)]
    assert sum(at < NOW + 0.001 for at in tokens) == 10
    # Ten at once, and one each 0.214 s until those that wait for longer than 2.5 s.
    assert len(tokens) == 21
    assert len(set(tokens[9:])) == len(tokens[9:])
    assert len(set(appointments)) == len(appointments) == 39


def test_no_failure_is_lost_in_a_race(make: Make) -> None:
    containers = [make() for _ in range(4)]

    with ThreadPoolExecutor(9) as threads:
        list(threads.map(lambda number: containers[number % 4].report(NO_ANSWER), range(9)))
    assert isinstance(make().admit(Pace.EVENT), Token)

    containers[0].report(NO_ANSWER)
    wait = make().admit(Pace.EVENT)
    assert isinstance(wait, Wait)
    assert wait.cause == Cause.OUTAGE


def test_pause_is_known_to_every_container(make: Make) -> None:
    limiter, other = make(), make()
    other.admit(Pace.EVENT)
    limiter.report(throttled(60))

    assert other.is_paused()
    wait = other.admit(Pace.BULK)
    assert isinstance(wait, Wait)
    assert (wait.cause, wait.has_appointment) == (Cause.THROTTLED, True)


def test_open_breaker_gives_one_probe_among_containers(make: Make) -> None:
    limiter = make()
    for _ in range(10):
        limiter.report(NO_ANSWER)
    later = [make(now=NOW + 15) for _ in range(4)]

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda each: each.admit(Pace.EVENT), later))
    assert sum(isinstance(each, Token) for each in answers) == 1


def test_operator_pause_stops_and_resumes_warm_container(aws: LocalAws, name: str) -> None:
    aws.create_table(name, "pk", "sk")
    client = aws.client("dynamodb")
    limiter = RateLimiter(DynamoDbTable(client, name), 300, clock=lambda: NOW)
    for _ in range(30):
        limiter.admit(Pace.EVENT)

    pause(client, name)
    wait = limiter.admit(Pace.EVENT)
    assert isinstance(wait, Wait)
    assert wait.cause == Cause.OPERATOR
    limiter.report(NO_ANSWER)
    assert limiter.is_paused()

    assert resume(client, name, NOW - 10)
    assert not limiter.is_paused()
    assert limiter.admit(Pace.EVENT) == Token(NOW)


def test_table_that_is_missing_is_an_outage(aws: LocalAws, name: str) -> None:
    limiter = RateLimiter(DynamoDbTable(aws.client("dynamodb"), name), 300)

    with pytest.raises(TableUnavailableError):
        limiter.admit(Pace.EVENT)
    with pytest.raises(TableUnavailableError):
        limiter.report(throttled(60))
    with pytest.raises(TableUnavailableError):
        limiter.is_paused()
