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
    table_name = find_stack(stack).output("TableName")
    with explained(f"Resuming {stack}"):
        resumed = resume(boto3.client("dynamodb"), table_name, time.time())
    text = _NOTICE.strip() if resumed else "Nothing is paused by an operator in {stack}."
    plain_console().print(text.format(stack=stack))
    return 0
