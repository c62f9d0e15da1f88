"""`make doctor`: look a deployed stack over. It changes nothing and sends no e-mail."""

from collections.abc import Callable
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from local.rows import plain_console
from ops.checks import events, functions, key, notifications, protection, queues, state
from ops.checks.stack import Finding, Findings, Stack, Verdict, look, refused
from ops.deployed import find_stack

_COLOURS = {Verdict.OK: "green", Verdict.LOOK: "yellow", Verdict.WRONG: "red"}


def main(stack: str, event: str = "") -> int:
    """Print a line for each finding; returns 1 when something is wrong.

    `event`: path of an event of the CRM, in place of a made-up one.
    """
    console = plain_console()
    found = []
    for each in examine(Stack(find_stack(stack)), event):
        found.append(each.verdict)
        line = f"{each.verdict:<6}{each.subject}: {each.text}"
        console.print(line, style=_COLOURS[each.verdict])
    return int(Verdict.WRONG in found)


def examine(stack: Stack, event: str = "") -> Findings:
    """Yield all findings; a call that AWS refuses is one of them."""
    yield from _attempt("account", state.account, stack)
    yield from state.stack_state(stack)
    if not stack.deployed.outputs:
        # The first deployment failed.
        return
    # Raises if it is a stack of another application.
    stack.deployed.output("TableName")
    sample = events.sample(event, stack.deployed.parameters)
    checks: dict[str, Callable[[Stack], Findings]] = {
        "pause": state.pause,
        "API key": key.key,
        "event sources": functions.event_sources,
        "live version": functions.live_version,
        "schedules": functions.schedules,
        "queues": queues.waiting,
        "dead letters": queues.dead_letters,
        "alarms": notifications.alarms,
        "alarm topic": notifications.alarm_subscribers,
        "result topic": notifications.result_subscribers,
        "rule": partial(events.rule, event=sample),
        "UserIdPath": partial(events.user_id_path, event=sample),
        "encryption": protection.storage,
        "policies": protection.policies,
    }
    for subject, check in checks.items():
        yield from _attempt(subject, check, stack)


def _attempt(subject: str, check: Callable[[Stack], Findings], stack: Stack) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(check(stack))
    except (BotoCoreError, ClientError) as error:
        found.append(refused(subject, error))
    except KeyError as error:
        found.append(look(subject, f"not checked, the stack of another version lacks {error}"))
    return found
