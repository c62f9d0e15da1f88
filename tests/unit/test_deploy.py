"""What `make deploy` and `make doctor` do with the secret of a stack."""

from unittest.mock import Mock, call

import pytest
from botocore.exceptions import ClientError

from ops.checks.calls import key
from ops.checks.stack import Stack
from ops.deploy import offer_key
from ops.deployed import Deployed

DEPLOYED = Deployed("stack", {"ApiKeySecretArn": "arn"})


NO_VERSION, DENIED = (
    ClientError({"Error": {"Code": code}}, "GetSecretValue")
    for code in ("ResourceNotFoundException", "AccessDeniedException")
)


@pytest.mark.parametrize(
    ("read", "answer", "is_put"),
    [
        (NO_VERSION, "new", True),
        ({"SecretString": ""}, "new", True),
        (NO_VERSION, "", False),
        ({"SecretString": "key"}, "new", False),
        (DENIED, "new", False),
    ],
)
def test_key_is_put_only_into_a_secret_that_has_none(
    read: object, answer: str, is_put: bool
) -> None:
    client = Mock()
    client.get_secret_value.side_effect = [read]
    offer_key(client, DEPLOYED, lambda _: answer)

    put = [call(SecretId="arn", SecretString="new")] * is_put
    assert client.put_secret_value.mock_calls == put


def test_doctor_explains_a_secret_without_its_value() -> None:
    client = Mock()
    client.get_secret_value.return_value = {"SecretString": "x-APIKey: hush-hush"}
    client.describe_secret.return_value = {}

    (finding,) = key(Stack(DEPLOYED, {"secretsmanager": client}))

    assert "a line with a name" in finding.text
    assert "hush-hush" not in finding.text
