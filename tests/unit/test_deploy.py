"""The checks and questions of `make deploy` before and after `sam deploy`."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.errors import CommandError
from ops.deploy import (
    Settings,
    ask_for_parameters,
    offer_key,
    read_settings,
    refuse_uncommitted,
    refuse_user_id_path,
)
from ops.deployed import Deployed
from tests.git import git

SAMCONFIG = """
version = 0.1
[default.build.parameters]
template_file = "template.yaml"
[dev.deploy.parameters]
stack_name = "the-dev"
region = "eu-west-3"
parameter_overrides = ["MaxAttempts=5", "UserIdPath=detail.ids[?kind=='x']"]
[old.deploy.parameters]
stack_name = "the-old"
parameter_overrides = "MaxAttempts=5 SweepRoles='A,B'"
"""


@pytest.fixture
def samconfig(tmp_path: Path) -> Path:
    path = tmp_path / "samconfig.toml"
    path.write_text(SAMCONFIG)
    return path


def test_settings_of_the_environment_are_read(samconfig: Path) -> None:
    assert read_settings(samconfig, "dev") == Settings(
        "the-dev", {"MaxAttempts": "5", "UserIdPath": "detail.ids[?kind=='x']"}, "eu-west-3"
    )


def test_settings_in_one_line_are_read(samconfig: Path) -> None:
    assert read_settings(samconfig, "old").parameters == {"MaxAttempts": "5", "SweepRoles": "A,B"}


def test_unknown_environment_raises(samconfig: Path) -> None:
    with pytest.raises(CommandError, match=r"no ENV='prod', but these: dev, old\."):
        read_settings(samconfig, "prod")


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    (tmp_path / "template.yaml").write_text("a")
    git(tmp_path, "add", "template.yaml")
    git(tmp_path, "commit", "--message", "first")
    return tmp_path


def test_committed_tree_passes(committed: Path) -> None:
    refuse_uncommitted(committed)


@pytest.mark.parametrize(
    ("name", "status"), [("template.yaml", r" M template\.yaml"), ("app.py", r"\?\? app\.py")]
)
def test_changed_or_untracked_file_raises(committed: Path, name: str, status: str) -> None:
    (committed / name).write_text("b")

    with pytest.raises(CommandError, match=rf"\n  {status}"):
        refuse_uncommitted(committed)


def test_folder_without_a_repository_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    with pytest.raises(CommandError, match="not a git repository"):
        refuse_uncommitted(tmp_path)


@pytest.mark.parametrize(
    ("parameters", "known", "answer", "expected"),
    [
        ({}, {}, "a@example.com", {"AlarmEmail": "a@example.com"}),
        ({}, {}, "", {}),
        ({}, {"AlarmEmail": ""}, "a@example.com", {"AlarmEmail": "a@example.com"}),
        ({}, {"AlarmEmail": "b@example.com"}, "a@example.com", {}),
        ({"AlarmEmail": ""}, {}, "a@example.com", {}),
    ],
)
def test_missing_address_is_asked_for(
    parameters: Mapping[str, str],
    known: Mapping[str, str],
    answer: str,
    expected: Mapping[str, str],
) -> None:
    settings = Settings("stack", parameters, None)

    assert ask_for_parameters(settings, known, lambda _: answer) == expected


@pytest.mark.parametrize("parameters", [{}, {"UserIdPath": "detail.ids[?kind=='x'].id | [0]"}])
def test_user_id_path_that_compiles_passes(parameters: Mapping[str, str]) -> None:
    refuse_user_id_path(parameters)


@pytest.mark.parametrize("path", ["detail.[", "$.detail.user_id", ""])
def test_user_id_path_that_does_not_compile_raises(path: str) -> None:
    with pytest.raises(CommandError, match=r"UserIdPath=.* does not compile: [^\n]+"):
        refuse_user_id_path({"UserIdPath": path})


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
def test_key_is_put_into_a_secret_that_has_none(
    secrets: Secrets, answer: str, put: list[str]
) -> None:
    offer_key(secrets, Deployed("stack", {"ApiKeySecretArn": "arn"}), lambda _: answer)

    assert secrets.put == put
