"""Encryption, backups and policies: whether they are as the template has them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from ops.checks.stack import Findings, Stack, look, or_ok, wrong

_DRIFT = "aws cloudformation detect-stack-drift --stack-name"
Statements = list[dict[str, Any]]


def storage(stack: Stack) -> Findings:
    """Nothing fails without these, so a difference is for a person to judge."""
    faults = [
        look(name, f"{text}, unlike the template; {_DRIFT} {stack.name} shows what else differs")
        for name, text in _differences(stack)
    ]
    yield from or_ok(faults, "encryption", "and backups are as the template has them")


def _differences(stack: Stack) -> Iterator[tuple[str, str]]:
    key = stack.deployed.parameters["KmsKeyArn"]
    for name, found, expected in _encryption(stack, key):
        if found != expected:
            yield name, "its encryption differs"
    yield from _differences_of_the_table(stack, key)


def _encryption(stack: Stack, key: str) -> Iterator[tuple[str, object, object]]:
    """Yield how each resource is encrypted, and how the template has it."""
    for name, url in stack.of_kind("SQS::Queue").items():
        found = stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        attributes = found["Attributes"]
        by_sqs = attributes.get("SqsManagedSseEnabled") == "true"
        yield name, (attributes.get("KmsMasterKeyId", ""), by_sqs), (key, not key)
    for name, expected in (("ResultTopic", key or "alias/aws/sns"), ("AlarmTopic", key)):
        topic = stack.client("sns").get_topic_attributes(TopicArn=stack.resources[name].physical_id)
        yield name, topic["Attributes"].get("KmsMasterKeyId", ""), expected
    for name, group in stack.of_kind("Logs::LogGroup").items():
        groups = stack.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        keys = {each["logGroupName"]: each.get("kmsKeyId", "") for each in groups}
        yield name, keys.get(group), key
    for name, secret in stack.of_kind("SecretsManager::Secret").items():
        found = stack.client("secretsmanager").describe_secret(SecretId=secret)
        yield name, found.get("KmsKeyId", ""), key


def _differences_of_the_table(stack: Stack, key: str) -> Iterator[tuple[str, str]]:
    name, tables = "InvitationTable", stack.client("dynamodb")
    table = {"TableName": stack.deployed.output("TableName")}
    described = tables.describe_table(**table)["Table"]
    encryption = described.get("SSEDescription", {})
    if encryption.get("Status") not in ("ENABLED", "UPDATING") or (
        key and encryption.get("KMSMasterKeyArn") != key
    ):
        yield name, "its encryption differs"
    protected = stack.deployed.parameters["DeletionProtection"] == "true"
    if described.get("DeletionProtectionEnabled", False) is not protected:
        yield name, "its protection from deletion differs"
    backups = tables.describe_continuous_backups(**table)["ContinuousBackupsDescription"]
    if backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] != "ENABLED":
        yield name, "it has no backups"
    expiry = tables.describe_time_to_live(**table)["TimeToLiveDescription"]
    if expiry["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        yield name, "its items never expire"


def policies(stack: Stack) -> Findings:
    """A statement more may admit somebody, a statement less may admit plain http."""
    faults = []
    for name, expected in _expected_statements(stack):
        found = [_shape(each) for each in _statements(stack, name)]
        if sorted(found) != sorted(_shape(each) for each in expected):
            text = f"its policy differs from the template; {_DRIFT} {stack.name} shows how"
            faults.append(wrong(name, text))
    yield from or_ok(
        faults, "policies", "of queues, topics and secret are as the template has them"
    )


def _expected_statements(stack: Stack) -> Iterator[tuple[str, Statements]]:
    """Yield the name of each resource with a policy, and the policy's statements."""
    for stack_id in {each.stack_id for each in stack.resources.values()}:
        body = stack.client("cloudformation").get_template(
            StackName=stack_id, TemplateStage="Processed"
        )["TemplateBody"]
        # The SDK reads a template in JSON. sam writes the nested one in YAML, without short forms.
        template = yaml.safe_load(body) if isinstance(body, str) else body
        for name, resource in template["Resources"].items():
            if name not in stack.resources:
                # Its condition is false.
                continue
            match resource.get("Properties"):
                case {"Queues": names, "PolicyDocument": document}:
                    yield from ((each["Ref"], document["Statement"]) for each in names)
                case {"Topics": names, "PolicyDocument": document}:
                    yield from ((each["Ref"], document["Statement"]) for each in names)
                case {"SecretId": _, "ResourcePolicy": document}:
                    yield "ApiKeySecret", document["Statement"]


def _statements(stack: Stack, name: str) -> Statements:
    kind, physical_id = stack.resources[name].kind, stack.resources[name].physical_id
    match kind:
        case "SQS::Queue":
            sqs, names = stack.client("sqs"), ["Policy"]
            queue = sqs.get_queue_attributes(QueueUrl=physical_id, AttributeNames=names)
            text = queue.get("Attributes", {}).get("Policy")
        case "SNS::Topic":
            topic = stack.client("sns").get_topic_attributes(TopicArn=physical_id)
            text = topic["Attributes"].get("Policy")
        case _:
            secrets = stack.client("secretsmanager")
            text = secrets.get_resource_policy(SecretId=physical_id).get("ResourcePolicy")
    statements: Statements = json.loads(text or "{}").get("Statement", [])
    return statements


def _shape(statement: Mapping[str, Any]) -> str:
    """Return what does not depend on the stack's ARNs."""
    actions = statement["Action"]
    actions = [actions] if isinstance(actions, str) else actions
    conditions = statement.get("Condition", {})
    kept = {name: statement.get(name) for name in ("Sid", "Effect", "Principal")}
    kept["Action"] = sorted(each.lower() for each in actions)
    kept["Condition"] = {operator: sorted(keys) for operator, keys in conditions.items()}
    return json.dumps(kept, sort_keys=True)
