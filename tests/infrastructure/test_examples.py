"""The rules of the examples' templates that the local AWS does not try."""

import json
import re
from pathlib import Path
from typing import Any

import jmespath
import pytest

from tests.infrastructure.template import PARAMETERS, REPOSITORY, TEMPLATE, load

EXAMPLES = REPOSITORY / "examples"
FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())
PATHS = sorted(str(path.relative_to(REPOSITORY)) for path in EXAMPLES.glob("*/*.yaml"))


def statements(role_or_policy: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        statement
        for policy in role_or_policy["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_has_a_page_that_the_index_names(folder: Path) -> None:
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    assert (folder / "README.md").is_file()
    assert f"]({folder.name}/README.md)" in index


@pytest.mark.parametrize("path", PATHS)
def test_each_says_what_it_takes_and_gives(path: str) -> None:
    template = load(path)
    faces = [*template.get("Parameters", {}).values(), *template["Outputs"].values()]

    assert template["Description"]
    assert all(each["Description"] for each in faces)


@pytest.mark.parametrize("path", PATHS)
def test_what_is_said_to_be_an_output_of_the_application_is_one(path: str) -> None:
    parameters = load(path).get("Parameters", {})
    named = {
        name
        for name, each in parameters.items()
        if each["Description"] == "The output of the same name."
    }

    assert named <= TEMPLATE["Outputs"].keys()


@pytest.mark.parametrize("path", PATHS)
def test_each_keeps_what_waits_as_long_as_it_can_and_encrypted(path: str) -> None:
    queues = [
        each["Properties"]
        for each in load(path)["Resources"].values()
        if each["Type"] == "AWS::SQS::Queue"
    ]

    assert {each["MessageRetentionPeriod"] for each in queues} <= {14 * 86_400}
    assert {each["SqsManagedSseEnabled"] for each in queues} <= {True}


# The CRM's event
CRM_PARAMETERS = json.loads((EXAMPLES / "crm-event/parameters.json").read_text(encoding="utf-8"))


def test_crm_event_sets_parameters_that_exist_and_its_page_names_what_they_are_set_to() -> None:
    page = (EXAMPLES / "crm-event/README.md").read_text(encoding="utf-8")

    assert CRM_PARAMETERS.keys() <= PARAMETERS.keys()
    assert [value for value in CRM_PARAMETERS.values() if f"`{value}`" not in page] == []


def test_crm_event_filter_finds_one_id_in_a_list() -> None:
    page = (EXAMPLES / "crm-event/README.md").read_text(encoding="utf-8")
    (path,) = re.findall(r"`(detail[^`]*\[\?[^`]*)`", page)
    ids = [{"system": "billing", "id": "7"}, {"system": "partoo", "id": "64f0"}]

    assert jmespath.search(path, {"detail": {"contact": {"ids": ids}}}) == "64f0"


# Other account
RECEIVER = load("examples/other-account/receiver.yaml")
SENDER = load("examples/other-account/sender.yaml")


def test_other_account_bus_takes_events_of_the_crms_account_and_of_no_other() -> None:
    bus = RECEIVER["Resources"]["CrmBus"]["Properties"]
    (statement,) = bus["Policy"]["Statement"]

    assert statement["Effect"] == "Allow"
    assert statement["Principal"] == {"AWS": {"Ref": "CrmAccountId"}}
    assert statement["Action"] == "events:PutEvents"
    assert bus["Name"] == {"Ref": "AWS::StackName"}
    assert statement["Resource"]["Sub"].endswith(":event-bus/${AWS::StackName}")


def test_other_account_is_one_account() -> None:
    pattern = RECEIVER["Parameters"]["CrmAccountId"]["AllowedPattern"]

    assert re.fullmatch(pattern, "111122223333")
    assert not re.fullmatch(pattern, "*")


def test_other_account_forwards_whole_events_about_invitations_to_that_bus_alone() -> None:
    resources = SENDER["Resources"]
    rule = resources["ForwardRule"]["Properties"]
    (target,) = rule["Targets"]

    assert rule["EventBusName"] == {"Ref": "CrmBusName"}
    assert rule["EventPattern"] == {
        "source": [{"Ref": "PendingEventSource"}],
        "detail-type": [{"Ref": "PendingEventDetailType"}],
    }
    assert target["Arn"] == {"Ref": "ReceiverBusArn"}
    assert target["RoleArn"] == {"GetAtt": "ForwardRole.Arn"}
    assert not {"Input", "InputPath", "InputTransformer"} & target.keys()
    assert [
        (each["Action"], each["Resource"]) for each in statements(resources["ForwardRole"])
    ] == [("events:PutEvents", {"Ref": "ReceiverBusArn"})]


def test_other_account_loses_no_event_that_this_one_does_not_take() -> None:
    resources = SENDER["Resources"]
    (target,) = resources["ForwardRule"]["Properties"]["Targets"]
    policy = resources["UndeliveredEventsPolicy"]["Properties"]
    (statement,) = policy["PolicyDocument"]["Statement"]

    assert target["DeadLetterConfig"] == {"Arn": {"GetAtt": "UndeliveredEvents.Arn"}}
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"GetAtt": "ForwardRule.Arn"}}}


def test_other_account_and_this_one_speak_of_the_same_events_as_the_crm() -> None:
    defaults = {
        name: SENDER["Parameters"][name]["Default"]
        for name in ("PendingEventSource", "PendingEventDetailType")
    }

    assert defaults.items() <= CRM_PARAMETERS.items()


# Workflow
WORKFLOW_RESOURCES = load("examples/step-functions/template.yaml")["Resources"]
WORKFLOW_DEFINITION = WORKFLOW_RESOURCES["Invitation"]["Properties"]["Definition"]
WORKFLOW_STATES = WORKFLOW_DEFINITION["States"]


def test_workflow_may_invite_and_read_and_nothing_else() -> None:
    allowed = {
        each["Action"]: each["Resource"]["Sub"]
        for each in statements(WORKFLOW_RESOURCES["InvitationRole"])
    }

    assert allowed.keys() == {"lambda:InvokeFunction", "dynamodb:Query"}
    assert allowed["lambda:InvokeFunction"].endswith(":function:${ReinviteFunctionName}")
    assert allowed["dynamodb:Query"].endswith(":table/${TableName}")


def test_workflow_outlasts_the_request() -> None:
    not_after = WORKFLOW_STATES["Invite"]["Arguments"]["Payload"]["not_after"]
    (milliseconds,) = re.findall(r"\+ (\d+)\)", not_after)

    assert int(milliseconds) == 86_400_000
    assert WORKFLOW_DEFINITION["TimeoutSeconds"] > int(milliseconds) / 1_000


def test_workflow_repetition_is_the_same_request() -> None:
    payload = WORKFLOW_STATES["Invite"]["Arguments"]["Payload"]

    assert payload["request_id"] == "{% $states.context.Execution.Name %}"
    (retry,) = WORKFLOW_STATES["Invite"]["Retry"]
    assert retry["ErrorEquals"] == ["States.ALL"]


def test_workflow_waits_outside_the_function() -> None:
    assert WORKFLOW_STATES["Wait"]["Next"] == "LookUp"
    assert WORKFLOW_STATES["LookUp"]["Next"] == "HasResult"
    assert [name for name, each in WORKFLOW_STATES.items() if "lambda" in repr(each)] == ["Invite"]


# Failed results
FAILED_RESULTS_RESOURCES = load("examples/failed-results/template.yaml")["Resources"]


def test_failed_results_are_published_to_a_queue_that_may_take_them() -> None:
    subscription = FAILED_RESULTS_RESOURCES["FailedResultsSubscription"]
    policy = FAILED_RESULTS_RESOURCES[subscription["DependsOn"]]["Properties"]
    (statement,) = policy["PolicyDocument"]["Statement"]

    assert policy["Queues"] == [{"Ref": "FailedResults"}]
    assert statement["Principal"] == {"Service": "sns.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Ref": "ResultTopicArn"}}}


# HTTP
HTTP_RESOURCES = load("examples/http/template.yaml")["Resources"]


def test_http_every_route_wants_a_signature() -> None:
    routes = [
        each["Properties"]
        for each in HTTP_RESOURCES.values()
        if each["Type"] == "AWS::ApiGatewayV2::Route"
    ]

    assert routes
    assert {each["AuthorizationType"] for each in routes} == {"AWS_IAM"}


def test_http_nothing_but_the_body_gets_on_the_queue() -> None:
    integration = HTTP_RESOURCES["PutOnQueue"]["Properties"]

    assert integration["RequestParameters"] == {
        "QueueUrl": {"Ref": "RequestQueueUrl"},
        "MessageBody": "$request.body",
    }


def test_http_may_put_on_that_queue_and_nothing_else() -> None:
    assert [
        (each["Action"], each["Resource"]) for each in statements(HTTP_RESOURCES["PutOnQueueRole"])
    ] == [("sqs:SendMessage", {"Ref": "RequestQueueArn"})]
