"""`make deploy`: one of samconfig.toml's environments to AWS, asking for what is missing.

`sam deploy` does the work. This looks before it whether the deployment may begin, and after it
whether what runs is what was deployed.
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
from local.deployed import Deployed, explained, find_stack
from local.errors import LocalStackError
from local.rows import plain_console
from local.stack import SAM

_SHOWN_PATHS = 10
# What makes an execution different from another.
_SETTINGS = ("CodeSha256", "Environment", "Handler", "Layers", "MemorySize", "Timeout")

Ask = Callable[[str], str]
"""Asks a person; an empty answer means that it can wait."""


class UnknownEnvironmentError(LocalStackError):
    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"ENV={name!a} is none of samconfig.toml's: {', '.join(known)}.")


class UncommittedError(LocalStackError):
    """What would run in production could not be found again in the history."""

    def __init__(self, paths: list[str]) -> None:
        shown = "".join(f"\n  {path}" for path in paths[:_SHOWN_PATHS])
        super().__init__(f"Commit first, production gets nothing that is not committed:{shown}")


class NoHistoryError(LocalStackError):
    def __init__(self, said: str) -> None:
        super().__init__(f"Production needs a committed tree, and git knows of none: {said}")


class NoRegionError(LocalStackError):
    def __init__(self) -> None:
        super().__init__("There is no region: export AWS_DEFAULT_REGION, or name it in samconfig.")


class StepFailedError(LocalStackError):
    def __init__(self, step: str, code: int) -> None:
        super().__init__(f"{step} ended with {code}; the stack is as it was, or as it says above.")


class StaleVersionError(LocalStackError):
    """The alias still names a version from before the deployment."""

    def __init__(self, function: str, settings: list[str]) -> None:
        name, _, alias = function.partition(":")
        super().__init__(
            f"{function} is live with other settings than were deployed ({', '.join(settings)}). "
            f"Publish them: aws lambda publish-version --function-name {name}, and then, with the "
            f"version that it answers, aws lambda update-alias --function-name {name} "
            f"--name {alias} --function-version VERSION"
        )


@dataclass(frozen=True)
class Settings:
    stack_name: str
    parameters: Mapping[str, str]
    region: str | None


def main(environment: str) -> int:
    """Returns 0 once the stack is deployed and runs what was deployed."""
    settings = read_settings(REPOSITORY / "samconfig.toml", environment)
    if environment == "production":
        refuse_uncommitted(REPOSITORY)
    ask, ask_secretly = _asking(input), _asking(getpass.getpass)
    region = settings.region or boto3.Session().region_name or ask("Region, like eu-west-1: ")
    if not region:
        raise NoRegionError
    # For sam as well.
    os.environ["AWS_DEFAULT_REGION"] = region
    with explained("Asking whose account this is"):
        account = boto3.client("sts").get_caller_identity()["Account"]
        known = _parameters_of(settings.stack_name)
    console = plain_console()
    console.print(f"Deploying {settings.stack_name} to account {account}, {region}.")
    parameters = dict(settings.parameters) | ask_for_parameters(settings, known, ask)
    _run("make", "build")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as overrides:
        # A file takes any value as it is.
        yaml.safe_dump(parameters, overrides)
        overrides.flush()
        _run(
            *(str(SAM), "deploy", "--config-env", environment),
            *("--parameter-overrides", f"file://{overrides.name}"),
        )
    deployed = find_stack(settings.stack_name)
    with explained("Looking at what runs"):
        check_live_version(boto3.client("lambda"), deployed.output("ReinviteFunctionName"))
        has_key = offer_key(boto3.client("secretsmanager"), deployed, ask_secretly)
    if not has_key:
        secret = deployed.output("ApiKeySecretArn")
        console.print(f"Requests wait until the API key is in the secret: {secret}")
    return 0


def read_settings(path: Path, environment: str) -> Settings:
    """Raises UnknownEnvironmentError."""
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
    """Raises UncommittedError, NoHistoryError."""
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
    """What nobody has said yet; `known` is what the stack was last deployed with."""
    if "AlarmEmail" in settings.parameters or known.get("AlarmEmail"):
        return {}
    address = ask("Address that alarms go to (Enter: to nobody for now): ")
    return {"AlarmEmail": address} if address else {}


def check_live_version(client: Any, function: str) -> None:
    """Raises StaleVersionError when the alias serves other settings than the newest ones."""
    name, _, alias = function.partition(":")
    newest = client.get_function_configuration(FunctionName=name)
    live = client.get_function_configuration(FunctionName=name, Qualifier=alias)
    different = [each for each in _SETTINGS if newest.get(each) != live.get(each)]
    if different:
        raise StaleVersionError(function, different)


def offer_key(client: Any, deployed: Deployed, ask_secretly: Ask) -> bool:
    """Ask for the API key if the secret has none yet; returns whether it has one now."""
    secret = deployed.output("ApiKeySecretArn")
    try:
        if client.get_secret_value(SecretId=secret).get("SecretString"):
            return True
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            # Whoever deploys need not be allowed to read the key.
            return True
    api_key = ask_secretly("API key (Enter: later): ")
    if api_key:
        client.put_secret_value(SecretId=secret, SecretString=api_key)
    return bool(api_key)


def _asking(prompt: Callable[[str], str]) -> Ask:
    """Nobody is asked where nobody can answer."""
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
