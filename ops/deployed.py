"""Finds a deployed stack on the AWS that the environment points to, and explains AWS's errors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from local.errors import CommandError


@dataclass(frozen=True)
class Deployed:
    """A stack's name, outputs, parameters and state."""

    name: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    status: str = "CREATE_COMPLETE"

    def output(self, name: str) -> str:
        """Return an output that every stack of this application has; raises CommandError."""
        if name not in self.outputs:
            raise CommandError(
                f"{self.name} has no output {name}: it is not a stack of this application."
            )
        return self.outputs[name]


def named(value: str, variable: str) -> str:
    """Return the value of a variable of `make`; raises CommandError if it is blank."""
    if not value.strip():
        raise CommandError(f"{variable} is missing: set it with {variable}=….")
    return value


def find_stack(name: str) -> Deployed:
    """Read a stack from CloudFormation; raises CommandError."""
    named(name, "STACK")
    with explained(f"Looking for {name}"):
        found = read_stack(name)
        if found is None:
            region = boto3.Session().region_name
            raise CommandError(
                f"There is no stack {name} in {region}: set another with STACK=name."
            )
    return found


def read_stack(name: str) -> Deployed | None:
    """Read a stack from CloudFormation; returns None if it does not exist."""
    try:
        (stack,) = boto3.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    parameters = {
        each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", [])
    }
    return Deployed(name, outputs, parameters, stack["StackStatus"])


@contextmanager
def explained(step: str) -> Iterator[None]:
    """Turn errors of the SDK into a CommandError that names the step which failed."""
    try:
        yield
    except NoCredentialsError as error:
        raise CommandError(
            f"There are no AWS credentials ({error}): export AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY; for `make local`, the lines that it prints."
        ) from error
    # botocore raises ValueError for an AWS_ENDPOINT_URL that is not a URL.
    except (BotoCoreError, ClientError, ValueError) as error:
        raise CommandError(f"{step} failed: {error}") from error
