"""The rules of the examples' templates that the local AWS does not try."""

import re
from typing import Any

import jmespath
import pytest

from tests.documents import REPOSITORY, text_of
from tests.infrastructure.template import arn, load, references

EXAMPLES = REPOSITORY / "examples"
TEMPLATES = {
    str(path.relative_to(EXAMPLES)): load(f"{path.relative_to(REPOSITORY)}")
    for path in EXAMPLES.glob("*/*.yaml")
}
RECEIVER, SENDER = (TEMPLATES[f"other-account/{each}.yaml"] for each in ("receiver", "sender"))
WORKFLOW, FAILED_RESULTS, HTTP, NETWORK = (
    TEMPLATES[f"{each}/template.yaml"]["Resources"]
    for each in ("step-functions", "failed-results", "http", "fixed-address")
)


def allowed(resource: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the actions that a role's policies allow, each with its resource."""
    return [
        (statement["Action"], statement["Resource"])
        for policy in resource["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def senders(policy: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the services that may send to a queue, each with the condition."""
    return [
        (each["Principal"]["Service"], each["Condition"])
        for each in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def test_each_keeps_what_waits_as_long_as_it_can_and_encrypted() -> None:
    queues = [
        (each["Properties"]["MessageRetentionPeriod"], each["Properties"]["SqsManagedSseEnabled"])
        for template in TEMPLATES.values()
        for each in template["Resources"].values()
        if each["Type"] == "AWS::SQS::Queue"
    ]

    assert set(queues) == {(14 * 86_400, True)}


def test_crm_event_filter_finds_one_id_in_a_list() -> None:
    page = text_of("examples/crm-event/README.md")
    (path,) = re.findall(r"`(detail[^`]*\[\?[^`]*)`", page)
    ids = [{"system": "billing", "id": "7"}, {"system": "partoo", "id": "64f0"}]

    assert jmespath.search(path, {"detail": {"contact": {"ids": ids}}}) == "64f0"


def test_other_accounts_bus_takes_events_of_the_crms_account_and_of_no_other() -> None:
    (statement,) = RECEIVER["Resources"]["CrmBus"]["Properties"]["Policy"]["Statement"]

    assert statement["Principal"] == {"AWS": {"Ref": "CrmAccountId"}}
    assert RECEIVER["Parameters"]["CrmAccountId"]["AllowedPattern"] == "^[0-9]{12}$"
    assert statement["Action"] == "events:PutEvents"


def test_other_account_forwards_to_that_bus_alone_and_keeps_what_it_does_not_take() -> None:
    sender = SENDER["Resources"]
    (target,) = sender["ForwardRule"]["Properties"]["Targets"]

    assert target["Arn"] == {"Ref": "ReceiverBusArn"}
    assert target["DeadLetterConfig"] == {"Arn": arn("UndeliveredEvents")}
    assert allowed(sender["ForwardRole"]) == [("events:PutEvents", {"Ref": "ReceiverBusArn"})]
    assert senders(sender["UndeliveredEventsPolicy"]) == [
        ("events.amazonaws.com", {"ArnEquals": {"aws:SourceArn": arn("ForwardRule")}})
    ]


def test_workflow_may_invite_and_read_and_nothing_else() -> None:
    (invite, function), (read, table) = allowed(WORKFLOW["InvitationRole"])

    assert (invite, read) == ("lambda:InvokeFunction", "dynamodb:Query")
    assert function["Fn::Sub"].endswith(":${AWS::AccountId}:function:${ReinviteFunctionName}")
    assert table["Fn::Sub"].endswith(":${AWS::AccountId}:table/${TableName}")


def test_workflow_outlasts_its_request_and_repeats_a_failed_invocation() -> None:
    definition = WORKFLOW["Invitation"]["Properties"]["Definition"]
    invite = definition["States"]["Invite"]
    (milliseconds,) = re.findall(r"\+ (\d+)\)", invite["Arguments"]["Payload"]["not_after"])

    assert definition["TimeoutSeconds"] > int(milliseconds) / 1_000 == 86_400
    assert [each["ErrorEquals"] for each in invite["Retry"]] == [["States.ALL"]]


def test_failed_results_are_published_to_a_queue_that_may_take_them() -> None:
    source = {"ArnEquals": {"aws:SourceArn": {"Ref": "ResultTopicArn"}}}

    assert FAILED_RESULTS["FailedResultsSubscription"]["DependsOn"] == "FailedResultsPolicy"
    assert senders(FAILED_RESULTS["FailedResultsPolicy"]) == [("sns.amazonaws.com", source)]


def test_http_puts_the_body_of_a_signed_call_on_the_queue_and_nothing_else() -> None:
    routes = [
        each["Properties"] for each in HTTP.values() if each["Type"] == "AWS::ApiGatewayV2::Route"
    ]

    assert [each["AuthorizationType"] for each in routes] == ["AWS_IAM"]
    assert HTTP["PutOnQueue"]["Properties"]["RequestParameters"] == {
        "QueueUrl": {"Ref": "RequestQueueUrl"},
        "MessageBody": "$request.body",
    }
    assert allowed(HTTP["PutOnQueueRole"]) == [("sqs:SendMessage", {"Ref": "RequestQueueArn"})]


@pytest.mark.parametrize(("zone", "index"), [("A", 0), ("B", 1)])
def test_network_is_left_by_the_address_of_the_zone(zone: str, index: int) -> None:
    """Else one zone's fault would stop the other, and traffic between them is paid for."""
    private, public, routes = f"PrivateSubnet{zone}", f"PublicSubnet{zone}", f"PrivateRoutes{zone}"
    gateway = f"NatGateway{zone}"

    assert references(NETWORK[f"{private}Routes"]) == {private, routes}
    assert references(NETWORK[f"PrivateRouteOut{zone}"]) == {routes, gateway}
    assert references(NETWORK[gateway]) == {f"Address{zone}", public}
    assert references(NETWORK[f"{public}Routes"]) == {public, "PublicRoutes"}
    assert references(NETWORK["PublicRouteOut"]) == {"PublicRoutes", "InternetGateway"}
    zones = [NETWORK[each]["Properties"]["AvailabilityZone"] for each in (private, public)]
    assert zones == [{"Fn::Select": [index, {"Fn::GetAZs": ""}]}] * 2


def test_second_zone_of_the_network_is_made_only_when_it_is_wanted() -> None:
    template = TEMPLATES["fixed-address/template.yaml"]
    conditions = {name: each["Condition"] for name, each in NETWORK.items() if "Condition" in each}

    assert conditions == {name: "HasZoneB" for name in NETWORK if re.search(r"B(Routes)?$", name)}
    assert template["Parameters"]["Zones"]["Default"] == 1
    for output in ("SubnetIds", "AddressToAllow"):
        condition, both, first = template["Outputs"][output]["Value"]["Fn::If"]
        assert condition == "HasZoneB"
        assert references(both) > references(first)


def test_network_lets_https_out_and_nothing_in() -> None:
    (egress,) = NETWORK["FunctionsSecurityGroup"]["Properties"]["SecurityGroupEgress"]

    assert "SecurityGroupIngress" not in str(NETWORK)
    assert (egress["IpProtocol"], egress["FromPort"], egress["ToPort"]) == ("tcp", 443, 443)
