"""Shows from outside what happens in a running stack: the way of each request, the rate limiter.

Reads what the functions log, peeks at the request queue and reads the limiter's item.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from invitations.requests import Order
from local.environment import LocalEnvironment
from local.rows import COLOURS, print_row
from local.run import summary
from local.samples import read_body

_LOOK_SECONDS = 0.25
# Time of day, request, user.
_WIDTHS = (8, 36, 24, 0)
# The lines around the rows of the table.
_FRAME_LINES = 7
_LIMITER = {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}


@dataclass
class Way:
    """What became of one request so far."""

    user_id: str
    since: str
    steps: list[str]
    status: str | None = None


@dataclass
class Board:
    """All requests in the order in which they were seen; `say` gets each event."""

    say: Callable[[str, str, str, str], None]
    ways: dict[str, Way] = field(default_factory=dict)

    def receive(self, request_id: str, user_id: str, moment: str) -> Way:
        """Note a request unless it is known."""
        if request_id not in self.ways:
            self.ways[request_id] = Way(user_id, moment, ["received"])
            self.say(moment, request_id, user_id, "received")
        return self.ways[request_id]

    def read(self, line: Mapping[str, Any]) -> None:
        """Note what a line of the functions' log says about a request."""
        step = step_of(line)
        if step is None or "request_id" not in line:
            return
        moment, user_id = line["timestamp"][11:19], line.get("user_id") or ""
        way = self.receive(line["request_id"], user_id, moment)
        way.steps.append(step)
        way.status = line.get("status", way.status)
        self.say(moment, line["request_id"], user_id, step)

    @property
    def statuses(self) -> list[str]:
        return [way.status for way in self.ways.values() if way.status is not None]


def step_of(line: Mapping[str, Any]) -> str | None:
    """Return the step of a request that a log line tells of; None for other lines."""
    match line.get("message"):
        case "call failed":
            return f"answer {line['http_status']}" if "http_status" in line else "no answer"
        case "request deferred":
            return f"deferred {line['delay_seconds']} s ({line['cause']})"
        case "result published":
            status: str = line["status"]
            return status if status == "sent" else f"{status} ({line['reason']})"
    return None


def limiter_text(item: Mapping[str, Any], now: float) -> str:
    """Describe the state of the rate limiter, as the item has it, at `now`."""
    until = float(item.get("paused_until", {"N": "0"})["N"])
    reason = item.get("pause_reason", {}).get("S", "")
    failures = item.get("failures", {"N": "0"})["N"]
    if reason in ("outage", "key_refused"):
        state = f"open until {_time(until)}" if now < until else "half-open, one call at a time"
        return f"circuit breaker {state} ({reason}, failures: {failures})"
    if now < until:
        return f"paused until {_time(until)} ({reason})"
    filling = float(item.get("full_at", {"N": "0"})["N"]) - now
    return f"tokens full again in {filling:.0f} s" if filling >= 1 else "tokens free"


def watch(environment: LocalEnvironment, console: Console, end: threading.Event) -> None:
    """Show a live table on a terminal, or else a line for each event, until `end` is set.

    Returns also when the terminal has closed: make, if the terminal started it, waits for its child
    and hands no signal on.
    """
    live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
    terminal = console.is_terminal

    def say(*cells: str) -> None:
        if not terminal:
            print_row(console, _WIDTHS, *cells)

    dynamodb = environment.aws.client("dynamodb")
    board, emails, calls_seen, limiter = Board(say), 0, 0, ""
    with (environment.aws.logs / "aws.log").open(encoding="utf-8", errors="replace") as log:
        try:
            if terminal:
                live.start()
            while not end.wait(_LOOK_SECONDS) and terminal == console.is_terminal:
                for request_id, user_id in _queued(environment):
                    board.receive(request_id, user_id, _time(time.time()))
                for line in _lines(log):
                    board.read(line)
                for call in environment.partoo.calls(since=calls_seen):
                    calls_seen, emails = call.sequence, emails + call.email_sent
                stored = dynamodb.get_item(TableName=environment.stack.table_name, Key=_LIMITER)
                last, limiter = limiter, limiter_text(stored.get("Item", {}), time.time())
                if limiter != last:
                    say(_time(time.time()), "rate limiter", "", limiter)
                live.update(_page(board, limiter, emails, console), refresh=terminal)
        finally:
            live.stop()
            if not terminal:
                console.print(summary(board.statuses, emails))


def _page(board: Board, limiter: str, emails: int, console: Console) -> Group:
    table = Table("time (UTC)", "request", "user", "way", expand=True, box=SIMPLE_HEAD)
    table.columns[1].max_width, table.columns[3].ratio = 20, 1
    for column in table.columns[:3]:
        column.no_wrap = True
    shown = list(board.ways.items())[-max(console.height - _FRAME_LINES, 3) :]
    for request_id, way in shown:
        style = COLOURS.get(way.status or "", "yellow" if way.status is None else "")
        table.add_row(way.since, request_id, way.user_id, " → ".join(way.steps), style=style)
    state = Text(f"Rate limiter: {limiter}.", "" if limiter.startswith("tokens") else "yellow")
    return Group(table, state, summary(board.statuses, emails))


def _queued(environment: LocalEnvironment) -> Iterator[tuple[str, str]]:
    """Return the request and the user of each message on the request queue."""
    for message in environment.aws.peek(environment.stack.request_queue_url):
        found = read_body(message["Body"], message["MessageId"])
        # An order ends as a request for each of its users.
        if not isinstance(found, Order):
            yield found.request_id, found.user_id or ""


def _lines(log: IO[str]) -> Iterator[Mapping[str, Any]]:
    """Return the functions' lines that were written since the last call."""
    while True:
        start = log.tell()
        text = log.readline()
        if not text.endswith("\n"):
            # Half a line is read again.
            log.seek(start)
            return
        if text.startswith('{"level"'):
            yield json.loads(text)


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S")
