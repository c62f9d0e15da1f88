"""Finds a deployed stack on the AWS that the environment points to, and explains AWS's errors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from local.errors import CommandError


class NotNamedError(CommandError):
    """A variable of the command line is empty."""

    def __init__(self, variable: str) -> None:
        super().__init__(f"{variable} is missing: set it with {variable}=….")


class NoAwsCredentialsError(CommandError):
    """The environment has no AWS credentials."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"There are no AWS credentials ({error}): export AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY; for `make local`, the lines that it prints."
        )


class UnknownStackError(CommandError):
    """There is no stack of that name in the account and region."""

    def __init__(self, name: str, region: str, message: object) -> None:
        super().__init__(
            f"There is no stack {name} in {region}: {message}. Set another one with STACK=name."
        )


class ForeignStackError(CommandError):
    """The stack lacks an output that every stack of this application has."""

    def __init__(self, name: str, output: str) -> None:
        super().__init__(f"{name} has no output {output}: it is not a stack of this application.")


class AwsRefusedError(CommandError):
    """AWS refused a call, or could not be reached."""

    def __init__(self, step: str, error: object) -> None:
        super().__init__(f"{step} failed: {error}")


@dataclass(frozen=True)
class Deployed:
    """A stack's name and its outputs."""

    name: str
    outputs: Mapping[str, str]

    def output(self, name: str) -> str:
        """Raises ForeignStackError."""
        if name not in self.outputs:
            raise ForeignStackError(self.name, name)
        return self.outputs[name]


def named(value: str, variable: str) -> str:
    """Return the value of a variable of `make`; raises NotNamedError if it is blank."""
    if not value.strip():
        raise NotNamedError(variable)
    return value


def find_stack(name: str) -> Deployed:
    """Read a stack's outputs from CloudFormation.

    Raises NotNamedError, UnknownStackError and the errors of `explained`.
    """
    named(name, "STACK")
    with explained(f"Looking for {name}"):
        try:
            cloudformation = boto3.client("cloudformation")
        except ValueError as error:
            # botocore raises it for an AWS_ENDPOINT_URL that is not a URL.
            raise AwsRefusedError(f"Looking for {name}", error) from error
        try:
            (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            message = error.response["Error"]["Message"]
            raise UnknownStackError(name, cloudformation.meta.region_name, message) from error
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    return Deployed(name, outputs)


@contextmanager
def explained(step: str) -> Iterator[None]:
    """Turn errors of the SDK into one sentence that names the step which failed.

    Raises NoAwsCredentialsError, AwsRefusedError.
    """
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise NoAwsCredentialsError(error) from error
    except (BotoCoreError, ClientError) as error:
        raise AwsRefusedError(step, error) from error
