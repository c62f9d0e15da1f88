"""`make pause`: stop all calls of a stack to the API until `make resume`."""

import boto3

from local.rows import plain_console
from ops.deployed import explained, find_stack
from ops.limiter import pause

_NOTICE = """
{stack} is paused: it calls the API no more, except for calls that have already begun. Requests are
still accepted. They wait on the queues, and each looks for the end of the pause every 10 to 15
minutes. make resume STACK={stack} ends the pause."""


def main(stack: str) -> int:
    """Pause the stack; a second pause changes nothing."""
    table_name = find_stack(stack).output("TableName")
    with explained(f"Pausing {stack}"):
        pause(boto3.client("dynamodb"), table_name)
    plain_console().print(_NOTICE.strip().format(stack=stack))
    return 0
