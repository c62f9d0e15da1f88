"""`make deploy`: deploy one of samconfig.toml's environments to AWS.

`sam deploy` does the work. Before it, this command checks the environment and asks for missing
parameters. After it, the command checks that the live version has the deployed settings.
"""

import getpass
import os
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.exceptions import ClientError

from local.aws import REPOSITORY
from local.errors import CommandError
from local.rows import plain_console
from local.stack import SAM
from ops.deployed import Deployed, explained, find_stack

_SHOWN_PATHS = 10
# The settings that a published version freezes.
_SETTINGS = ("CodeSha256", "Environment", "Handler", "Layers", "MemorySize", "Timeout")

Ask = Callable[[str], str]
"""Asks a person; an empty answer means later."""


class UnknownEnvironmentError(CommandError):
    """samconfig.toml has no such environment."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"samconfig.toml has no ENV={name!a}, but these: {', '.join(known)}.")


class UncommittedError(CommandError):
    """The working tree has changes that are not in the history."""

    def __init__(self, paths: list[str]) -> None:
        shown = "".join(f"\n  {path}" for path in paths[:_SHOWN_PATHS])
        super().__init__(f"Commit first, production takes committed files only:{shown}")


class NoHistoryError(CommandError):
    """The folder is not a git repository."""

    def __init__(self, message: str) -> None:
        super().__init__(f"Production needs a git repository: {message}")


class NoRegionError(CommandError):
    """Neither the environment nor samconfig.toml has a region."""

    def __init__(self) -> None:
        super().__init__("There is no region: export AWS_DEFAULT_REGION, or set it in samconfig.")


class StepFailedError(CommandError):
    """A command that this one runs failed; its own output says why."""

    def __init__(self, step: str, code: int) -> None:
        super().__init__(f"{step} ended with {code}; its output above says why.")


class StaleVersionError(CommandError):
    """The alias still names a version from before the deployment."""

    def __init__(self, function: str, settings: list[str]) -> None:
        name, _, alias = function.partition(":")
        super().__init__(
            f"The live version of {function} differs from the deployed settings "
            f"({', '.join(settings)}). Publish a version: aws lambda publish-version "
            f"--function-name {name}, and then, with the version that it returns, aws lambda "
            f"update-alias --function-name {name} --name {alias} --function-version VERSION"
        )


@dataclass(frozen=True)
class Settings:
    """One environment of samconfig.toml."""

    stack_name: str
    parameters: Mapping[str, str]
    region: str | None


def main(environment: str) -> int:
    """Deploy the environment; returns 0 when the live version has the deployed settings."""
    settings = read_settings(REPOSITORY / "samconfig.toml", environment)
    if environment == "production":
        refuse_uncommitted(REPOSITORY)
    ask, ask_secretly = _asking(input), _asking(getpass.getpass)
    region = settings.region or boto3.Session().region_name or ask("Region, like eu-west-1: ")
    if not region:
        raise NoRegionError
    # sam reads it, too.
    os.environ["AWS_DEFAULT_REGION"] = region
    with explained("Reading the account"):
        account = boto3.client("sts").get_caller_identity()["Account"]
        known = _parameters_of(settings.stack_name)
    console = plain_console()
    console.print(f"Deploying {settings.stack_name} to account {account}, {region}.")
    parameters = dict(settings.parameters) | ask_for_parameters(settings, known, ask)
    _run("make", "build")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as overrides:
        # Values in a file need no quoting.
        yaml.safe_dump(parameters, overrides)
        overrides.flush()
        _run(
            *(str(SAM), "deploy", "--config-env", environment),
            *("--parameter-overrides", f"file://{overrides.name}"),
        )
    deployed = find_stack(settings.stack_name)
    with explained("Checking the live version"):
        check_live_version(boto3.client("lambda"), deployed.output("ReinviteFunctionName"))
        has_key = offer_key(boto3.client("secretsmanager"), deployed, ask_secretly)
    if not has_key:
        secret = deployed.output("ApiKeySecretArn")
        console.print(f"Requests wait until the API key is in the secret: {secret}")
    return 0


def read_settings(path: Path, environment: str) -> Settings:
    """Read one environment; raises UnknownEnvironmentError."""
    environments = {
        name: each["deploy"]["parameters"]
        for name, each in tomllib.loads(path.read_text(encoding="utf-8")).items()
        if isinstance(each, dict) and "deploy" in each
    }
    if environment not in environments:
        raise UnknownEnvironmentError(environment, list(environments))
    found = environments[environment]
    overrides = found.get("parameter_overrides", [])
    pairs = shlex.split(overrides) if isinstance(overrides, str) else overrides
    parameters = dict(pair.split("=", 1) for pair in pairs)
    return Settings(found["stack_name"], parameters, found.get("region"))


def refuse_uncommitted(folder: Path) -> None:
    """Raise UncommittedError or NoHistoryError unless all files are committed."""
    done = subprocess.run(
        ["git", "status", "--porcelain"],  # noqa: S607  # whichever git made the clone
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NoHistoryError(done.stderr.strip())
    if done.stdout:
        raise UncommittedError(done.stdout.splitlines())


def ask_for_parameters(settings: Settings, known: Mapping[str, str], ask: Ask) -> dict[str, str]:
    """Ask for missing parameters; `known` are those of the last deployment."""
    if "AlarmEmail" in settings.parameters or known.get("AlarmEmail"):
        return {}
    address = ask("E-mail address for alarms (Enter: none for now): ")
    return {"AlarmEmail": address} if address else {}


def check_live_version(client: Any, function: str) -> None:
    """Raise StaleVersionError if the alias serves other settings than the newest ones."""
    name, _, alias = function.partition(":")
    newest = client.get_function_configuration(FunctionName=name)
    live = client.get_function_configuration(FunctionName=name, Qualifier=alias)
    different = [each for each in _SETTINGS if newest.get(each) != live.get(each)]
    if different:
        raise StaleVersionError(function, different)


def offer_key(client: Any, deployed: Deployed, ask_secretly: Ask) -> bool:
    """Ask for the API key if the secret is empty; returns whether the secret has a key now."""
    secret = deployed.output("ApiKeySecretArn")
    try:
        if client.get_secret_value(SecretId=secret).get("SecretString"):
            return True
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            # A deployment role may lack the permission to read the key.
            return True
    api_key = ask_secretly("API key (Enter: later): ")
    if api_key:
        client.put_secret_value(SecretId=secret, SecretString=api_key)
    return bool(api_key)


def _asking(prompt: Callable[[str], str]) -> Ask:
    """Return the prompt, or one that answers nothing if there is no terminal."""
    return (lambda question: prompt(question).strip()) if sys.stdin.isatty() else (lambda _: "")


def _parameters_of(stack_name: str) -> dict[str, str]:
    try:
        (stack,) = boto3.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return {}
    return {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])}


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, check=False)
    if done.returncode != 0:
        raise StepFailedError(" ".join(command[:2]), done.returncode)
