"""A deployed stack as the checks see it, and the findings that they yield."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from ops.deployed import Deployed

_GONE = ("NotFound", "NonExistent", "DoesNotExist")


class Verdict(StrEnum):
    """`look` leaves the judgement to a person; `wrong` needs a repair."""

    OK = "ok"
    LOOK = "look"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One line of the command's output."""

    verdict: Verdict
    subject: str
    text: str
    """What was found and, unless it is ok, what to do."""


Findings = Iterator[Finding]


def ok(subject: str, text: str) -> Finding:
    return Finding(Verdict.OK, subject, text)


def look(subject: str, text: str) -> Finding:
    return Finding(Verdict.LOOK, subject, text)


def wrong(subject: str, text: str) -> Finding:
    return Finding(Verdict.WRONG, subject, text)


def or_ok(faults: Iterable[Finding], subject: str, text: str) -> Findings:
    """Yield the faults, or one finding that all is well."""
    yield from list(faults) or [ok(subject, text)]


def refused(subject: str, error: BotoCoreError | ClientError) -> Finding:
    """Return what a failed call says: the resource is gone, or nothing is known of it."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    if any(word in code for word in _GONE):
        return wrong(subject, f"it is gone, deploy the stack again: {error}")
    return look(subject, f"not checked, AWS refused the call: {error}")


@dataclass(frozen=True)
class Resource:
    """A resource of the stack or of its nested stack."""

    kind: str
    physical_id: str
    stack_id: str


@dataclass(frozen=True)
class Stack:
    """A deployed stack. Reading its resources raises the SDK's errors."""

    deployed: Deployed
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """Return the client of a service; its type depends on the name."""
        if service not in self._clients:
            self._clients[service] = boto3.client(service)  # type: ignore[call-overload]
        return self._clients[service]

    @property
    def name(self) -> str:
        return self.deployed.name

    @cached_property
    def resources(self) -> dict[str, Resource]:
        """Resources by logical id, those of the nested stack included."""
        found: dict[str, Resource] = {}
        names = [self.name]
        while names:
            answer = self.client("cloudformation").describe_stack_resources(StackName=names.pop())
            resources = {
                each["LogicalResourceId"]: Resource(
                    each["ResourceType"].removeprefix("AWS::"),
                    each.get("PhysicalResourceId", ""),
                    each["StackId"],
                )
                for each in answer["StackResources"]
            }
            found |= resources
            names += [
                each.physical_id
                for each in resources.values()
                if each.kind == "CloudFormation::Stack"
            ]
        return found

    def of_kind(self, kind: str) -> dict[str, str]:
        """Return physical ids by logical id, for a type without its `AWS::`."""
        return {
            name: each.physical_id for name, each in self.resources.items() if each.kind == kind
        }
