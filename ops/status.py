"""`make status`: show what a stack's ledger holds about a user."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import boto3

from local.rows import plain_console, print_row
from ops.deployed import explained, find_stack, named
from ops.known import KnownUser, read_user

# Time, status, reason, HTTP status, attempts, request.
_WIDTHS = (24, 9, 22, 4, 8, 0)
_LABEL_WIDTHS = (16, 0)


def main(user_id: str, stack: str) -> int:
    """Print the user's window, counts and requests; changes nothing."""
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
    for label, value in label_rows(known, time.time()):
        print_row(console, _LABEL_WIDTHS, label, value)
    console.print()
    print_row(console, _WIDTHS, "time (UTC)", "status", "reason", "http", "attempts", "request")
    for row in request_rows(known):
        print_row(console, _WIDTHS, *row)
    return 0


def label_rows(known: KnownUser, now: float) -> Iterator[tuple[str, str]]:
    """Return the labelled lines above the list of requests."""
    yield "window", window_text(known, now)
    yield "sent_count", str(known.sent_count)
    yield "maybe_sent_count", str(known.maybe_sent_count)
    yield "last_invited_at", iso(known.invited_at[-1]) if known.invited_at else "never"


def window_text(known: KnownUser, now: float) -> str:
    """Describe the window as a request at `now` would find it."""
    if known.window_ends_at is None:
        return "none"
    ends_at = iso(known.window_ends_at)
    return f"active until {ends_at}" if known.window_is_active(now) else f"over since {ends_at}"


def request_rows(known: KnownUser) -> Iterator[tuple[str, ...]]:
    """Return a row for the open claim, then one for each result, the latest first."""
    if known.open_claim is not None:
        request_id, claimed_at = known.open_claim
        yield iso(claimed_at), "open", "claimed", "", "", request_id
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
    """Format epoch seconds as ISO 8601 in UTC with milliseconds."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
