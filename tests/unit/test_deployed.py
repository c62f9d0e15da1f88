"""How a command finds its stack, and the errors if it does not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from local.errors import CommandError
from ops import doctor, forget, invite, pause, redrive, resume, status, tail
from ops.deployed import (
    Deployed,
    find_stack,
)

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
REGION = {"AWS_DEFAULT_REGION": "eu-west-1"}


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[dict[str, str]], None]:
    """Returns a function that sets the variables for the SDK and removes all others."""
    alone = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    absent = ("AWS_PROFILE", "AWS_REGION", "AWS_SESSION_TOKEN", *CREDENTIALS, *REGION)
    # boto3 keeps the first credentials of the process in its default session.
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)

    def set_all(variables: dict[str, str]) -> None:
        for name in absent:
            monkeypatch.delenv(name, raising=False)
        for name, value in (alone | variables).items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.mark.parametrize("command", [invite.main, status.main, forget.main])
@pytest.mark.parametrize("user_id", ["", " "])
def test_missing_user_raises(command: Callable[[str, str], int], user_id: str) -> None:
    with pytest.raises(CommandError, match="USER="):
        command(user_id, "stack")


@pytest.mark.parametrize("command", [tail.main, redrive.main, pause.main, resume.main, doctor.main])
def test_missing_stack_raises(command: Callable[[str], int]) -> None:
    with pytest.raises(CommandError, match="STACK="):
        command("")


def test_missing_credentials_raise_with_what_to_export(
    environment: Callable[[dict[str, str]], None],
) -> None:
    environment(REGION)

    with pytest.raises(CommandError, match="export AWS_PROFILE"):
        find_stack("stack")


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "region"),
        # Nothing listens on the discard port.
        (REGION | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "http://127.0.0.1:9"),
        (REGION | {"AWS_ENDPOINT_URL": "localhost"}, "localhost"),
    ],
)
def test_missing_region_and_unreachable_endpoint_raise_with_what_is_wrong(
    environment: Callable[[dict[str, str]], None], variables: dict[str, str], named: str
) -> None:
    environment(CREDENTIALS | variables)

    with pytest.raises(CommandError, match=named):
        find_stack("stack")


def test_stack_of_another_application_raises_with_the_missing_output() -> None:
    with pytest.raises(CommandError, match="shop has no output TableName"):
        Deployed("shop", {"Url": "https://shop"}).output("TableName")
