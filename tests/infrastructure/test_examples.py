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


class TestCrmEvent:
    PARAMETERS = json.loads((EXAMPLES / "crm-event/parameters.json").read_text(encoding="utf-8"))

    def test_sets_parameters_that_exist(self) -> None:
        assert self.PARAMETERS.keys() <= PARAMETERS.keys()

    def test_the_page_names_what_the_file_sets(self) -> None:
        page = (EXAMPLES / "crm-event/README.md").read_text(encoding="utf-8")

        assert [value for value in self.PARAMETERS.values() if f"`{value}`" not in page] == []

    def test_a_filter_finds_one_id_in_a_list(self) -> None:
        page = (EXAMPLES / "crm-event/README.md").read_text(encoding="utf-8")
        (path,) = re.findall(r"`(detail[^`]*\[\?[^`]*)`", page)
        ids = [{"system": "billing", "id": "7"}, {"system": "partoo", "id": "64f0"}]

        assert jmespath.search(path, {"detail": {"contact": {"ids": ids}}}) == "64f0"


class TestOtherAccount:
    RECEIVER = load("examples/other-account/receiver.yaml")
    SENDER = load("examples/other-account/sender.yaml")

    def test_the_bus_takes_events_of_the_crms_account_and_of_no_other(self) -> None:
        bus = self.RECEIVER["Resources"]["CrmBus"]["Properties"]
        (statement,) = bus["Policy"]["Statement"]

        assert statement["Effect"] == "Allow"
        assert statement["Principal"] == {"AWS": {"Ref": "CrmAccountId"}}
        assert statement["Action"] == "events:PutEvents"
        assert bus["Name"] == {"Ref": "AWS::StackName"}
        assert statement["Resource"]["Sub"].endswith(":event-bus/${AWS::StackName}")

    def test_the_account_is_one_account(self) -> None:
        pattern = self.RECEIVER["Parameters"]["CrmAccountId"]["AllowedPattern"]

        assert re.fullmatch(pattern, "111122223333")
        assert not re.fullmatch(pattern, "*")

    def test_the_rule_forwards_to_that_bus_and_may_do_nothing_else(self) -> None:
        resources = self.SENDER["Resources"]
        (target,) = resources["ForwardRule"]["Properties"]["Targets"]

        assert target["Arn"] == {"Ref": "ReceiverBusArn"}
        assert target["RoleArn"] == {"GetAtt": "ForwardRole.Arn"}
        assert [
            (each["Action"], each["Resource"]) for each in statements(resources["ForwardRole"])
        ] == [("events:PutEvents", {"Ref": "ReceiverBusArn"})]

    def test_the_rule_forwards_what_asks_for_an_invitation(self) -> None:
        rule = self.SENDER["Resources"]["ForwardRule"]["Properties"]

        assert rule["EventBusName"] == {"Ref": "CrmBusName"}
        assert rule["EventPattern"] == {
            "source": [{"Ref": "PendingEventSource"}],
            "detail-type": [{"Ref": "PendingEventDetailType"}],
        }

    def test_the_rule_loses_no_event_that_the_other_account_does_not_take(self) -> None:
        resources = self.SENDER["Resources"]
        (target,) = resources["ForwardRule"]["Properties"]["Targets"]
        policy = resources["UndeliveredEventsPolicy"]["Properties"]
        (statement,) = policy["PolicyDocument"]["Statement"]

        assert target["DeadLetterConfig"] == {"Arn": {"GetAtt": "UndeliveredEvents.Arn"}}
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Condition"] == {
            "ArnEquals": {"aws:SourceArn": {"GetAtt": "ForwardRule.Arn"}}
        }

    def test_the_event_is_forwarded_whole(self) -> None:
        (target,) = self.SENDER["Resources"]["ForwardRule"]["Properties"]["Targets"]

        assert not {"Input", "InputPath", "InputTransformer"} & target.keys()

    def test_both_accounts_speak_of_the_same_events_as_the_crm(self) -> None:
        defaults = {
            name: self.SENDER["Parameters"][name]["Default"]
            for name in ("PendingEventSource", "PendingEventDetailType")
        }

        assert defaults.items() <= TestCrmEvent.PARAMETERS.items()


class TestStepFunctions:
    RESOURCES = load("examples/step-functions/template.yaml")["Resources"]
    DEFINITION = RESOURCES["Invitation"]["Properties"]["Definition"]
    STATES = DEFINITION["States"]

    def test_may_invite_and_read_and_nothing_else(self) -> None:
        allowed = {
            each["Action"]: each["Resource"]["Sub"]
            for each in statements(self.RESOURCES["InvitationRole"])
        }

        assert allowed.keys() == {"lambda:InvokeFunction", "dynamodb:Query"}
        assert allowed["lambda:InvokeFunction"].endswith(":function:${ReinviteFunctionName}")
        assert allowed["dynamodb:Query"].endswith(":table/${TableName}")

    def test_outlasts_the_request(self) -> None:
        not_after = self.STATES["Invite"]["Arguments"]["Payload"]["not_after"]
        (milliseconds,) = re.findall(r"\+ (\d+)\)", not_after)

        assert int(milliseconds) == 86_400_000
        assert self.DEFINITION["TimeoutSeconds"] > int(milliseconds) / 1_000

    def test_a_repetition_is_the_same_request(self) -> None:
        payload = self.STATES["Invite"]["Arguments"]["Payload"]

        assert payload["request_id"] == "{% $states.context.Execution.Name %}"
        (retry,) = self.STATES["Invite"]["Retry"]
        assert retry["ErrorEquals"] == ["States.ALL"]

    def test_waits_outside_the_function(self) -> None:
        assert self.STATES["Wait"]["Next"] == "LookUp"
        assert self.STATES["LookUp"]["Next"] == "HasResult"
        assert [name for name, each in self.STATES.items() if "lambda" in repr(each)] == ["Invite"]


class TestFailedResults:
    RESOURCES = load("examples/failed-results/template.yaml")["Resources"]

    def test_nothing_is_published_to_a_queue_that_may_not_take_it(self) -> None:
        subscription = self.RESOURCES["FailedResultsSubscription"]
        policy = self.RESOURCES[subscription["DependsOn"]]["Properties"]
        (statement,) = policy["PolicyDocument"]["Statement"]

        assert policy["Queues"] == [{"Ref": "FailedResults"}]
        assert statement["Principal"] == {"Service": "sns.amazonaws.com"}
        assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Ref": "ResultTopicArn"}}}


class TestHttp:
    RESOURCES = load("examples/http/template.yaml")["Resources"]

    def test_every_route_wants_a_signature(self) -> None:
        routes = [
            each["Properties"]
            for each in self.RESOURCES.values()
            if each["Type"] == "AWS::ApiGatewayV2::Route"
        ]

        assert routes
        assert {each["AuthorizationType"] for each in routes} == {"AWS_IAM"}

    def test_nothing_but_the_body_gets_on_the_queue(self) -> None:
        integration = self.RESOURCES["PutOnQueue"]["Properties"]

        assert integration["RequestParameters"] == {
            "QueueUrl": {"Ref": "RequestQueueUrl"},
            "MessageBody": "$request.body",
        }

    def test_may_put_on_that_queue_and_nothing_else(self) -> None:
        assert [
            (each["Action"], each["Resource"])
            for each in statements(self.RESOURCES["PutOnQueueRole"])
        ] == [("sqs:SendMessage", {"Ref": "RequestQueueArn"})]
