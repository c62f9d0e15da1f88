"""One contract for the API key, kept by the fake of the unit tests and by Secrets Manager."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from invitations.adapters.secrets import MAX_AGE_SECONDS, SecretsManagerApiKeys
from invitations.errors import KeyUnavailableError
from invitations.ports import ApiKeys
from local.aws import LocalAws
from tests.fakes import Clock, FakeKeys

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient


@dataclass(frozen=True)
class Bench:
    keys: ApiKeys
    replace: Callable[[str], None]
    """Put another key into the secret, which holds key-1."""
    take_away: Callable[[], None]
    """Make the secret unreadable."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def in_memory(clock: Clock) -> Bench:
    keys = FakeKeys(clock, "key-1")

    def replace(key: str) -> None:
        keys.secret = key

    return Bench(keys, replace, lambda: keys.fail("read"))


@pytest.fixture
def secrets_manager(aws: LocalAws, name: str, clock: Clock) -> Bench:
    client: SecretsManagerClient = aws.client("secretsmanager")
    arn = client.create_secret(Name=name, SecretString="key-1")["ARN"]

    def replace(key: str) -> None:
        client.put_secret_value(SecretId=arn, SecretString=key)

    def take_away() -> None:
        client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)

    return Bench(SecretsManagerApiKeys(client, arn, clock), replace, take_away)


@pytest.fixture(params=["in_memory", "secrets_manager"])
def bench(request: pytest.FixtureRequest) -> Bench:
    bench: Bench = request.getfixturevalue(request.param)
    return bench


def test_the_current_key_is_the_secrets(bench: Bench) -> None:
    assert bench.keys.current() == "key-1"


def test_the_current_key_is_read_once(bench: Bench) -> None:
    bench.keys.current()
    bench.replace("key-2")

    assert bench.keys.current() == "key-1"


def test_the_current_key_is_read_again_when_it_has_grown_old(bench: Bench, clock: Clock) -> None:
    bench.keys.current()
    bench.replace("key-2")
    clock.advance(MAX_AGE_SECONDS)

    assert bench.keys.current() == "key-2"


def test_an_old_key_is_used_while_there_is_no_newer_one(bench: Bench, clock: Clock) -> None:
    bench.keys.current()
    bench.take_away()
    clock.advance(MAX_AGE_SECONDS)

    assert bench.keys.current() == "key-1"


def test_a_refreshed_key_is_read_again_when_the_last_reading_is_older(
    bench: Bench, clock: Clock
) -> None:
    bench.keys.current()
    bench.replace("key-2")
    clock.advance(1)

    assert bench.keys.refreshed(since=clock()) == "key-2"


def test_a_refreshed_key_is_read_again_when_the_last_reading_may_be_older(
    bench: Bench, clock: Clock
) -> None:
    bench.keys.current()
    bench.replace("key-2")

    assert bench.keys.refreshed(since=clock()) == "key-2"


def test_a_refreshed_key_is_not_read_again_when_the_last_reading_is_newer(
    bench: Bench, clock: Clock
) -> None:
    before = clock()
    clock.advance(1)
    bench.keys.current()
    bench.replace("key-2")

    assert bench.keys.refreshed(since=before) == "key-1"


def test_a_refreshed_key_becomes_the_current_one(bench: Bench, clock: Clock) -> None:
    bench.keys.current()
    bench.replace("key-2")
    bench.keys.refreshed(since=clock())

    assert bench.keys.current() == "key-2"


def test_a_key_that_was_never_current_can_be_refreshed(bench: Bench, clock: Clock) -> None:
    assert bench.keys.refreshed(since=clock()) == "key-1"


def test_an_unreadable_secret_is_told_when_it_is_first_read(bench: Bench) -> None:
    bench.take_away()

    with pytest.raises(KeyUnavailableError):
        bench.keys.current()


def test_an_unreadable_secret_is_told_when_it_is_read_again(bench: Bench, clock: Clock) -> None:
    bench.keys.current()
    bench.take_away()

    with pytest.raises(KeyUnavailableError):
        bench.keys.refreshed(since=clock())


def test_an_unreadable_secret_leaves_the_key_that_was_read(bench: Bench, clock: Clock) -> None:
    bench.keys.current()
    bench.take_away()

    with pytest.raises(KeyUnavailableError):
        bench.keys.refreshed(since=clock())
    assert bench.keys.current() == "key-1"
