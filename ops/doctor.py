"""`make doctor`: look a deployed stack over.

It changes no resource and sends no e-mail; the key check that it invokes makes one call.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from local.rows import plain_console
from ops.checks import calls, events, protection, resources
from ops.checks.stack import Findings, Stack, Verdict, look, refused
from ops.deployed import find_stack

_COLOURS = {Verdict.OK: "green", Verdict.LOOK: "yellow", Verdict.WRONG: "red"}


def main(stack: str, event: str = "") -> int:
    """Print a line for each finding; returns 1 when something is wrong.

    `event`: path of an event of the CRM, in place of a made-up one.
    """
    console, found = plain_console(), set[Verdict]()
    for each in examine(Stack(find_stack(stack)), event):
        found.add(each.verdict)
        line = f"{each.verdict:<6}{each.subject}: {each.text}"
        console.print(line, style=_COLOURS[each.verdict])
    return int(Verdict.WRONG in found)


def examine(stack: Stack, event: str = "") -> Findings:
    """Yield all findings; a call that AWS refuses is one of them."""
    yield from _attempt("account", calls.account, stack)
    yield from _attempt("stack", calls.stack_state, stack)
    if not stack.deployed.outputs:
        # The first deployment failed.
        return
    # Raises if it is a stack of another application.
    stack.deployed.output("TableName")
    sample = events.read_event(event, stack.deployed.parameters)
    checks: dict[str, Callable[[Stack], Findings]] = {
        "pause": calls.pause,
        "API key": calls.key,
        "event sources": resources.event_sources,
        "live version": resources.live_version,
        "schedules": resources.schedules,
        "queues": resources.queues,
        "alarms": resources.alarms,
        "alarm topic": partial(resources.subscribers, of="Alarm"),
        "result topic": partial(resources.subscribers, of="Result"),
        "rule": partial(events.rule, event=sample),
        "UserIdPath": partial(events.user_id_path, event=sample, is_made_up=not event),
        "encryption": protection.encryption,
        "policies": protection.policies,
    }
    for subject, check in checks.items():
        yield from _attempt(subject, check, stack)


def _attempt(subject: str, check: Callable[[Stack], Findings], stack: Stack) -> Findings:
    has_faults = False
    try:
        for each in check(stack):
            has_faults |= each.verdict is not Verdict.OK
            if each.verdict is not Verdict.OK or not has_faults:
                yield replace(each, subject=each.subject or subject)
    except (BotoCoreError, ClientError) as error:
        yield replace(refused(error), subject=subject)
    except KeyError as error:
        yield look(f"not checked, the stack of another version lacks {error}", subject)
