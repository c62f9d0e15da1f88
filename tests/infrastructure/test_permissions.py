"""Permissions: nothing is public, goes over plain http or is allowed wholesale."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.documents import text_of
from tests.infrastructure.template import (
    EVERYTHING_ON,
    FUNCTIONS,
    RESOURCES,
    SECRET_ARN,
    arn,
    as_list,
    expanded,
    references,
    resources_of_type,
    statements,
)

# SNS refuses `sns:*` in a topic's policy; with these, messages get in and out.
OVER_TLS = {"sqs:*", "secretsmanager:*", "sns:Publish", "sns:Subscribe"}
IN_THIS_ACCOUNT = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
# All services that are let in: their action, the resources, and on whose behalf.
LET_IN = {
    "OnlyThePendingEventRule": (
        "events",
        "sqs:SendMessage",
        {"RequestQueue", "DeadLetterQueue"},
        {"ArnEquals": {"aws:SourceArn": arn("PendingEventRule")}},
    ),
    "OnlyTopicsOfThisAccount": ("sns", "sqs:SendMessage", {"RequestQueue"}, IN_THIS_ACCOUNT),
    "OnlyAlarmsOfThisAccount": ("cloudwatch", "sns:Publish", {"AlarmTopic"}, IN_THIS_ACCOUNT),
    "ScheduleRole": ("scheduler", "sts:AssumeRole", set[str](), IN_THIS_ACCOUNT),
}


def below(node: Any) -> Iterator[dict[str, Any]]:
    """Yield each statement of a part of a template, wherever it stands."""
    match node:
        case {"Statement": list(found)}:
            yield from found
        case dict():
            yield from below(list(node.values()))
        case list():
            yield from (statement for each in node for statement in below(each))


STATEMENTS = [(name, each) for name, resource in RESOURCES.items() for each in below(resource)]


@pytest.mark.parametrize(
    ("name", "topics", "queues"),
    [
        ("ReinviteUserFunction", {"ResultTopic"}, {"DeadLetterQueue", "RetryQueue", "BulkQueue"}),
        (
            "SweepInvitationsFunction",
            {"ResultTopic"},
            {"SweepDeadLetterQueue", "BulkQueue", "SweepQueue"},
        ),
        ("CheckKeyFunction", set(), set()),
    ],
)
def test_function_may_do_these_things_and_no_others(
    name: str, topics: set[str], queues: set[str]
) -> None:
    allowed: dict[str, set[str]] = {"sns:Publish": set(), "sqs:SendMessage": set()}
    for each in _allowing(statements(name)):
        # The policy template's name for SendMessage and its batches.
        for action in [action.removesuffix("*") for action in as_list(each["Action"])]:
            allowed.setdefault(action, set()).update(references(each["Resource"]))

    assert allowed == {
        "dynamodb:BatchGetItem": {"InvitationTable"},
        "dynamodb:PutItem": {"InvitationTable"},
        "secretsmanager:GetSecretValue": {"ApiKeySecret"},
        "sns:Publish": topics,
        "sqs:SendMessage": queues,
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_reads_the_secret_that_is_given(name: str) -> None:
    (statement,) = [
        each for each in statements(name, EVERYTHING_ON) if "GetSecretValue" in str(each["Action"])
    ]

    assert SECRET_ARN in str(statement["Resource"])
    assert references(statement["Resource"]) == set()


def test_check_of_the_key_may_touch_the_rate_limiters_item_alone() -> None:
    (statement,) = [each for each in statements("CheckKeyFunction") if "dynamodb" in str(each)]

    assert statement["Condition"] == {
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["LIMITER"]}
    }
    assert '("LIMITER", "LIMITER")' in text_of("functions/invitations/rate_limiter.py")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_code_may_neither_poll_queues_nor_make_network_interfaces(name: str) -> None:
    """Lambda does both for the function, by SAM's managed policies."""
    managed = expanded()[f"{name}Role"]["Properties"]["ManagedPolicyArns"]
    (denied,) = [each for each in statements(name) if each["Effect"] == "Deny"]

    assert {each.rpartition("/AWSLambda")[2] for each in managed} <= {
        *("BasicExecutionRole", "SQSQueueExecutionRole", "VPCAccessExecutionRole")
    }
    assert {"ec2:*", "sqs:ReceiveMessage", "sqs:DeleteMessage"} <= {*denied["Action"]}
    assert denied["Resource"] == "*"
    # Lambda sets the key on calls of the code, and on none of its own calls to SQS and EC2.
    assert denied["Condition"] == {"Null": {"lambda:SourceFunctionArn": "false"}}


def test_schedules_may_start_the_two_functions_and_do_nothing_else() -> None:
    policies = RESOURCES["ScheduleRole"]["Properties"]["Policies"]

    assert [(each["Action"], each["Resource"]) for each in below(policies)] == [
        ("lambda:InvokeFunction", [arn("SweepInvitationsFunction"), arn("CheckKeyFunction")])
    ]


def test_whatever_is_allowed_is_named() -> None:
    """Also what SAM makes of the functions' policies."""
    of_functions = [each for name in FUNCTIONS for each in statements(name, EVERYTHING_ON)]
    allowing = _allowing([*of_functions, *(each for _, each in STATEMENTS)])

    texts = [str((each["Action"], each.get("Resource"))) for each in allowing]
    assert [each for each in texts if "*" in each.replace("sqs:SendMessage*", "")] == []


def test_nobody_is_let_in_but_these_services_on_behalf_of_this_account() -> None:
    """A principal of the account needs an IAM policy; a service would come for anybody."""
    let_in = {
        each.get("Sid", name): (
            each["Principal"]["Service"].removesuffix(".amazonaws.com"),
            each["Action"],
            references(each.get("Resource", [])),
            each["Condition"],
        )
        for name, each in STATEMENTS
        if "Principal" in each and each["Effect"] == "Allow"
    }

    assert let_in == LET_IN


def test_every_queue_topic_and_secret_is_reached_over_tls_only_and_the_secret_never_public() -> (
    None
):
    denied = {
        (action, name)
        for policy, each in STATEMENTS
        if each["Effect"] == "Deny"
        and each.get("Principal") == "*"
        and each["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for action in OVER_TLS & {*as_list(each["Action"])}
        # Attached to them, too. In a secret's own policy, "*" is this secret.
        for name in _attached(RESOURCES[policy]["Properties"])
        & (references(each["Resource"]) or {"ApiKeySecret"})
    }

    queues, topics = (resources_of_type(f"AWS::{kind}") for kind in ("SQS::Queue", "SNS::Topic"))
    assert denied == {
        *(("sqs:*", name) for name in queues),
        *((action, name) for name in topics for action in ("sns:Publish", "sns:Subscribe")),
        ("secretsmanager:*", "ApiKeySecret"),
    }
    assert RESOURCES["ApiKeySecretPolicy"]["Properties"]["BlockPublicPolicy"] is True


def _attached(policy: dict[str, Any]) -> set[str]:
    return references([policy.get(each) for each in ("Queues", "Topics", "SecretId")])


def _allowing(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for each in found if each["Effect"] == "Allow"]
