"""The template's policies on the local AWS, in a stack with a KMS key."""

import json
from collections.abc import Callable, Iterator
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


# One for each kind of policy; the template's tests show that all queues and topics have theirs.
ATTEMPTS = [
    Attempt("sqs:SendMessage", "RequestQueue", _send),
    Attempt("sqs:SendMessage", "SweepQueue", _send),
    Attempt("sns:Publish", "AlarmTopic", _publish),
    Attempt("sns:Subscribe", "ResultTopic", _subscribe),
    Attempt("secretsmanager:GetSecretValue", "ApiKeySecret", _read),
]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda each: "-".join(each[:2]))
def test_user_of_the_account_needs_a_policy_of_their_own_and_tls(
    locked: Outside, attempt: Attempt
) -> None:
    with locked.user_with_permission(attempt.action) as credentials:
        client, resource = _reach(locked, attempt, credentials)
        attempt.call(client, resource)
        client.meta.events.register("before-send", _mark_as_plain_http)
        _assert_refused(attempt, client, resource)
    with locked.user_with_permission("sqs:ListQueues") as credentials:
        _assert_refused(attempt, *_reach(locked, attempt, credentials))


@pytest.mark.parametrize(
    "attempt",
    # The local AWS finds secrets from their own account only.
    [each for each in ATTEMPTS if each.resource != "ApiKeySecret"],
    ids=lambda each: "-".join(each[:2]),
)
def test_another_account_is_refused(locked: Outside, attempt: Attempt) -> None:
    _assert_refused(attempt, *_reach(locked, attempt, ANOTHER_ACCOUNT))


def test_stack_with_a_kms_key_works(locked: Outside) -> None:
    """The template's tests show that all it keeps is encrypted with that key."""
    key = locked.aws.client("kms").list_keys()["Keys"][0]["KeyArn"]
    queue = locked.sqs.get_queue_attributes(
        QueueUrl=locked.stack.request_queue_url, AttributeNames=["KmsMasterKeyId"]
    )

    assert queue["Attributes"] == {"KmsMasterKeyId": key}
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


@pytest.fixture(scope="module")
def locked(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack with a KMS key."""
    policy = key_policy(ACCOUNT="000000000000", REGION=REGION, NAME="locked")
    key = aws.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]
    with own_stack(aws, deployed_template, "locked", KmsKeyArn=key) as locked:
        yield locked


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
    return client, stack.physical_id(attempt.resource)


def _assert_refused(attempt: Attempt, client: Any, resource: str) -> None:
    with pytest.raises(ClientError) as refusal:
        attempt.call(client, resource)
    assert refusal.value.response["Error"]["Code"] in REFUSALS


def _mark_as_plain_http(request: Any, **_: object) -> None:
    """Add the header of a TLS proxy, because the local AWS itself serves https only."""
    request.headers["X-Forwarded-Proto"] = "http"
