"""Shows from outside what happens in a running stack: the way of each request, the rate limiter.

Reads what the functions log, and the limiter's item.
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

from local.environment import LocalEnvironment
from local.rows import COLOURS, print_row
from local.run import summary

_LOOK_SECONDS = 0.25
# Time of day, request, user.
_WIDTHS = (8, 36, 24, 0)
# The lines around the rows of the table.
_FRAME_LINES = 7
_LIMITER = {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}


@dataclass
class Way:
    """What became of one request so far."""

    since: str
    user_id: str
    steps: list[str] = field(default_factory=list)
    status: str | None = None


@dataclass
class Board:
    """All requests in the order in which they were seen; `say` gets each event."""

    say: Callable[[str, str, str, str], None]
    ways: dict[str, Way] = field(default_factory=dict)

    def read(self, line: Mapping[str, Any]) -> None:
        """Note what a line of the functions' log says about a request."""
        step = step_of(line)
        if step is None or "request_id" not in line:
            return
        name, moment, user_id = line["request_id"], line["timestamp"][11:19], line.get("user_id")
        steps = [step] if name in self.ways else ["received", step]
        way = self.ways.setdefault(name, Way(moment, user_id or ""))
        way.steps += steps
        way.status = line.get("status", way.status)
        for each in steps:
            self.say(moment, name, way.user_id, each)

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
    if now < until:
        return f"paused until {_time(until)} ({reason})"
    if reason in ("outage", "key_refused"):
        return f"circuit breaker half-open, one call at a time ({reason})"
    return "tokens are handed out"


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
    board, emails, limiter = Board(say), 0, ""
    with (environment.aws.logs / "aws.log").open(encoding="utf-8", errors="replace") as log:
        try:
            if terminal:
                live.start()
            while not end.wait(_LOOK_SECONDS) and terminal == console.is_terminal:
                if lines := list(_lines(log)):
                    emails = len(environment.partoo.emails())
                for line in lines:
                    board.read(line)
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
    for name, way in list(board.ways.items())[-max(console.height - _FRAME_LINES, 3) :]:
        style = COLOURS.get(way.status or "", "yellow" if way.status is None else "")
        table.add_row(way.since, name, way.user_id, " → ".join(way.steps), style=style)
    state = Text(f"Rate limiter: {limiter}.", "" if limiter.startswith("tokens") else "yellow")
    return Group(table, state, summary(board.statuses, emails))


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
