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
from local.partoo.control import PartooControl, running_fake_partoo
from local.stack import deploy, sam
from tests.documents import REPOSITORY, commands
from tests.e2e.conftest import SHORT_WINDOW_SECONDS
from tests.e2e.network import local_network
from tests.e2e.outside import Outside

EXAMPLES = REPOSITORY / "examples"
NAME = "connected"
# Replaced, because the local AWS does not support all of its resources.
NETWORK_TEMPLATE = "examples/fixed-address/template.yaml"


@dataclass
class Deployments:
    """Runs the commands of the READMEs and keeps the outputs of their stacks."""

    aws: LocalAws
    templates: dict[str, str]
    """Templates that replace those in the commands."""
    words: dict[str, str]
    """Values of the words in capitals."""
    ran: list[str] = field(default_factory=list)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)

    def run(self, example: str, more: tuple[str, ...] = ()) -> dict[str, str]:
        """Run the next command of a README; returns the outputs of its stack."""
        text = next(each for each in sam_commands(example) if each not in self.ran)
        self.ran.append(text)
        # NAME, and what a parameter is set to.
        filled = re.sub(r"\bNAME\b|(?<==)[A-Z_]+(?= |$)", lambda word: self.words[word[0]], text)
        arguments = [self.templates.get(each, each) for each in shlex.split(filled)[1:]]
        stack = arguments[arguments.index("--stack-name") + 1]
        environment = self.aws.environment() | {"SAM_CLI_POLL_DELAY": "0.2"}
        log = self.aws.logs / f"sam-{stack}.log"
        sam(*arguments, *more, environment=environment, log=log)
        return self.know(stack)

    def know(self, stack: str) -> dict[str, str]:
        described = self.aws.client("cloudformation").describe_stacks(StackName=stack)
        outputs = {
            each["OutputKey"]: each["OutputValue"] for each in described["Stacks"][0]["Outputs"]
        }
        self.outputs[stack] = outputs
        for name, value in outputs.items():
            self.words[re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()] = value
        return outputs


@dataclass
class Connected:
    """The stack with the examples around it."""

    outside: Outside
    deployments: Deployments

    def start(self, user_id: str, name: str) -> str:
        """Start the workflow; returns the execution's ARN."""
        arn: str = self.outside.aws.client("stepfunctions").start_execution(
            stateMachineArn=self.deployments.outputs[f"{NAME}-workflow"]["StateMachineArn"],
            name=name,
            input=json.dumps({"user_id": user_id}),
        )["executionArn"]
        return arn

    def end_of(self, execution: str) -> dict[str, Any]:
        states = self.outside.aws.client("stepfunctions")
        end: dict[str, Any] = {}

        def has_ended() -> bool:
            end.update(states.describe_execution(executionArn=execution))
            return bool(end["status"] != "RUNNING")

        self.outside.wait(has_ended)
        return end

    def visits(self, execution: str) -> list[str]:
        """Return the names of the states that an execution entered."""
        states = self.outside.aws.client("stepfunctions")
        pages = states.get_paginator("get_execution_history").paginate(executionArn=execution)
        return [
            event["stateEnteredEventDetails"]["name"]
            for page in pages
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]


@pytest.fixture(scope="module")
def connected(aws: LocalAws, deployed_template: Path, logs: Path) -> Iterator[Connected]:
    network = logs / "network.json"
    network.write_text(json.dumps(local_network(aws)))
    deployments = Deployments(
        aws, {NETWORK_TEMPLATE: str(network)}, {"NAME": NAME, "CRM_ACCOUNT_ID": "000000000000"}
    )
    addresses = deployments.run("fixed-address")
    bus = deployments.run("other-account")
    api_key = "e2e-connected-key"
    window = SHORT_WINDOW_SECONDS
    with running_fake_partoo(
        api_key, window_seconds=window, requests_per_minute=10_000
    ) as base_url:
        parameters = json.loads((EXAMPLES / "crm-event/parameters.json").read_text()) | {
            "PartooBaseUrl": base_url,
            "InviteWindowSeconds": str(window),
            "EventBusName": bus["EventBusName"],
            "SubnetIds": addresses["SubnetIds"],
            "SecurityGroupIds": addresses["SecurityGroupIds"],
        }
        stack = deploy(aws, NAME, parameters, template=deployed_template, api_key=api_key)
        deployments.know(NAME)
        deployments.run("other-account")
        deployments.run("failed-results")
        deployments.run("step-functions", more=("PollSeconds=1",))
        outside = Outside(aws, stack, PartooControl(base_url), base_url, window_seconds=window)
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


def test_user_id_is_found_by_user_id_path(connected: Connected) -> None:
    outside = connected.outside
    (entry,) = json.loads((EXAMPLES / "crm-event/entries.json").read_text())
    detail = json.loads(entry["Detail"])
    user = outside.invited_user_named(detail["contact"]["external_ids"]["partoo"])

    bus = outside.stack.event_bus_name
    answer = outside.aws.client("events").put_events(Entries=[entry | {"EventBusName": bus}])

    result = outside.result(answer["Entries"][0]["EventId"])
    assert (result["status"], result["source"]) == ("sent", "eventbridge")
    assert result["user_id"] == user
    assert result["correlation_id"] == detail["correlation_id"]


def test_event_of_the_other_accounts_bus_is_carried_out(connected: Connected) -> None:
    outside = connected.outside
    (entry,) = json.loads((EXAMPLES / "crm-event/entries.json").read_text())
    user = outside.invited_user()
    detail = {"contact": {"external_ids": {"partoo": user}}, "request_id": "from-the-other"}

    # To the default bus, where the other account has its rule.
    outside.aws.client("events").put_events(Entries=[entry | {"Detail": json.dumps(detail)}])

    assert outside.result("from-the-other")["status"] == "sent"
    assert outside.stack.event_bus_name != "default"
    outside.wait_until_idle()
    assert len(outside.results_so_far(["from-the-other"])) == 1


def test_failed_result_arrives_and_no_other(connected: Connected) -> None:
    outside = connected.outside
    queue_url = connected.deployments.outputs[f"{NAME}-failed-results"]["FailedResultsQueueUrl"]
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

    end = connected.end_of(connected.start(user, "workflow-sent"))

    result = outside.result("workflow-sent")
    assert (end["status"], json.loads(end["output"])) == ("SUCCEEDED", result)
    again = outside.invoke({"user_id": user, "request_id": "workflow-sent"})
    assert again["results"] == [result]
    assert len(outside.partoo.emails(user)) == 1


def test_workflow_fails_with_the_reason(connected: Connected) -> None:
    end = connected.end_of(connected.start("nobody-at-all", "workflow-rejected"))

    assert (end["status"], end["error"]) == ("FAILED", "user_not_found")
    assert json.loads(end["cause"]) == connected.outside.result("workflow-rejected")


def test_workflow_waits_for_a_deferred_result(connected: Connected) -> None:
    outside = connected.outside
    user = outside.invited_user()
    outside.invoke({"user_id": user, "request_id": "before-the-workflow"})

    execution = connected.start(user, "workflow-queued")

    end = connected.end_of(execution)
    result = json.loads(end["output"])
    assert (result["request_id"], result["status"]) == ("workflow-queued", "sent")
    assert connected.visits(execution)[:4] == ["Invite", "HasResult", "Wait", "LookUp"]
    assert len(outside.partoo.emails(user)) == 2
    outside.assert_window_held(user)
    outside.wait_until_idle()
    assert len(outside.results_so_far(["workflow-queued"])) == 1
