"""Permissions: nothing is public, goes over plain http or is allowed wholesale."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.infrastructure.template import (
    FUNCTIONS,
    REPOSITORY,
    RESOURCES,
    as_list,
    expanded,
    resources_of_type,
    statements,
)

IN_THE_CLEAR = {"Bool": {"aws:SecureTransport": "false"}}
# SNS takes these in a topic's policy and refuses `sns:*`, which means more than topics.
TOPIC_ACTIONS = {
    f"sns:{action}"
    for action in (
        "AddPermission",
        "DeleteTopic",
        "GetTopicAttributes",
        "ListSubscriptionsByTopic",
        "Publish",
        "RemovePermission",
        "SetTopicAttributes",
        "Subscribe",
    )
}


# Actions on resources that have no name to give, and why.
UNNAMED_RESOURCES: dict[str, str] = {"sts:AssumeRole": "In a role's own policy: this role."}
# The code needs none of these; SAM's managed policies allow them to the roles on all resources.
DENIED_TO_CODE = {"ec2:*", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}
KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


class Statement(NamedTuple):
    where: str
    body: dict[str, Any]


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every policy document of the templates, wherever it stands."""

    def below(name: str, node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(node, dict) and "Statement" in node:
            yield name, node
        elif isinstance(node, dict | list):
            for child in node.values() if isinstance(node, dict) else node:
                yield from below(name, child)

    for name, resource in RESOURCES.items():
        yield from below(name, resource)


def all_statements() -> Iterator[Statement]:
    for name, document in documents():
        for statement in document["Statement"]:
            body = statement["If"][1] if "If" in statement else statement
            yield Statement(f"{name} {body.get('Sid', 'to assume the role')}", body)


STATEMENTS = list(all_statements())
ALLOWING = {where: body for where, body in STATEMENTS if body["Effect"] == "Allow"}
DENYING = {
    where: body
    for where, body in STATEMENTS
    if body["Effect"] == "Deny" and "FunctionCodePolicy" not in where
}
RESOURCE_POLICIES = {
    name: each["Properties"]
    for name, each in RESOURCES.items()
    if each["Type"].endswith(("::QueuePolicy", "::TopicPolicy", "::ResourcePolicy"))
}


def test_the_statements_are_found() -> None:
    assert {where.split()[0] for where, _ in STATEMENTS} == {
        "ReinviteUserFunction",
        "SweepInvitationsFunction",
        "CheckKeyFunction",
        "ScheduleRole",
        "FunctionCodePolicy",
        "KmsKeyPolicy",
        *RESOURCE_POLICIES,
    }


@pytest.mark.parametrize("where", ALLOWING)
def test_an_action_that_is_allowed_is_named(where: str) -> None:
    assert "*" not in repr(ALLOWING[where]["Action"])
    assert not {"NotAction", "NotResource", "NotPrincipal"} & ALLOWING[where].keys()


@pytest.mark.parametrize("where", ALLOWING)
def test_a_resource_that_is_allowed_is_named(where: str) -> None:
    statement = ALLOWING[where]

    assert "*" not in repr(statement.get("Resource", "*")) or (
        set(as_list(statement["Action"])) <= UNNAMED_RESOURCES.keys()
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_own_policies_name_actions_and_resources(name: str) -> None:
    """As SAM expands its policy templates."""
    own = [each for each in statements(name, KmsKeyArn=KEY_ARN) if each["Effect"] == "Allow"]

    # The template's name for SendMessage and its batches, which are the same permission.
    actions = {action for each in own for action in as_list(each["Action"])} - {"sqs:SendMessage*"}
    assert "*" not in repr(actions)
    assert "*" not in repr([each["Resource"] for each in own])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_code_may_neither_poll_queues_nor_make_network_interfaces(name: str) -> None:
    """The Lambda service may, by SAM's managed policies: it polls and connects for the function."""
    managed = str(expanded()[f"{name}Role"]["Properties"]["ManagedPolicyArns"])
    (denied,) = [each for each in statements(name) if each["Effect"] == "Deny"]

    assert set(denied["Action"]) == DENIED_TO_CODE
    assert denied["Resource"] == "*"
    # Lambda sets the key on calls of the code, and on none of its own calls to SQS and EC2.
    assert denied["Condition"] == {"Null": {"lambda:SourceFunctionArn": "false"}}
    assert ("AWSLambdaSQSQueueExecutionRole" in managed) is (name != "CheckKeyFunction")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_role_has_no_managed_policy_but_those_of_lambda(name: str) -> None:
    managed = {
        each.rsplit("/", 1)[-1]
        for each in expanded()[f"{name}Role"]["Properties"]["ManagedPolicyArns"]
    }

    assert managed <= {
        "AWSLambdaBasicExecutionRole",
        "AWSLambdaSQSQueueExecutionRole",
        "AWSLambdaVPCAccessExecutionRole",
    }


@pytest.mark.parametrize("where", ALLOWING)
def test_nobody_is_let_in_but_a_service_on_behalf_of_this_stack_or_account(where: str) -> None:
    """A principal of the account needs an IAM policy; a service would come for anybody."""
    statement = ALLOWING[where]
    if "Principal" not in statement:
        # A role's own policy.
        return

    assert statement["Principal"].keys() == {"Service"}
    ((operator, condition),) = statement["Condition"].items()
    assert (operator, condition) in (
        ("StringEquals", {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}),
        ("ArnEquals", {"aws:SourceArn": {"GetAtt": "PendingEventRule.Arn"}}),
    )


@pytest.mark.parametrize("where", DENYING)
def test_what_is_denied_is_denied_to_everybody_in_the_clear(where: str) -> None:
    assert DENYING[where]["Principal"] == "*"
    assert DENYING[where]["Condition"] == IN_THE_CLEAR


def test_every_queue_is_reached_over_tls_only() -> None:
    assert denied_in_the_clear("AWS::SQS::QueuePolicy", "Queues", "PolicyDocument") == {
        ("sqs:*", name) for name in resources_of_type("AWS::SQS::Queue")
    }


def test_every_topic_is_reached_over_tls_only() -> None:
    assert denied_in_the_clear("AWS::SNS::TopicPolicy", "Topics", "PolicyDocument") == {
        (action, name) for name in resources_of_type("AWS::SNS::Topic") for action in TOPIC_ACTIONS
    }


def test_a_secret_of_the_stack_is_reached_over_tls_only_and_can_never_be_public() -> None:
    assert RESOURCES["ApiKeySecretPolicy"]["Condition"] == "MakesSecret"
    policy = RESOURCES["ApiKeySecretPolicy"]["Properties"]
    (statement,) = policy["ResourcePolicy"]["Statement"]

    assert policy["SecretId"] == {"GetAtt": "ApiKeySecret.Id"}
    assert policy["BlockPublicPolicy"] is True
    assert (statement["Effect"], statement["Action"]) == ("Deny", "secretsmanager:*")
    # In a secret's own policy: this secret.
    assert statement["Resource"] == "*"


def test_alarms_may_be_published_and_results_only_by_who_has_a_policy_of_their_own() -> None:
    def publishers(name: str) -> list[Any]:
        document = RESOURCE_POLICIES[name]["PolicyDocument"]
        return [each["Principal"] for each in document["Statement"] if each["Effect"] == "Allow"]

    assert publishers("AlarmTopicPolicy") == [{"Service": "cloudwatch.amazonaws.com"}]
    assert publishers("ResultTopicPolicy") == []


@pytest.mark.parametrize("name", RESOURCES)
def test_checkovs_exception_for_a_resource_has_a_reason(name: str) -> None:
    skipped = RESOURCES[name].get("Metadata", {}).get("checkov", {}).get("skip", [])

    assert [each for each in skipped if len(each["comment"].split()) < 5] == []


def test_checkovs_exception_for_all_resources_has_a_reason() -> None:
    lines = (REPOSITORY / ".checkov.yaml").read_text(encoding="utf-8").splitlines()
    exceptions = [place for place, line in enumerate(lines) if line.startswith("  - ")]

    assert exceptions
    assert all(lines[place - 1].startswith("  # ") for place in exceptions)


def denied_in_the_clear(kind: str, attached: str, document: str) -> set[tuple[str, str]]:
    """Pairs of an action and a resource that a policy denies, and is attached to."""
    denied = set()
    for policy in resources_of_type(kind).values():
        to = {each["Ref"] for each in policy[attached]}
        for statement in policy[document]["Statement"]:
            if statement["Effect"] == "Deny" and statement["Condition"] == IN_THE_CLEAR:
                named = {
                    each["Ref"] if "Ref" in each else each["GetAtt"].removesuffix(".Arn")
                    for each in as_list(statement["Resource"])
                }
                denied |= {
                    (action, name) for action in as_list(statement["Action"]) for name in named & to
                }
    return denied
