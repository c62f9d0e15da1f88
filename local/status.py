"""`make status`: what a stack's ledger knows of a user."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import boto3

from local.deployed import explained, find_stack, named
from local.known import KnownUser, read_user
from local.rows import plain_console, print_row

# Time, status, reason, HTTP status, attempts, request.
_WIDTHS = (24, 9, 22, 4, 8, 0)
_LABEL_WIDTHS = (14, 0)


def main(user_id: str, stack: str) -> int:
    """Print it; nothing is changed."""
    named(user_id, "USER")
    deployed = find_stack(stack)
    table_name = deployed.output("TableName")
    with explained(f"Reading the ledger of {stack}"):
        known = read_user(boto3.client("dynamodb"), table_name, user_id)
    console = plain_console()
    if known is None:
        console.print(f"Nothing is known of {user_id} in {stack}.")
        return 0
    console.print(f"{user_id} in {stack}:")
    print_row(console, _LABEL_WIDTHS, "window", window_text(known, time.time()))
    print_row(console, _LABEL_WIDTHS, "sent_count", str(known.sent_count))
    last_sent_at = "never" if known.last_sent_at is None else iso(known.last_sent_at)
    print_row(console, _LABEL_WIDTHS, "last_sent_at", last_sent_at)
    console.print()
    print_row(console, _WIDTHS, "time (UTC)", "status", "reason", "http", "attempts", "request")
    for row in request_rows(known):
        print_row(console, _WIDTHS, *row)
    return 0


def window_text(known: KnownUser, now: float) -> str:
    """Whether a request that came now would find the window active."""
    if known.window_ends_at is None:
        return "none"
    ends_at = iso(known.window_ends_at)
    return f"active until {ends_at}" if known.window_is_active(now) else f"over since {ends_at}"


def request_rows(known: KnownUser) -> Iterator[tuple[str, ...]]:
    """An open request first, then what has ended, the newest first."""
    if known.open_request is not None:
        reason = "an execution has it" if known.open_request.is_held else "waits on the queue"
        attempts = str(known.open_request.attempts)
        yield "", "open", reason, "", attempts, known.open_request.request_id
    for result in known.results:
        yield (
            result["occurred_at"],
            result["status"],
            result["reason"],
            str(result["http_status"] or ""),
            str(result["attempts"]),
            result["request_id"],
        )


def iso(moment: float) -> str:
    """ISO 8601 in UTC with milliseconds, from epoch seconds."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
