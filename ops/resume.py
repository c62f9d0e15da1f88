"""`make resume`: end the pause that `make pause` began."""

import time

import boto3

from local.rows import plain_console
from ops.deployed import explained, find_stack
from ops.limiter import resume

_NOTICE = """
{stack} is no longer paused. New requests are carried out at once. Requests that wait look for the
end of the pause every 10 to 15 minutes, so that all of them are carried out or have an appointment
within 15 minutes."""


def main(stack: str) -> int:
    """End the stack's pause, or print that there is none; returns 0 in both cases."""
    deployed = find_stack(stack)
    with explained(f"Resuming {stack}"):
        resumed = resume(boto3.client("dynamodb"), deployed.output("TableName"), time.time())
    if resumed:
        plain_console().print(_NOTICE.strip().format(stack=stack))
    else:
        plain_console().print(f"Nothing is paused by an operator in {stack}.")
    return 0
