"""The API key, read from a real Secrets Manager."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from invitations.api_key import ApiKeys
from invitations.errors import KeyUnavailableError
from local.aws import LocalAws
from local.processes import free_port

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient


@dataclass(frozen=True)
class Bench:
    keys: ApiKeys
    aged: ApiKeys
    """Keys that are read again each time."""
    replace: Callable[[str | bytes], None]
    """Put another value into the secret, which holds key-1."""
    delete: Callable[[], None]


@pytest.fixture
def bench(aws: LocalAws, name: str) -> Bench:
    client: SecretsManagerClient = aws.client("secretsmanager")
    arn = client.create_secret(Name=name, SecretString="key-1")["ARN"]

    def replace(value: str | bytes) -> None:
        if isinstance(value, bytes):
            client.put_secret_value(SecretId=arn, SecretBinary=value)
        else:
            client.put_secret_value(SecretId=arn, SecretString=value)

    def delete() -> None:
        client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)

    return Bench(ApiKeys(client, arn), ApiKeys(client, arn, max_age_seconds=0), replace, delete)


def test_current_key_is_the_secrets(bench: Bench) -> None:
    assert bench.keys.current() == "key-1"


def test_current_key_is_kept_until_it_is_old(bench: Bench) -> None:
    bench.keys.current()
    bench.aged.current()
    bench.replace('{"api_key": "key-2"}')

    assert (bench.keys.current(), bench.aged.current()) == ("key-1", "key-2")


def test_last_good_key_is_used_when_the_secret_is_gone(bench: Bench) -> None:
    bench.aged.current()
    bench.delete()

    assert bench.aged.current() == "key-1"


def test_last_good_key_is_used_when_the_secret_holds_none(bench: Bench) -> None:
    bench.aged.current()
    bench.replace("x-APIKey: key-2")

    assert bench.aged.current() == "key-1"


def test_replacement_is_the_secrets_new_key(bench: Bench) -> None:
    bench.keys.current()
    bench.replace("key-2")

    assert bench.keys.replacement("key-1") == "key-2"
    assert bench.keys.current() == "key-2"


def test_same_key_in_the_secret_is_no_replacement(bench: Bench) -> None:
    assert bench.keys.replacement("key-1") is None


def test_missing_secret_is_an_error(bench: Bench) -> None:
    bench.delete()

    with pytest.raises(KeyUnavailableError, match="cannot be read"):
        bench.keys.current()
    with pytest.raises(KeyUnavailableError, match="cannot be read"):
        bench.keys.replacement("key-1")


def test_binary_secret_holds_no_key(bench: Bench) -> None:
    bench.replace(b"key-2")

    with pytest.raises(KeyUnavailableError, match="it is binary"):
        bench.keys.current()


def test_unreachable_secrets_manager_is_an_error() -> None:
    client = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path()).client("secretsmanager")

    with pytest.raises(KeyUnavailableError, match="cannot be read"):
        ApiKeys(client, "arn:aws:secretsmanager:eu-west-1:000000000000:secret:key").current()
