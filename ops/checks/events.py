"""The CRM's events: whether the rule takes a sample, and whether a user is found in it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jmespath
from jmespath.exceptions import JMESPathError

from invitations.requests import read_user_id
from invitations.shapes import FieldError
from local.aws import REPOSITORY
from local.errors import CommandError
from ops.checks.stack import Findings, Stack, look, ok, wrong

_SAMPLE = REPOSITORY / "events/bus/user-pending.json"


def fault_of_path(path: str) -> str | None:
    """Return why a JMESPath expression does not compile."""
    try:
        jmespath.compile(path)
    except JMESPathError as error:
        # The next line repeats the expression.
        return str(error).partition("\n")[0].rstrip(":")
    return None


class Sample(NamedTuple):
    """An event of the CRM, or one that is made up."""

    event: Mapping[str, Any]
    is_made_up: bool


def sample(path: str, parameters: Mapping[str, str]) -> Sample:
    """Read the event at `path`; without one, make it up as the parameters describe it.

    Raises CommandError.
    """
    try:
        event = json.loads(Path(path or _SAMPLE).read_text(encoding="utf-8"))
        event.keys()
    except (OSError, ValueError, AttributeError) as error:
        text = f"{path} is not a JSON file with an EventBridge event: {error}"
        raise CommandError(text) from error
    if not path:
        event["source"] = parameters["PendingEventSource"]
        event["detail-type"] = parameters["PendingEventDetailType"]
    return Sample(event, is_made_up=not path)


def rule(stack: Stack, event: Sample) -> Findings:
    events = stack.client("events")
    # On a bus of its own, a rule's physical id begins with the bus.
    name = stack.physical_id("PendingEventRule").rpartition("|")[2]
    bus = stack.deployed.output("EventBusName")
    found = events.describe_rule(Name=name, EventBusName=bus)
    targets = events.list_targets_by_rule(Rule=name, EventBusName=bus)["Targets"]
    if found["State"] != "ENABLED":
        command = f"aws events enable-rule --name {name} --event-bus-name {bus}"
        yield wrong(f"it is {found['State']}; {command}")
    if stack.deployed.output("RequestQueueArn") not in {each["Arn"] for each in targets}:
        yield wrong(f"{name} does not send to the request queue; deploy again")
    pattern = found["EventPattern"]
    if not events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event.event))["Result"]:
        yield wrong(f"it does not match the sample event: {pattern}")
    yield ok(f"on the bus {bus}, it matches the sample event")


def user_id_path(stack: Stack, event: Sample) -> Findings:
    """Apply the live function's path."""
    live = stack.client("lambda").get_function_configuration(
        FunctionName=stack.deployed.output("ReinviteFunctionName")
    )
    path = live["Environment"]["Variables"]["USER_ID_PATH"]
    if (fault := fault_of_path(path)) is not None:
        yield wrong(f"{path} does not compile: {fault}")
        return
    try:
        found = jmespath.search(path, event.event)
        user_id = read_user_id(None if found == "null" else found)
    # The path's error: one of its functions got a value that it does not take.
    except (JMESPathError, FieldError) as error:
        if event.is_made_up:
            yield look(f"{path} finds no user in a made-up event; try one of your CRM, EVENT=path")
        else:
            why = error.detail if isinstance(error, FieldError) else error
            yield wrong(f"{path} finds no user in the event: {why}")
    else:
        yield ok(f"{path} finds {user_id}")
