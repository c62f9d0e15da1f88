"""`make deploy` to an account of its own."""

import re
import subprocess
from pathlib import Path

import pytest

from local.aws import LocalAws
from tests.e2e.clone import clone
from tests.e2e.conftest import environment_of_make
from tests.e2e.test_cases import document_of

_SECONDS = 180


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose template lacks the secret's policy, which the local AWS cannot create."""
    tree = clone(tmp_path_factory.mktemp("tree"))
    template = tree / "template.yaml"
    text = template.read_text(encoding="utf-8")
    without = re.sub(r"\n  ApiKeySecretPolicy:\n(    .*\n|\n)+", "\n", text)
    assert "AWS::SecretsManager::ResourcePolicy" not in without
    template.write_text(without, encoding="utf-8")
    return tree


def _deploy(own_aws: LocalAws, tree: Path, environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "deploy", f"ENV={environment}"],  # noqa: S607  # whichever runs the tests
        cwd=tree,
        env=environment_of_make(own_aws),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )


def test_user_id_path_that_does_not_compile_is_refused_before_the_build(
    own_aws: LocalAws, tree: Path
) -> None:
    path = f"UserIdPath={document_of('87a-user-id-path-with-dollar')['UserIdPath']}"
    settings = tree / "samconfig.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace('"PendingEvent', f'"{path}", "PendingEvent'))

    done = _deploy(own_aws, tree, "dev")

    settings.write_text(text)
    assert done.returncode != 0
    assert f"{path} does not compile: " in done.stderr
    assert done.stdout == ""


def test_uncommitted_files_are_refused_for_production(own_aws: LocalAws, tree: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)  # noqa: S607

    done = _deploy(own_aws, tree, "production")

    assert done.returncode != 0
    assert "Commit first" in done.stderr
    assert "?? template.yaml" in done.stderr
    stacks = own_aws.client("cloudformation").describe_stacks()["Stacks"]
    assert "partoo-reinvite" not in {each["StackName"] for each in stacks}


def test_template_is_deployed_as_samconfig_says_and_the_stack_looked_over(
    own_aws: LocalAws, tree: Path
) -> None:
    done = _deploy(own_aws, tree, "dev")

    assert done.returncode == 0, done.stderr
    assert "Deploying partoo-reinvite-dev to account 000000000000, eu-west-1." in done.stdout
    assert "\nok    live version: version 1 has the newest settings\n" in done.stdout
    assert "\nlook  API key: requests wait, because the secret arn:" in done.stdout
    assert "\nwrong " not in done.stdout
    cloudformation = own_aws.client("cloudformation")
    (stack,) = cloudformation.describe_stacks(StackName="partoo-reinvite-dev")["Stacks"]
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    assert {(each["Key"], each["Value"]) for each in stack["Tags"]} == {
        ("application", "partoo-reinvite"),
        ("environment", "dev"),
    }
    assert parameters["PartooBaseUrl"] == "https://api.sandbox.partoo.co/v2"
    assert parameters["PendingEventSource"] == "crm.dev"
