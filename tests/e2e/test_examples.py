"""Deploys the examples with the commands of their READMEs, beside a stack that they need."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws
from local.partoo.control import Answer
from local.stack import sam
from tests.documents import REPOSITORY, commands, text_of
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

EXAMPLES = REPOSITORY / "examples"
NAME = "connected"
# Replaced, because the local AWS does not support all of its resources.
NETWORK_TEMPLATE = "examples/fixed-address/template.yaml"


@dataclass
class Deployments:
    """Runs the commands of the READMEs."""

    aws: LocalAws
    templates: dict[str, str]
    """Templates that replace those in the commands."""
    words: dict[str, str]
    """Values of the words in capitals, outputs of the deployed stacks included."""
    ran: list[str] = field(default_factory=list)

    def run(self, example: str, *more: str) -> None:
        """Run the next command of a README."""
        text = next(each for each in sam_commands(example) if each not in self.ran)
        self.ran.append(text)
        # NAME, and what a parameter is set to.
        filled = re.sub(r"\bNAME\b|(?<==)[A-Z_]+(?= |$)", lambda word: self.words[word[0]], text)
        arguments = [self.templates.get(each, each) for each in shlex.split(filled)[1:]]
        stack = arguments[arguments.index("--stack-name") + 1]
        environment = self.aws.environment() | {"SAM_CLI_POLL_DELAY": "0.2"}
        log = self.aws.logs / f"sam-{stack}.log"
        sam(*arguments, *more, environment=environment, log=log)
        self.learn(stack)

    def learn(self, stack: str) -> None:
        """Note the outputs of a stack: EventBusName is EVENT_BUS_NAME in a command."""
        described = self.aws.client("cloudformation").describe_stacks(StackName=stack)
        for each in described["Stacks"][0]["Outputs"]:
            word = re.sub(r"(?<!^)(?=[A-Z])", "_", each["OutputKey"]).upper()
            self.words[word] = each["OutputValue"]


@dataclass
class Connected:
    """The stack with the examples around it."""

    outside: Outside
    deployments: Deployments

    def run_workflow(self, user_id: str, name: str) -> dict[str, Any]:
        """Run the workflow for a user; returns its end."""
        states = self.outside.aws.client("stepfunctions")
        execution = states.start_execution(
            stateMachineArn=self.deployments.words["STATE_MACHINE_ARN"],
            name=name,
            input=json.dumps({"user_id": user_id}),
        )["executionArn"]
        end: dict[str, Any] = {}

        def has_ended() -> bool:
            end.update(states.describe_execution(executionArn=execution))
            return bool(end["status"] != "RUNNING")

        self.outside.wait(has_ended)
        return end


@pytest.fixture(scope="module")
def connected(aws: LocalAws, deployed_template: Path, logs: Path) -> Iterator[Connected]:
    network = logs / "network.yaml"
    network.write_text(local_network(aws))
    words = {"NAME": NAME, "CRM_ACCOUNT_ID": "000000000000"}
    deployments = Deployments(aws, {NETWORK_TEMPLATE: str(network)}, words)
    deployments.run("fixed-address")
    deployments.run("other-account")
    parameters = json.loads((EXAMPLES / "crm-event/parameters.json").read_text()) | {
        "EventBusName": words["EVENT_BUS_NAME"],
        "SubnetIds": words["SUBNET_IDS"],
        "SecurityGroupIds": words["SECURITY_GROUP_IDS"],
    }
    with own_stack(aws, deployed_template, NAME, **parameters) as outside:
        deployments.learn(NAME)
        deployments.run("other-account")
        deployments.run("failed-results")
        deployments.run("step-functions", "PollSeconds=1")
        yield Connected(outside, deployments)


def sam_commands(example: str = "") -> list[str]:
    return [
        each.text
        for each in commands()
        if each.tool == "sam"
        and not each.needs_aws
        and each.document.startswith(f"examples/{example}")
    ]


def test_every_command_of_sam_has_been_run(connected: Connected) -> None:
    assert sorted(connected.deployments.ran) == sorted(sam_commands())


def test_event_on_the_bus_is_carried_out_for_the_user_that_user_id_path_finds(
    connected: Connected,
) -> None:
    outside = connected.outside
    (entry,) = json.loads((EXAMPLES / "crm-event/entries.json").read_text())
    detail = json.loads(entry["Detail"])
    user = outside.invited_user(named=detail["contact"]["external_ids"]["partoo"])

    bus = outside.stack.event_bus_name
    answer = outside.aws.client("events").put_events(Entries=[entry | {"EventBusName": bus}])

    result = outside.result(answer["Entries"][0]["EventId"])
    assert (result["status"], result["source"]) == ("sent", "eventbridge")
    assert (result["user_id"], result["correlation_id"]) == (user, detail["correlation_id"])


def test_event_of_the_other_accounts_bus_is_carried_out_once(connected: Connected) -> None:
    outside = connected.outside
    (entry,) = json.loads((EXAMPLES / "crm-event/entries.json").read_text())
    user = outside.invited_user()
    detail = {"contact": {"external_ids": {"partoo": user}}, "request_id": "from-the-other"}

    # To the default bus, where the other account has its rule.
    outside.aws.client("events").put_events(Entries=[entry | {"Detail": json.dumps(detail)}])

    assert outside.result("from-the-other")["status"] == "sent"
    assert outside.stack.event_bus_name != "default"
    outside.wait_until_idle()
    assert len(outside.partoo.emails(user)) == 1


def test_failed_result_arrives_and_no_other(connected: Connected) -> None:
    outside = connected.outside
    queue_url = connected.deployments.words["FAILED_RESULTS_QUEUE_URL"]
    late = {"user_id": outside.invited_user(), "not_after": "2020-01-01T00:00:00Z"}
    requests = [late, {"user_id": outside.invited_user()}, {"user_id": "nobody"}]
    failed, sent, rejected = [outside.send(each) for each in requests]
    results = outside.results([failed, sent, rejected])

    received = outside.sqs.receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )["Messages"]

    assert [results[each]["status"] for each in (sent, rejected)] == ["sent", "rejected"]
    assert [json.loads(each["Body"]) for each in received] == [results[failed]]
    assert received[0]["MessageAttributes"]["reason"]["StringValue"] == "deadline_passed"


def test_workflow_ends_with_the_result_of_the_request_of_its_name(connected: Connected) -> None:
    outside = connected.outside
    user = outside.invited_user()

    end = connected.run_workflow(user, "workflow-sent")

    result = outside.result("workflow-sent")
    assert (end["status"], json.loads(end["output"])) == ("SUCCEEDED", result)
    again = outside.invoke({"user_id": user, "request_id": "workflow-sent"})
    assert again["results"] == [result]
    assert len(outside.partoo.emails(user)) == 1


def test_workflow_fails_with_the_reason(connected: Connected) -> None:
    end = connected.run_workflow("nobody-at-all", "workflow-rejected")

    assert (end["status"], end["error"]) == ("FAILED", "user_not_found")
    assert json.loads(end["cause"]) == connected.outside.result("workflow-rejected")


def test_workflow_waits_for_a_deferred_result(connected: Connected) -> None:
    outside = connected.outside
    user = outside.invited_user(Answer(status=429, headers={"Retry-After": "1"}))

    end = connected.run_workflow(user, "workflow-queued")

    result = json.loads(end["output"])
    assert (result["request_id"], result["status"]) == ("workflow-queued", "sent")
    assert len(outside.partoo.emails(user)) == 1


def local_network(aws: LocalAws) -> str:
    """Return the network's template with an address and a NAT gateway that exist already.

    The local EC2 supports these, the local CloudFormation does not.
    """
    ec2 = aws.client("ec2")
    address = ec2.allocate_address(Domain="vpc")
    gateway = ec2.create_nat_gateway(
        SubnetId=ec2.describe_subnets()["Subnets"][0]["SubnetId"],
        AllocationId=address["AllocationId"],
    )["NatGateway"]
    text = text_of(NETWORK_TEMPLATE)
    without = re.sub(r"(?m)^  (Address|NatGateway)[AB]:\n(    .*\n|\n)+", "", text)
    without = re.sub(r"!Ref NatGateway[AB]", gateway["NatGatewayId"], without)
    return re.sub(r"!GetAtt Address[AB].PublicIp", address["PublicIp"], without)
