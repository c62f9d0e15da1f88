"""Prints what happens in a running stack, as the functions log it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from local.rows import print_row

# Time of day, step, reason, request, user.
_WIDTHS = (10, 9, 24, 36, 0)


class Watch:
    """Prints a row for each step of a request, and when all calls wait."""

    def __init__(self, logs: Path, console: Console) -> None:
        self._log, self._read_to, self._console = logs / "aws.log", 0, console
        print_row(console, _WIDTHS, "time (UTC)", "step", "reason", "request", "user")

    def look(self) -> None:
        """Print what happened since the last look."""
        for line in self._lines():
            if step := _step(line):
                # All requests wait, not the one whose call found that out.
                named = {} if step[0] in ("paused", "resumed") else line
                request = named.get("request_id") or "", named.get("user_id") or ""
                print_row(self._console, _WIDTHS, _time(line["timestamp"]), *step, *request)

    def _lines(self) -> Iterator[Mapping[str, Any]]:
        """Yield the lines of the functions that were written since the last call."""
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            text = log.read()
        # Half a line is read again.
        complete = text[: text.rfind(b"\n") + 1]
        self._read_to += len(complete)
        for line in complete.splitlines():
            if line.startswith(b'{"level"'):
                yield json.loads(line)


def _step(line: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the step that a line of the log tells of, and its reason; None for other lines."""
    match line.get("message"):
        case "call failed":
            return "answered", line["answer"] if line["answer"].isdigit() else "not at all"
        case "request deferred":
            return "deferred", f"{line['cause']}, {line['delay_seconds']} s"
        case "result published":
            return line["status"], line["reason"]
        case "calls paused":
            return "paused", f"all calls, until {_time(line['paused_until'])}"
        case "breaker opened":
            return "paused", f"{line['cause']}, until {_time(line['open_until'])}"
        case "breaker closed":
            return "resumed", line["cause"]
    return None


def _time(moment: str) -> str:
    """Return the time of day of an ISO 8601 text."""
    return moment[11:19]
