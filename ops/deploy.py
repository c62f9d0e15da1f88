"""`make deploy`: deploy one of samconfig.toml's environments to AWS.

`sam deploy` does the work. Before it, this command checks the settings and asks for missing
parameters. After it, the command asks for the API key, and looks the stack over like `make doctor`.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import Any

import boto3
import jmespath
import yaml
from botocore.exceptions import ClientError
from jmespath.exceptions import JMESPathError

from local.aws import REPOSITORY
from local.errors import CommandError
from local.rows import plain_console
from local.stack import SAM
from ops import doctor
from ops.checks.calls import read_secret
from ops.deployed import Deployed, explained, find_stack, read_stack


@dataclass(frozen=True)
class Settings:
    """One environment of samconfig.toml."""

    stack_name: str
    parameters: Mapping[str, str]
    region: str | None


def main(environment: str) -> int:
    """Deploy the environment; returns 1 when the doctor finds something wrong afterwards."""
    settings = read_settings(REPOSITORY / "samconfig.toml", environment)
    parameters = dict(settings.parameters)
    refuse_user_id_path(parameters.get("UserIdPath", "detail.user_id"))
    if environment == "production":
        refuse_uncommitted(REPOSITORY)
    region = settings.region or boto3.Session().region_name or _ask("Region, like eu-west-1: ")
    if not region:
        raise CommandError("There is no region: export AWS_DEFAULT_REGION, or set it in samconfig.")
    # sam reads it, too.
    os.environ["AWS_DEFAULT_REGION"] = region
    with explained("Reading the account"):
        account = boto3.client("sts").get_caller_identity()["Account"]
        known = read_stack(settings.stack_name)
    plain_console().print(f"Deploying {settings.stack_name} to account {account}, {region}.")
    if "AlarmEmail" not in parameters and not (known and known.parameters.get("AlarmEmail")):
        parameters["AlarmEmail"] = _ask("E-mail address for alarms (Enter: none for now): ")
    _run("make", "build")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as overrides:
        # Values in a file need no quoting.
        yaml.safe_dump(parameters, overrides)
        overrides.flush()
        values = ("--parameter-overrides", f"file://{overrides.name}")
        _run(str(SAM), "deploy", "--config-env", environment, *values)
    deployed = find_stack(settings.stack_name)
    with explained("Reading the secret"):
        offer_key(boto3.client("secretsmanager"), deployed, lambda text: _ask(text, getpass))
    return doctor.main(settings.stack_name)


def read_settings(path: Path, environment: str) -> Settings:
    """Read one environment; raises CommandError."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    known = [name for name, each in tables.items() if name not in ("version", "default")]
    if environment not in known:
        text = f"samconfig.toml has no ENV={environment!a}, but these: {', '.join(known)}."
        raise CommandError(text)
    found = tables[environment]["deploy"]["parameters"]
    overrides = found.get("parameter_overrides", [])
    pairs = shlex.split(overrides) if isinstance(overrides, str) else overrides
    parameters = dict(pair.split("=", 1) for pair in pairs)
    return Settings(found["stack_name"], parameters, found.get("region"))


def refuse_user_id_path(path: str) -> None:
    """Raise CommandError for a path that does not compile: each event of the CRM would fail."""
    try:
        jmespath.compile(path)
    except JMESPathError as error:
        # The next line repeats the expression.
        fault = str(error).partition("\n")[0].rstrip(":")
        raise CommandError(f"UserIdPath={path} does not compile: {fault}") from error


def refuse_uncommitted(folder: Path) -> None:
    """Raise CommandError unless all files are committed."""
    command = ["git", "status", "--porcelain"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CommandError(f"Production needs a git repository: {done.stderr.strip()}")
    if paths := textwrap.indent(done.stdout, "  ").rstrip():
        raise CommandError(f"Commit first, production takes committed files only:\n{paths}")


def offer_key(client: Any, deployed: Deployed, ask: Callable[[str], str]) -> None:
    """Ask for the API key if the secret is empty, and put it there."""
    secret = deployed.output("ApiKeySecretArn")
    try:
        if read_secret(client, secret) is not None:
            return
    except ClientError:
        # A deployment role may lack the permission to read the key.
        return
    api_key = ask("API key (Enter: later): ")
    if api_key:
        client.put_secret_value(SecretId=secret, SecretString=api_key)


def _ask(question: str, prompt: Callable[[str], str] = input) -> str:
    """Ask a person; an empty answer, like that of no terminal, means later."""
    return prompt(question).strip() if sys.stdin.isatty() else ""


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, check=False)
    if done.returncode != 0:
        step = " ".join(command[:2])
        raise CommandError(f"{step} ended with {done.returncode}; its output above says why.")
