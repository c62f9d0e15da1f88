"""The API key, read from a real Secrets Manager; tests/unit/test_secret_value.py has the rules."""

from typing import TYPE_CHECKING

import pytest

from invitations.api_key import ApiKeys
from invitations.errors import KeyUnavailableError
from local.aws import LocalAws

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager.client import SecretsManagerClient


def test_key_is_kept_until_it_is_old_or_refused_and_a_secret_without_one_is_an_error(
    aws: LocalAws, name: str
) -> None:
    secrets: SecretsManagerClient = aws.client("secretsmanager")
    arn = secrets.create_secret(Name=name, SecretString="key-1")["ARN"]
    kept, aged = ApiKeys(secrets, arn), ApiKeys(secrets, arn, max_age_seconds=0)
    assert (kept.current(), aged.current()) == ("key-1", "key-1")

    secrets.put_secret_value(SecretId=arn, SecretString='{"api_key": "key-2"}')
    assert (kept.current(), aged.current()) == ("key-1", "key-2")
    assert (kept.replacement("key-1"), kept.current()) == ("key-2", "key-2")

    secrets.put_secret_value(SecretId=arn, SecretBinary=b"key-3")
    with pytest.raises(KeyUnavailableError, match="it is binary"):
        ApiKeys(secrets, arn).current()
    secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
    with pytest.raises(KeyUnavailableError, match="cannot be read"):
        ApiKeys(secrets, arn).current()
