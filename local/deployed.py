"""A stack on the AWS that the environment points to, and what goes wrong there as one sentence."""

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

from local.errors import LocalStackError


class NotNamedError(LocalStackError):
    """What the command is about was left out."""

    def __init__(self, variable: str) -> None:
        super().__init__(f"{variable} is missing: {variable}=… names it.")


class NoAwsCredentialsError(LocalStackError):
    """Nothing says who asks."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"There are no AWS credentials ({error}): export AWS_PROFILE or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY; for `make local`, the lines that it prints."
        )


class UnknownStackError(LocalStackError):
    """AWS knows no stack of that name."""

    def __init__(self, name: str, region: str, said: object) -> None:
        super().__init__(f"There is no stack {name} in {region}: {said}. STACK=name names another.")


class ForeignStackError(LocalStackError):
    """The stack lacks an output that this application's have."""

    def __init__(self, name: str, output: str) -> None:
        super().__init__(f"{name} has no output {output}: it is not a stack of this application.")


class AwsRefusedError(LocalStackError):
    """AWS refused a step, or could not be reached."""

    def __init__(self, what: str, error: object) -> None:
        super().__init__(f"{what} failed: {error}")


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
    """Return what a variable of `make` was given; raises NotNamedError when that is nothing."""
    if not value.strip():
        raise NotNamedError(variable)
    return value


def find_stack(name: str) -> Deployed:
    """Ask CloudFormation; raises NotNamedError, UnknownStackError and what `explained` raises."""
    named(name, "STACK")
    with explained(f"Looking for {name}"):
        try:
            cloudformation = boto3.client("cloudformation")
        except ValueError as error:
            # What botocore says of an AWS_ENDPOINT_URL that is no URL.
            raise AwsRefusedError(f"Looking for {name}", error) from error
        try:
            (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            said = error.response["Error"]["Message"]
            raise UnknownStackError(name, cloudformation.meta.region_name, said) from error
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
    return Deployed(name, outputs)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn errors of the SDK into sentences; `what` names that which did not come about.

    Raises NoAwsCredentialsError, AwsRefusedError.
    """
    try:
        yield
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise NoAwsCredentialsError(error) from error
    except (BotoCoreError, ClientError) as error:
        raise AwsRefusedError(what, error) from error
