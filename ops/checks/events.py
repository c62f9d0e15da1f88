"""The CRM's events: whether the rule takes a sample, and whether a user is found in it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from invitations.requests import read_user_id
from invitations.shapes import FieldError
from local.aws import REPOSITORY
from local.errors import CommandError
from ops.checks.stack import Findings, Stack, look, ok, or_ok, wrong

_SAMPLE = REPOSITORY / "events/bus/user-pending.json"


def fault_of_path(path: str) -> str | None:
    """Return why a JMESPath expression does not compile."""
    try:
        jmespath.compile(path)
    except JMESPathError as error:
        # The next line repeats the expression.
        return str(error).partition("\n")[0].rstrip(":")
    return None


@dataclass(frozen=True)
class Sample:
    """An event of the CRM, or one that is made up."""

    event: Mapping[str, Any]
    is_made_up: bool


def sample(path: str, parameters: Mapping[str, str]) -> Sample:
    """Read the event at `path`; without one, make it up as the parameters describe it.

    Raises CommandError.
    """
    if path:
        try:
            event = json.loads(Path(path).read_text(encoding="utf-8"))
            event.keys()
        except (OSError, ValueError, AttributeError) as error:
            text = f"{path} is not a JSON file with an EventBridge event: {error}"
            raise CommandError(text) from error
        return Sample(event, is_made_up=False)
    event = json.loads(_SAMPLE.read_text(encoding="utf-8"))
    event["source"] = parameters["PendingEventSource"]
    event["detail-type"] = parameters["PendingEventDetailType"]
    return Sample(event, is_made_up=True)


def rule(stack: Stack, event: Sample) -> Findings:
    events = stack.client("events")
    # On a bus of its own, a rule's physical id begins with the bus.
    name = stack.resources["PendingEventRule"].physical_id.rpartition("|")[2]
    bus = stack.deployed.output("EventBusName")
    found = events.describe_rule(Name=name, EventBusName=bus)
    targets = events.list_targets_by_rule(Rule=name, EventBusName=bus)["Targets"]
    faults = []
    if found["State"] != "ENABLED":
        command = f"aws events enable-rule --name {name} --event-bus-name {bus}"
        faults.append(wrong("rule", f"it is {found['State']}; {command}"))
    if stack.deployed.output("RequestQueueArn") not in {each["Arn"] for each in targets}:
        faults.append(wrong("rule", f"{name} does not send to the request queue; deploy again"))
    pattern = found["EventPattern"]
    if not events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event.event))["Result"]:
        faults.append(wrong("rule", f"it does not match the sample event: {pattern}"))
    yield from or_ok(faults, "rule", f"on the bus {bus}, it matches the sample event")


def user_id_path(stack: Stack, event: Sample) -> Findings:
    """Apply the live function's path."""
    live = stack.client("lambda").get_function_configuration(
        FunctionName=stack.deployed.output("ReinviteFunctionName")
    )
    path = live["Environment"]["Variables"]["USER_ID_PATH"]
    subject = "UserIdPath"
    fault = fault_of_path(path)
    if fault is not None:
        yield wrong(subject, f"{path} does not compile: {fault}")
        return
    try:
        found = jmespath.search(path, event.event)
    except JMESPathError:
        # A function of the path got a value that it does not take.
        found = None
    try:
        user_id = read_user_id(None if found == "null" else found)
    except FieldError as error:
        if event.is_made_up:
            text = f"{path} finds no user in a made-up event; try one of your CRM with EVENT=path"
            yield look(subject, text)
        else:
            yield wrong(subject, f"{path} finds no user in the event: {error.detail}")
    else:
        yield ok(subject, f"{path} finds {user_id}")
