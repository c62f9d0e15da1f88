"""The checks and questions of `make deploy` before and after `sam deploy`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.deploy import (
    NoHistoryError,
    Settings,
    StaleVersionError,
    UncommittedError,
    UnknownEnvironmentError,
    ask_for_parameters,
    check_live_version,
    offer_key,
    read_settings,
    refuse_uncommitted,
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


class TestSettings:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "samconfig.toml"
        path.write_text(SAMCONFIG)
        return path

    def test_settings_of_the_environment_are_read(self, path: Path) -> None:
        assert read_settings(path, "dev") == Settings(
            "the-dev", {"MaxAttempts": "5", "UserIdPath": "detail.ids[?kind=='x']"}, "eu-west-3"
        )

    def test_settings_in_one_line_are_read(self, path: Path) -> None:
        assert read_settings(path, "old").parameters == {"MaxAttempts": "5", "SweepRoles": "A,B"}

    def test_unknown_environment_raises(self, path: Path) -> None:
        with pytest.raises(UnknownEnvironmentError, match=r"no ENV='prod', but these: dev, old\."):
            read_settings(path, "prod")


class TestProduction:
    @pytest.fixture
    def committed(self, tmp_path: Path) -> Path:
        git(tmp_path, "init")
        (tmp_path / "template.yaml").write_text("a")
        git(tmp_path, "add", "template.yaml")
        git(tmp_path, "commit", "--message", "first")
        return tmp_path

    def test_committed_tree_passes(self, committed: Path) -> None:
        refuse_uncommitted(committed)

    def test_uncommitted_change_raises(self, committed: Path) -> None:
        (committed / "template.yaml").write_text("b")

        with pytest.raises(UncommittedError, match=r"\n   M template\.yaml"):
            refuse_uncommitted(committed)

    def test_untracked_file_raises(self, committed: Path) -> None:
        (committed / "app.py").touch()

        with pytest.raises(UncommittedError, match=r"\n  \?\? app\.py"):
            refuse_uncommitted(committed)

    def test_folder_without_a_repository_raises(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

        with pytest.raises(NoHistoryError, match="not a git repository"):
            refuse_uncommitted(tmp_path)


class TestQuestions:
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
        self,
        parameters: Mapping[str, str],
        known: Mapping[str, str],
        answer: str,
        expected: Mapping[str, str],
    ) -> None:
        settings = Settings("stack", parameters, None)

        assert ask_for_parameters(settings, known, lambda _: answer) == expected


class Secrets:
    def __init__(self, error_code: str | None) -> None:
        self.error_code = error_code
        self.put: list[Mapping[str, str]] = []

    def get_secret_value(self, **_: str) -> dict[str, str]:
        if self.error_code is not None:
            raise ClientError({"Error": {"Code": self.error_code}}, "GetSecretValue")
        return {"SecretString": "key"}

    def put_secret_value(self, **fields: str) -> None:
        self.put.append(fields)


class TestKey:
    DEPLOYED = Deployed("stack", {"ApiKeySecretArn": "arn"})

    def test_missing_key_is_put_into_the_secret(self) -> None:
        secrets = Secrets("ResourceNotFoundException")

        assert offer_key(secrets, self.DEPLOYED, lambda _: "new")
        assert secrets.put == [{"SecretId": "arn", "SecretString": "new"}]

    def test_empty_answer_leaves_the_secret_empty(self) -> None:
        secrets = Secrets("ResourceNotFoundException")

        assert not offer_key(secrets, self.DEPLOYED, lambda _: "")
        assert secrets.put == []

    @pytest.mark.parametrize("error_code", [None, "AccessDeniedException"])
    def test_known_or_unreadable_key_is_not_replaced(self, error_code: str | None) -> None:
        secrets = Secrets(error_code)

        assert offer_key(secrets, self.DEPLOYED, lambda _: "new")
        assert secrets.put == []


class Functions:
    def __init__(self, live: Mapping[str, Any]) -> None:
        self.live = live

    def get_function_configuration(self, **names: str) -> dict[str, Any]:
        newest = {"CodeSha256": "a", "Timeout": 60, "Version": "$LATEST"}
        return {**newest, **self.live} if "Qualifier" in names else newest


class TestLiveVersion:
    def test_version_with_the_newest_settings_passes(self) -> None:
        check_live_version(Functions({"Version": "7"}), "function:live")

    def test_version_with_other_settings_raises(self) -> None:
        with pytest.raises(StaleVersionError, match=r"\(Timeout\).* --function-name function "):
            check_live_version(Functions({"Version": "7", "Timeout": 30}), "function:live")
