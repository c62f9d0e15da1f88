"""All that is kept is encrypted: with keys of AWS, or with the one that is given."""

import json
import re
from typing import Any

import pytest

from tests.documents import key_policy
from tests.infrastructure.template import (
    MONITORING,
    PARAMETERS,
    RESOURCES,
    TEMPLATE,
    as_list,
    resources_of_type,
    statements,
)

KEY = {"Ref": "KmsKeyArn"}
KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
NOTHING = {"Ref": "AWS::NoValue"}
FUNCTIONS = resources_of_type("AWS::Serverless::Function")
QUEUES = resources_of_type("AWS::SQS::Queue")
LOG_GROUPS = resources_of_type("AWS::Logs::LogGroup")


def key_or(otherwise: object) -> dict[str, Any]:
    return {"If": ["HasKmsKey", KEY, otherwise]}


def test_whatever_keeps_something_is_encrypted_with_a_key_that_is_given() -> None:
    """A resource that is added must be encrypted too, or be none that keeps anything."""
    encrypted = {name for name, each in RESOURCES.items() if "HasKmsKey" in repr(each)}
    keeping = (
        "AWS::DynamoDB::Table",
        "AWS::Logs::LogGroup",
        "AWS::SNS::Topic",
        "AWS::SQS::Queue",
        "AWS::SecretsManager::Secret",
    )

    assert encrypted - {"KmsKeyPolicy"} == {
        name for name, each in RESOURCES.items() if each["Type"] in keeping
    }
    assert PARAMETERS["KmsKeyArn"]["Default"] == ""
    is_given = {"Not": [{"Equals": [KEY, ""]}]}
    assert [each["Conditions"]["HasKmsKey"] for each in (TEMPLATE, MONITORING)] == [is_given] * 2


@pytest.mark.parametrize(
    ("arn", "allowed"),
    [
        ("", True),
        (KEY_ARN, True),
        ("arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-1234abcd12ab34cd56ef", True),
        # Permissions on an alias's ARN are permissions on nothing.
        ("arn:aws:kms:eu-west-1:123456789012:alias/mine", False),
        ("1234abcd-12ab-34cd-56ef-1234567890ab", False),
        ("arn:aws:kms:eu-west-1:123456789012:key/*", False),
    ],
)
def test_only_a_key_itself_can_be_given(arn: str, allowed: bool) -> None:
    assert bool(re.fullmatch(PARAMETERS["KmsKeyArn"]["AllowedPattern"], arn)) is allowed


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_may_use_that_key_through_these_services_and_no_other(name: str) -> None:
    (statement,) = [each for each in statements(name, KmsKeyArn=KEY_ARN) if "kms:" in repr(each)]

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
    assert not [each for each in statements(name) if "kms:" in repr(each)]


@pytest.mark.parametrize("name", QUEUES)
def test_queue_is_encrypted_one_way_or_the_other(name: str) -> None:
    queue = QUEUES[name]

    # SQS refuses a queue with both.
    assert queue["KmsMasterKeyId"] == key_or(NOTHING)
    assert queue["SqsManagedSseEnabled"] == {"If": ["HasKmsKey", NOTHING, True]}
    assert queue["KmsDataKeyReusePeriodSeconds"] == {"If": ["HasKmsKey", 3600, NOTHING]}


def test_table_topics_secret_and_logs_are_encrypted() -> None:
    assert RESOURCES["InvitationTable"]["Properties"]["SSESpecification"] == {
        "SSEEnabled": True,
        "SSEType": "KMS",
        "KMSMasterKeyId": key_or(NOTHING),
    }
    assert RESOURCES["ResultTopic"]["Properties"]["KmsMasterKeyId"] == key_or("alias/aws/sns")
    # CloudWatch may not use the AWS-managed key; a given one's policy can let it.
    assert RESOURCES["AlarmTopic"]["Properties"]["KmsMasterKeyId"] == key_or(NOTHING)
    assert RESOURCES["ApiKeySecret"]["Properties"]["KmsKeyId"] == key_or(NOTHING)
    assert [each["KmsKeyId"] for each in LOG_GROUPS.values()] == [key_or(NOTHING)] * 3


# The policy of the given key: docs/security.md has it; the deployer gives it to the key.
POLICY = json.loads(key_policy(ACCOUNT="123456789012", REGION="eu-west-1", NAME="stack"))
# Physical names begin with the stack's and a hyphen, log groups' too.
ENCRYPTED = {
    "events.amazonaws.com": ("sqs:arn", "arn:aws:sqs:eu-west-1:123456789012:stack-*"),
    "sns.amazonaws.com": ("sqs:arn", "arn:aws:sqs:eu-west-1:123456789012:stack-*"),
    "cloudwatch.amazonaws.com": ("sns:topicArn", "arn:aws:sns:eu-west-1:123456789012:stack-*"),
    "logs.eu-west-1.amazonaws.com": (
        "logs:arn",
        "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/stack-*",
    ),
}


def test_policy_lets_each_service_use_the_key_for_what_it_delivers_here_alone() -> None:
    account, *services = POLICY["Statement"]

    assert account["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert {
        service: each["Condition"]
        for each in services
        for service in as_list(each["Principal"]["Service"])
    } == {
        service: {"ArnLike": {f"kms:EncryptionContext:aws:{name}": arn}}
        for service, (name, arn) in ENCRYPTED.items()
    }


def test_policy_names_every_service_that_delivers_to_something_encrypted() -> None:
    """Those that the stack's own policies let in, and CloudWatch Logs."""
    let_in = {
        statement["Principal"]["Service"]
        for kind in ("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy")
        for policy in resources_of_type(kind).values()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    }

    assert ENCRYPTED.keys() == {*let_in, "logs.eu-west-1.amazonaws.com"}
