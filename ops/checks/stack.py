"""A deployed stack as the checks see it, and the findings that they yield."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, partial
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from ops.deployed import Deployed


class Verdict(StrEnum):
    """`look` leaves the judgement to a person; `wrong` needs a repair."""

    OK = "ok"
    LOOK = "look"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """One line of the command's output: what was found and, unless it is ok, what to do."""

    verdict: Verdict
    text: str
    subject: str = ""
    """By default that of the check."""


Findings = Iterator[Finding]
"""Of one check: an `ok` counts only if there is no fault before it."""


ok, look, wrong = (partial(Finding, verdict) for verdict in Verdict)


def refused(error: BotoCoreError | ClientError) -> Finding:
    """Return what a failed call says: the resource is gone, or nothing is known of it."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    if any(word in code for word in ("NotFound", "NonExistent", "DoesNotExist")):
        return wrong(f"it is gone, deploy the stack again: {error}")
    return look(f"not checked, AWS refused the call: {error}")


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
    def resources(self) -> dict[str, dict[str, Any]]:
        """CloudFormation's entries by logical id, those of the nested stack included."""
        found: dict[str, dict[str, Any]] = {}
        names = [self.name]
        while names:
            answer = self.client("cloudformation").describe_stack_resources(StackName=names.pop())
            entries = {each["LogicalResourceId"]: each for each in answer["StackResources"]}
            names += [
                each["PhysicalResourceId"]
                for each in entries.values()
                if each["ResourceType"] == "AWS::CloudFormation::Stack"
            ]
            found |= entries
        return found

    def physical_id(self, name: str) -> str:
        """Return the physical id of a resource, given its logical one."""
        return str(self.resources[name]["PhysicalResourceId"])

    def attributes(self, name: str) -> dict[str, Any]:
        """Return the attributes of a queue, a topic or a secret, given its logical id.

        `Policy` is a JSON text, `KmsMasterKeyId` absent without a key of its own.
        """
        physical_id, secrets = self.physical_id(name), self.client("secretsmanager")
        match self.resources[name]["ResourceType"]:
            case "AWS::SQS::Queue":
                answer = self.client("sqs").get_queue_attributes(
                    QueueUrl=physical_id, AttributeNames=["All"]
                )
            case "AWS::SNS::Topic":
                answer = self.client("sns").get_topic_attributes(TopicArn=physical_id)
            case _:
                described = secrets.describe_secret(SecretId=physical_id)
                policy = secrets.get_resource_policy(SecretId=physical_id).get("ResourcePolicy")
                key = described.get("KmsKeyId", "")
                answer = {"Attributes": {"Policy": policy, "KmsMasterKeyId": key}}
        return dict(answer["Attributes"])

    def of_kind(self, kind: str) -> dict[str, str]:
        """Return physical ids by logical id, for a type without its `AWS::`."""
        kinds = {name: each["ResourceType"] for name, each in self.resources.items()}
        return {name: self.physical_id(name) for name in kinds if kinds[name] == f"AWS::{kind}"}
