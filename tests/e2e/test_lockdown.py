"""The template's policies, keys and tags on the local AWS."""

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
# The local AWS takes twelve digits for an account with all permissions.
ANOTHER_ACCOUNT = {"aws_access_key_id": "111111111111", "aws_secret_access_key": "local"}


class Attempt(NamedTuple):
    """A call that needs a permission, and the resource that it needs it for."""

    action: str
    resource: str
    call: Callable[[Any, str], Any]


def _send(client: Any, queue_url: str) -> Any:
    # Invalid, so that a message that is wrongly accepted does nothing.
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
    Attempt("sqs:SendMessage", "RetryQueue", _send),
    Attempt("sqs:SendMessage", "BulkQueue", _send),
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
def test_user_of_the_account_needs_a_policy_of_their_own(locked: Outside, attempt: Attempt) -> None:
    with _user(locked.aws, attempt.action) as credentials:
        attempt.call(*_reach(locked, attempt, credentials))


@each_attempt
def test_user_without_a_policy_is_refused(locked: Outside, attempt: Attempt) -> None:
    with _user(locked.aws, "sqs:ListQueues") as credentials:
        _assert_refused(attempt, *_reach(locked, attempt, credentials))


@each_attempt
def test_call_over_plain_http_is_refused(locked: Outside, attempt: Attempt) -> None:
    with _user(locked.aws, attempt.action) as credentials:
        client, resource = _reach(locked, attempt, credentials)
        client.meta.events.register("before-send", _mark_as_plain_http)

        _assert_refused(attempt, client, resource)


@pytest.mark.parametrize(
    "attempt",
    # The local AWS finds secrets from their own account only.
    [each for each in ATTEMPTS if each.resource != "ApiKeySecret"],
    ids=lambda each: "-".join(each[:2]),
)
def test_another_account_is_refused(locked: Outside, attempt: Attempt) -> None:
    _assert_refused(attempt, *_reach(locked, attempt, ANOTHER_ACCOUNT))


def test_stack_with_a_kms_key_is_encrypted_with_it_and_works(locked: Outside) -> None:
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


def test_local_deployment_has_all_resources_of_the_template(locked: Outside) -> None:
    deployed = {each["LogicalResourceId"] for each in locked.resources()}
    missing = RESOURCES.keys() - deployed

    # The condition of AlarmSubscription is false, and the secret's policy is set by API.
    assert missing == {"AlarmSubscription", "ApiKeySecretPolicy"} | {
        # The transform adds a digest of the content to a layer's name.
        "DependenciesLayer"
    }
    policy = locked.aws.client("secretsmanager").get_resource_policy(
        SecretId=locked.stack.api_key_secret_arn
    )["ResourcePolicy"]
    assert json.loads(policy) == RESOURCES["ApiKeySecretPolicy"]["Properties"]["ResourcePolicy"]


def test_stateful_resources_are_tagged(locked: Outside) -> None:
    tags = {"application": "partoo-reinvite", "environment": "local"}
    tagging = locked.aws.client("resourcegroupstaggingapi")
    pages = tagging.get_paginator("get_resources").paginate(
        TagFilters=[{"Key": key, "Values": [value]} for key, value in tags.items()]
    )
    tagged = {each["ResourceARN"] for page in pages for each in page["ResourceTagMappingList"]}
    kinds = ("Queue", "Topic", "Table", "Function", "ScheduleGroup")
    names = [name for name, each in RESOURCES.items() if each["Type"].split("::")[2] in kinds]

    ours = {re.split("[:/]", arn)[-1] for arn in tagged if "locked-" in arn}
    assert ours == {re.split("[:/]", _physical(locked, name))[-1] for name in names}
    # The local AWS keeps the tags of secrets and cannot search for them.
    secret = locked.aws.client("secretsmanager").describe_secret(
        SecretId=locked.stack.api_key_secret_arn
    )
    assert tags.items() <= {each["Key"]: each["Value"] for each in secret["Tags"]}.items()


@pytest.fixture(scope="module")
def locked(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack with a KMS key."""
    policy = key_policy(ACCOUNT="000000000000", REGION=REGION, NAME="locked")
    key = aws.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    with own_stack(aws, deployed_template, "locked", KmsKeyArn=key) as locked:
        yield locked


@contextmanager
def _user(aws: LocalAws, action: str) -> Iterator[dict[str, str]]:
    """Credentials of a user of the account with permission for one action on all resources."""
    iam = aws.client("iam")
    iam.create_user(UserName="operator")
    allow = {"Effect": "Allow", "Action": action, "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allow]}
    iam.put_user_policy(UserName="operator", PolicyName="own", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    try:
        yield {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        }
    finally:
        iam.delete_access_key(UserName="operator", AccessKeyId=key["AccessKeyId"])
        iam.delete_user_policy(UserName="operator", PolicyName="own")
        iam.delete_user(UserName="operator")


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


def _mark_as_plain_http(request: Any, **_: object) -> None:
    """Add the header of a TLS proxy, because the local AWS itself serves https only."""
    request.headers["X-Forwarded-Proto"] = "http"


def _physical(stack: Outside, name: str) -> str:
    (found,) = [each for each in stack.resources() if each["LogicalResourceId"] == name]
    physical: str = found["PhysicalResourceId"]
    return physical
