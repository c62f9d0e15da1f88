"""Encryption and policies: whether they are as the template has them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ops.checks.stack import Findings, Stack, look, ok, wrong

_DRIFT = "aws cloudformation detect-stack-drift --stack-name"


def encryption(stack: Stack) -> Findings:
    """Nothing fails without it, so a difference is for a person to judge."""
    for name in _otherwise_encrypted(stack, stack.deployed.parameters["KmsKeyArn"]):
        drift = f"{_DRIFT} {stack.name} shows what else differs"
        yield look(f"its encryption differs from the template; {drift}", name)
    yield ok("is as the template has it")


def _otherwise_encrypted(stack: Stack, key: str) -> Iterator[str]:
    """Yield the name of each resource that is encrypted otherwise than with the key."""
    topics = {"ResultTopic": key or "alias/aws/sns"}
    queues, secret = stack.of_kind("SQS::Queue"), stack.of_kind("SecretsManager::Secret")
    for name in (*queues, *stack.of_kind("SNS::Topic"), *secret):
        found = stack.attributes(name)
        by_sqs = found.get("SqsManagedSseEnabled", "").lower() == "true"
        expected = (topics.get(name, key), name in queues and not key)
        if (found.get("KmsMasterKeyId", ""), by_sqs) != expected:
            yield name
    for name, group in stack.of_kind("Logs::LogGroup").items():
        groups = stack.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        if {each["logGroupName"]: each.get("kmsKeyId", "") for each in groups}.get(group) != key:
            yield name
    table_name = stack.deployed.output("TableName")
    table = stack.client("dynamodb").describe_table(TableName=table_name)["Table"]
    found = table.get("SSEDescription", {})
    is_encrypted = found.get("Status") in ("ENABLED", "UPDATING")
    if not is_encrypted or (key and found.get("KMSMasterKeyArn") != key):
        yield "InvitationTable"


def policies(stack: Stack) -> Findings:
    """Compare each policy: a statement more may admit somebody, one less plain http."""
    for name, expected in _expected_policies(stack):
        found = json.loads(stack.attributes(name).get("Policy") or '{"Statement": []}')
        if _shape(found) != _shape(expected):
            drift = f"{_DRIFT} {stack.name} shows how"
            yield wrong(f"its policy differs from the template; {drift}", name)
    yield ok("of queues, topics and secret are as the template has them")


def _expected_policies(stack: Stack) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name of each resource with a policy, and the policy."""
    for stack_id in {each["StackId"] for each in stack.resources.values()}:
        body = stack.client("cloudformation").get_template(
            StackName=stack_id, TemplateStage="Processed"
        )["TemplateBody"]
        # The SDK reads a template in JSON. sam writes the nested one in YAML, without short forms.
        template = yaml.safe_load(body) if isinstance(body, str) else body
        for name, resource in template["Resources"].items():
            properties = resource.get("Properties", {})
            names = [*properties.get("Queues", []), *properties.get("Topics", [])]
            # The condition of a resource that is not in the stack is false.
            if name in stack.resources and "PolicyDocument" in properties:
                yield from ((each["Ref"], properties["PolicyDocument"]) for each in names)
            elif name in stack.resources and "ResourcePolicy" in properties:
                yield "ApiKeySecret", properties["ResourcePolicy"]


def _shape(policy: Mapping[str, Any]) -> list[str]:
    """Return what does not depend on the stack's ARNs."""
    shapes = []
    for statement in policy["Statement"]:
        actions = statement["Action"]
        actions = [actions] if isinstance(actions, str) else actions
        kept = {name: statement.get(name) for name in ("Sid", "Effect", "Principal")}
        kept["Action"] = sorted(each.lower() for each in actions)
        conditions = statement.get("Condition", {})
        kept["Condition"] = {operator: sorted(keys) for operator, keys in conditions.items()}
        shapes.append(json.dumps(kept, sort_keys=True))
    return sorted(shapes)
