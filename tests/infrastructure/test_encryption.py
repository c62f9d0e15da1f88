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
KEEPING = {
    *("AWS::DynamoDB::Table", "AWS::Logs::LogGroup", "AWS::SNS::Topic", "AWS::SQS::Queue"),
    "AWS::SecretsManager::Secret",
}
# Properties that say how a resource is encrypted.
WAYS = "^Kms|Sse|^SSE"
_CONTEXT = "kms:EncryptionContext:aws"


def key_or(otherwise: object) -> dict[str, Any]:
    return {"Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, otherwise]}


def test_whatever_keeps_something_is_encrypted_with_a_key_that_is_given_or_with_awss() -> None:
    """A resource that is added must be encrypted too, or be none that keeps anything."""
    queue = {
        # SQS refuses a queue with both.
        "KmsMasterKeyId": key_or(NOTHING),
        "SqsManagedSseEnabled": {"Fn::If": ["HasKmsKey", NOTHING, True]},
        "KmsDataKeyReusePeriodSeconds": {"Fn::If": ["HasKmsKey", 3600, NOTHING]},
    }
    table = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": key_or(NOTHING)}
    key = {"KmsKeyId": key_or(NOTHING)}
    groups = resources_of_type("AWS::Logs::LogGroup")
    encrypted = {
        name: {way: value for way, value in each["Properties"].items() if re.search(WAYS, way)}
        for name, each in RESOURCES.items()
        if each["Type"] in KEEPING
    }

    assert encrypted == {
        **dict.fromkeys(resources_of_type("AWS::SQS::Queue"), queue),
        **dict.fromkeys(groups, key),
        "InvitationTable": {"SSESpecification": table},
        "ResultTopic": {"KmsMasterKeyId": key_or("alias/aws/sns")},
        # CloudWatch may not use the AWS-managed key; a given one's policy can let it.
        "AlarmTopic": {"KmsMasterKeyId": key_or(NOTHING)},
        "ApiKeySecret": key,
    }
    is_given = {"Fn::Not": [{"Fn::Equals": [{"Ref": "KmsKeyArn"}, ""]}]}
    assert [each["Conditions"]["HasKmsKey"] for each in (TEMPLATE, MONITORING)] == [is_given] * 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_may_use_that_key_through_these_services_and_no_other(name: str) -> None:
    (statement,) = [each for each in statements(name, EVERYTHING_ON) if "kms:" in repr(each)]

    assert statement == {
        "Sid": "UseTheKmsKey",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": KEY_ARN,
        "Condition": {
            "StringEquals": {
                "kms:ViaService": [
                    f"{service}.${{AWS::Region}}.amazonaws.com"
                    for service in ("dynamodb", "secretsmanager", "sns", "sqs")
                ]
            }
        },
    }
    assert "kms:" not in repr(statements(name))


def test_keys_policy_lets_each_service_use_it_for_what_it_delivers_here_alone() -> None:
    """docs/security.md has the policy; physical names begin with the stack's and a hyphen."""
    document = json.loads(key_policy(ACCOUNT="123456789012", REGION="eu-west-1", NAME="stack"))
    here, of_queues = "eu-west-1:123456789012", "arn:aws:sqs:eu-west-1:123456789012:stack-*"
    account, *services = document["Statement"]

    assert account["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert {
        service: each["Condition"]["ArnLike"]
        for each in services
        for service in as_list(each["Principal"]["Service"])
    } == {
        "events.amazonaws.com": {f"{_CONTEXT}:sqs:arn": of_queues},
        "sns.amazonaws.com": {f"{_CONTEXT}:sqs:arn": of_queues},
        "cloudwatch.amazonaws.com": {f"{_CONTEXT}:sns:topicArn": f"arn:aws:sns:{here}:stack-*"},
        "logs.eu-west-1.amazonaws.com": {
            f"{_CONTEXT}:logs:arn": f"arn:aws:logs:{here}:log-group:/aws/lambda/stack-*"
        },
    }
