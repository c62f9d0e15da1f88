"""The template's policies, keys and tags as the local AWS carries them out."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
from botocore.exceptions import ClientError

from local.aws import REGION, LocalAws
from tests.documents import key_policy
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside
from tests.infrastructure.template import RESOURCES

REFUSALS = ("AccessDenied", "AccessDeniedException", "AuthorizationError")
# Twelve digits are another account's key to everything there.
ANOTHER_ACCOUNT = {"aws_access_key_id": "111111111111", "aws_secret_access_key": "local"}


class Attempt(NamedTuple):
    """Something that needs a permission, what it is done to, and how."""

    action: str
    resource: str
    call: Callable[[Any, str], Any]


def _send(client: Any, queue_url: str) -> Any:
    # Invalid, so that a request that should not have come through would do nothing.
    return client.send_message(QueueUrl=queue_url, MessageBody="{")


def _publish(client: Any, topic_arn: str) -> Any:
    return client.publish(TopicArn=topic_arn, Message="{}")


def _subscribe(client: Any, topic_arn: str) -> Any:
    queue_arn = "arn:aws:sqs:eu-west-1:000000000000:subscriber"
    return client.subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=queue_arn)


def _read(client: Any, secret_arn: str) -> Any:
    return client.get_secret_value(SecretId=secret_arn)


ATTEMPTS = [
    Attempt("sqs:SendMessage", "RequestQueue", _send),
    Attempt("sqs:SendMessage", "DeadLetterQueue", _send),
    Attempt("sqs:SendMessage", "SweepQueue", _send),
    Attempt("sqs:SendMessage", "SweepDeadLetterQueue", _send),
    Attempt("sns:Publish", "AlarmTopic", _publish),
    Attempt("sns:Subscribe", "ResultTopic", _subscribe),
    Attempt("sns:Subscribe", "AlarmTopic", _subscribe),
    Attempt("secretsmanager:GetSecretValue", "ApiKeySecret", _read),
]
each_attempt = pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda each: "-".join(each[:2]))


@each_attempt
def test_a_user_of_the_account_may_do_what_their_own_policy_says(
    locked: Outside, attempt: Attempt
) -> None:
    with _user(locked.aws, attempt.action) as credentials:
        attempt.call(*_reach(locked, attempt, credentials))


@each_attempt
def test_and_nothing_without_one(locked: Outside, attempt: Attempt) -> None:
    with _user(locked.aws, "sqs:ListQueues") as credentials:
        _assert_refused(attempt, *_reach(locked, attempt, credentials))


@each_attempt
def test_and_nothing_over_plain_http(locked: Outside, attempt: Attempt) -> None:
    with _user(locked.aws, attempt.action) as credentials:
        client, resource = _reach(locked, attempt, credentials)
        client.meta.events.register("before-send", _say_that_it_came_in_the_clear)

        _assert_refused(attempt, client, resource)


@pytest.mark.parametrize(
    "attempt",
    # Secrets of the local AWS are found from their own account only.
    [each for each in ATTEMPTS if each.resource != "ApiKeySecret"],
    ids=lambda each: "-".join(each[:2]),
)
def test_another_account_is_refused(locked: Outside, attempt: Attempt) -> None:
    _assert_refused(attempt, *_reach(locked, attempt, ANOTHER_ACCOUNT))


def test_a_stack_with_a_key_of_ones_own_is_encrypted_with_it_and_works(locked: Outside) -> None:
    key = locked.aws.client("kms").list_keys()["Keys"][0]["KeyArn"]
    attributes = ["KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"]
    queues = [name for name, each in RESOURCES.items() if each["Type"] == "AWS::SQS::Queue"]
    groups = [name for name, each in RESOURCES.items() if each["Type"] == "AWS::Logs::LogGroup"]

    for name in queues:
        queue = locked.sqs.get_queue_attributes(
            QueueUrl=_physical(locked, name), AttributeNames=attributes
        )
        assert queue["Attributes"] == {
            "KmsMasterKeyId": key,
            "KmsDataKeyReusePeriodSeconds": "3600",
        }
    secret = locked.aws.client("secretsmanager").describe_secret(
        SecretId=locked.stack.api_key_secret_arn
    )
    assert secret["KmsKeyId"] == key
    for name in groups:
        (group,) = locked.aws.client("logs").describe_log_groups(
            logGroupNamePrefix=_physical(locked, name)
        )["logGroups"]
        assert group["kmsKeyId"] == key
    assert locked.result(locked.send({"user_id": locked.invited_user()}))["status"] == "sent"


def test_the_local_deployment_leaves_out_nothing_but_what_it_makes_by_api(locked: Outside) -> None:
    there = {each["LogicalResourceId"] for each in _resources(locked)}
    missing = RESOURCES.keys() - there

    # The first one's condition is not met.
    assert missing == {"AlarmSubscription", "ApiKeySecretPolicy"} | {
        # The transform adds a digest of the content to a layer's name.
        "DependenciesLayer"
    }
    policy = locked.aws.client("secretsmanager").get_resource_policy(
        SecretId=locked.stack.api_key_secret_arn
    )["ResourcePolicy"]
    assert json.loads(policy) == RESOURCES["ApiKeySecretPolicy"]["Properties"]["ResourcePolicy"]


def test_what_keeps_something_is_tagged(locked: Outside) -> None:
    tags = {"application": "partoo-reinvite", "environment": "local"}
    tagging = locked.aws.client("resourcegroupstaggingapi")
    pages = tagging.get_paginator("get_resources").paginate(
        TagFilters=[{"Key": key, "Values": [value]} for key, value in tags.items()]
    )
    tagged = {each["ResourceARN"] for page in pages for each in page["ResourceTagMappingList"]}
    kinds = ("Queue", "Topic", "Table", "Function")
    names = [name for name, each in RESOURCES.items() if each["Type"].split("::")[2] in kinds]

    ours = {re.split("[:/]", arn)[-1] for arn in tagged if "locked-" in arn}
    assert ours == {re.split("[:/]", _physical(locked, name))[-1] for name in names}
    # The local AWS keeps these tags and does not find by them.
    secret = locked.aws.client("secretsmanager").describe_secret(
        SecretId=locked.stack.api_key_secret_arn
    )
    assert tags.items() <= {each["Key"]: each["Value"] for each in secret["Tags"]}.items()


@pytest.fixture(scope="module")
def locked(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack that is given a KMS key."""
    policy = key_policy(ACCOUNT="000000000000", REGION=REGION, NAME="locked")
    key = aws.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    with own_stack(aws, deployed_template, "locked", KmsKeyArn=key) as locked:
        yield locked


@contextmanager
def _user(aws: LocalAws, action: str) -> Iterator[dict[str, str]]:
    """Credentials of a user of the account who may do one thing, to anything."""
    iam = aws.client("iam")
    iam.create_user(UserName="somebody")
    allow = {"Effect": "Allow", "Action": action, "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allow]}
    iam.put_user_policy(UserName="somebody", PolicyName="own", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="somebody")["AccessKey"]
    try:
        yield {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        }
    finally:
        iam.delete_access_key(UserName="somebody", AccessKeyId=key["AccessKeyId"])
        iam.delete_user_policy(UserName="somebody", PolicyName="own")
        iam.delete_user(UserName="somebody")


def _reach(stack: Outside, attempt: Attempt, credentials: dict[str, str]) -> tuple[Any, str]:
    service = attempt.action.partition(":")[0]
    client = boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=stack.aws.endpoint_url,
        region_name=REGION,
        verify=str(stack.aws.ca),
        **credentials,
    )
    if attempt.resource == "ApiKeySecret":
        return client, stack.stack.api_key_secret_arn
    return client, _physical(stack, attempt.resource)


def _assert_refused(attempt: Attempt, client: Any, resource: str) -> None:
    with pytest.raises(ClientError) as refusal:
        attempt.call(client, resource)
    assert refusal.value.response["Error"]["Code"] in REFUSALS


def _say_that_it_came_in_the_clear(request: Any, **_: object) -> None:
    """As whoever ends TLS in front of the local AWS would say it: it speaks nothing else itself."""
    request.headers["X-Forwarded-Proto"] = "http"


def _resources(stack: Outside) -> list[dict[str, Any]]:
    answer = stack.aws.client("cloudformation").describe_stack_resources(StackName=stack.stack.name)
    resources: list[dict[str, Any]] = answer["StackResources"]
    return resources


def _physical(stack: Outside, name: str) -> str:
    (found,) = [each for each in _resources(stack) if each["LogicalResourceId"] == name]
    physical: str = found["PhysicalResourceId"]
    return physical
