"""All that is kept is encrypted: with keys of AWS, or with the one that is given."""

import json
import re
from typing import Any

import pytest

from tests.documents import key_policy
from tests.infrastructure.template import (
    EVERYTHING_ON,
    FUNCTIONS,
    KEY_ARN,
    MONITORING,
    RESOURCES,
    TEMPLATE,
    as_list,
    resources_of_type,
    statements,
)

NOTHING = {"Ref": "AWS::NoValue"}
# The property that names the key, of each type that keeps something.
KEY_PROPERTIES = {
    "AWS::DynamoDB::Table": "KMSMasterKeyId",
    "AWS::Logs::LogGroup": "KmsKeyId",
    "AWS::SNS::Topic": "KmsMasterKeyId",
    "AWS::SQS::Queue": "KmsMasterKeyId",
    "AWS::SecretsManager::Secret": "KmsKeyId",
}


def key_of(resource: dict[str, Any]) -> Any:
    properties = resource["Properties"]
    return properties.get("SSESpecification", properties)[KEY_PROPERTIES[resource["Type"]]]


def test_whatever_keeps_something_is_encrypted_with_the_key_that_is_given_or_with_awss() -> None:
    """A resource that is added must be encrypted too, or be none that keeps anything."""
    keys = {
        name: key_of(each) for name, each in RESOURCES.items() if each["Type"] in KEY_PROPERTIES
    }
    # CloudWatch may not use this key, so the topic of the alarms has none unless one is given.
    awss = {"ResultTopic": "alias/aws/sns"}
    by_sqs = [
        each["SqsManagedSseEnabled"] for each in resources_of_type("AWS::SQS::Queue").values()
    ]
    table = RESOURCES["InvitationTable"]["Properties"]["SSESpecification"]

    assert keys == {
        name: {"Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, awss.get(name, NOTHING)]}
        for name in keys
    }
    # SQS refuses a queue with both.
    assert by_sqs == [{"Fn::If": ["HasKmsKey", NOTHING, True]}] * len(by_sqs)
    assert (table["SSEEnabled"], table["SSEType"]) == (True, "KMS")
    is_given = {"Fn::Not": [{"Fn::Equals": [{"Ref": "KmsKeyArn"}, ""]}]}
    assert [each["Conditions"]["HasKmsKey"] for each in (TEMPLATE, MONITORING)] == [is_given] * 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_may_use_that_key_alone_and_through_the_services_it_calls(name: str) -> None:
    (statement,) = [each for each in statements(name, EVERYTHING_ON) if "kms:" in repr(each)]
    services = statement["Condition"]["StringEquals"]["kms:ViaService"]

    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert statement["Resource"] == KEY_ARN
    assert {each.partition(".")[0] for each in services} == {
        *("dynamodb", "secretsmanager", "sns", "sqs")
    }
    assert "kms:" not in repr(statements(name))


def test_keys_policy_lets_services_use_it_for_what_they_deliver_to_the_stack_alone() -> None:
    """docs/security.md has the policy; physical names begin with the stack's and a hyphen."""
    document = json.loads(key_policy(ACCOUNT="123456789012", REGION="eu-west-1", NAME="stack"))
    account, *services = document["Statement"]

    assert account["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert {name for each in services for name in as_list(each["Principal"]["Service"])} == {
        *("events.amazonaws.com", "sns.amazonaws.com", "cloudwatch.amazonaws.com"),
        "logs.eu-west-1.amazonaws.com",
    }
    contexts = [each["Condition"]["ArnLike"] for each in services]
    assert all(
        re.fullmatch(r"arn:aws:\w+:eu-west-1:123456789012:(log-group:/aws/lambda/)?stack-\*", value)
        for context in contexts
        for value in context.values()
    )
