"""The CRM's events: whether the rule takes a sample, and whether a user is found in it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from invitations.requests import read_user_id
from invitations.shapes import FieldError
from local.aws import REPOSITORY
from local.errors import CommandError
from ops.checks.stack import Findings, Stack, look, ok, wrong

_SAMPLE = REPOSITORY / "events/bus/user-pending.json"


def read_event(path: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
    """Read the event at `path`; without one, make it up as the parameters describe it.

    Raises CommandError.
    """
    try:
        event: dict[str, Any] = json.loads(Path(path or _SAMPLE).read_text(encoding="utf-8"))
        made_up = {
            "source": parameters["PendingEventSource"],
            "detail-type": parameters["PendingEventDetailType"],
        }
        return event if path else event | made_up
    except (OSError, ValueError) as error:
        text = f"{path} is not a JSON file with an EventBridge event: {error}"
        raise CommandError(text) from error


def rule(stack: Stack, event: Mapping[str, Any]) -> Findings:
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
    if not events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event))["Result"]:
        yield wrong(f"it does not match the sample event: {pattern}")
    yield ok(f"on the bus {bus}, it matches the sample event")


def user_id_path(stack: Stack, event: Mapping[str, Any], *, is_made_up: bool) -> Findings:
    """Apply the live function's path."""
    live = stack.client("lambda").get_function_configuration(
        FunctionName=stack.deployed.output("ReinviteFunctionName")
    )
    path = live["Environment"]["Variables"]["USER_ID_PATH"]
    try:
        expression = jmespath.compile(path)
    except JMESPathError as error:
        yield wrong(f"{path} does not compile: {str(error).splitlines()[0]}")
        return
    try:
        found = expression.search(event)
        user_id = read_user_id(None if found == "null" else found)
    # The path's error: one of its functions does not take a value.
    except (JMESPathError, FieldError) as error:
        why = error.detail if isinstance(error, FieldError) else error
        if is_made_up:
            text = f"{path} finds no user in a made-up event; try one of your CRM, EVENT=path"
            yield look(f"{text}: {why}")
        else:
            yield wrong(f"{path} finds no user in the event: {why}")
    else:
        yield ok(f"{path} finds {user_id}")
