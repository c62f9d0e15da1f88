"""What `make deploy` and `make doctor` do with the secret of a stack."""

import pytest
from botocore.exceptions import ClientError

from ops.checks.calls import key
from ops.checks.stack import Stack
from ops.deploy import offer_key
from ops.deployed import Deployed

DEPLOYED = Deployed("stack", {"ApiKeySecretArn": "arn"})


class Secrets:
    """A secret; without a value, reading it raises the error."""

    def __init__(self, value: str | None = None, error: str = "ResourceNotFoundException") -> None:
        self.value = value
        self.error = error
        self.put: list[str] = []

    def get_secret_value(self, **_: str) -> dict[str, str]:
        if self.value is None:
            raise ClientError({"Error": {"Code": self.error}}, "GetSecretValue")
        return {"SecretString": self.value}

    def describe_secret(self, **_: str) -> dict[str, str]:
        return {}

    def put_secret_value(self, *, SecretId: str, SecretString: str) -> None:  # noqa: N803
        self.put.append(f"{SecretId}: {SecretString}")


@pytest.mark.parametrize(
    ("secrets", "answer", "put"),
    [
        (Secrets(), "new", ["arn: new"]),
        (Secrets(""), "new", ["arn: new"]),
        (Secrets(), "", []),
        (Secrets("key"), "new", []),
        (Secrets(error="AccessDeniedException"), "new", []),
    ],
    ids=["no version", "empty", "no answer", "known key", "unreadable"],
)
def test_key_is_put_only_into_a_secret_that_has_none(
    secrets: Secrets, answer: str, put: list[str]
) -> None:
    offer_key(secrets, DEPLOYED, lambda _: answer)

    assert secrets.put == put


def test_doctor_explains_a_secret_without_its_value() -> None:
    secret = Secrets("x-APIKey: hush-hush")

    (finding,) = key(Stack(DEPLOYED, {"secretsmanager": secret}))

    assert "a line with a name" in finding.text
    assert "hush-hush" not in finding.text
