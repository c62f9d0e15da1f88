"""The account, the stack's state, and whether calls are paused."""

import time
from datetime import UTC, datetime

from ops.checks.stack import Findings, Stack, look, ok, wrong
from ops.limiter import read_pause

_DEPLOYED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
_UNDONE = "UPDATE_ROLLBACK_COMPLETE"


def account(stack: Stack) -> Findings:
    sts = stack.client("sts")
    caller = sts.get_caller_identity()
    text = f"{caller['Account']}, {sts.meta.region_name}, as {caller['Arn']}"
    yield ok("account", text)


def stack_state(stack: Stack) -> Findings:
    status = stack.deployed.status
    events = f"aws cloudformation describe-stack-events --stack-name {stack.name}"
    if status in _DEPLOYED:
        yield ok("stack", f"{stack.name} is {status}")
    elif status.endswith("_IN_PROGRESS"):
        yield look("stack", f"{stack.name} is {status}; run this again when it has ended")
    elif status == _UNDONE:
        yield look("stack", f"the last deployment failed and was undone; {events} says why")
    else:
        yield wrong("stack", f"{stack.name} is {status}; {events} says why")


def pause(stack: Stack) -> Findings:
    found = read_pause(stack.client("dynamodb"), stack.deployed.output("TableName"), time.time())
    until = (
        "" if found is None else f"{datetime.fromtimestamp(found.until, UTC):%Y-%m-%d %H:%M} UTC"
    )
    match found and found.reason:
        case None:
            yield ok("pause", "calls are not paused")
        case "operator":
            yield look("pause", f"somebody paused all calls; make resume STACK={stack.name}")
        case "throttled":
            yield look(
                "pause", f"the API asked for no calls until {until}; docs/runbook.md#throttled"
            )
        case "key_refused":
            yield wrong(
                "pause", "the API refused the key, all calls wait; docs/runbook.md#key-refused"
            )
        case reason:
            yield wrong("pause", f"the breaker is open ({reason}); docs/runbook.md#breaker-open")
