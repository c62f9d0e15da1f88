"""`make pictures`: make the README's pictures from what the commands print in a terminal."""

import os
import re
import shutil
import sys
from contextlib import AbstractContextManager
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from local.aws import REPOSITORY, LocalAws
from local.environment import WORKSPACE
from local.terminal import Terminal, running_terminal

_FOLDER = REPOSITORY / "docs/pictures"
_COLUMNS = 110
_SECONDS = 600.0
_CHAOS = ("11", "300")
# The answer to the next call, a user's number, a request, and what its row shows in the end.
_REQUESTS = (
    ("429", 1, "crm-task-88213", "deferred"),
    ("", 2, "crm-task-88214", "sent"),
    ("", 1, "crm-task-88215", "skipped"),
    ("", 3, "crm-task-88216", "rejected"),
    ("lost", 5, "crm-task-88217", "deferred"),
)


def main() -> int:
    """Run the commands and replace their pictures; returns 0."""
    _FOLDER.mkdir(exist_ok=True)
    for name, arguments in (("run", [""]), ("sweep", ["1000"])):
        with _typed(name, *arguments) as terminal:
            terminal.end(_SECONDS)
            _save(name, terminal.screen())
    with _typed("serve") as terminal:
        terminal.wait_for("^Rate limiter: ")
        for each in _REQUESTS:
            _watch_request(terminal, *each)
        _save("local", re.sub(r"\A.*\n(?=.*time \(UTC\))", "", terminal.screen(), flags=re.DOTALL))
    with _typed("chaos", *_CHAOS) as terminal:
        terminal.end(_SECONDS)
    shutil.copy(WORKSPACE / "chaos/history.png", _FOLDER / "chaos.png")
    return 0


def _typed(*command: str) -> AbstractContextManager[Terminal]:
    return running_terminal(
        [sys.executable, "-m", "local", *command],
        directory=REPOSITORY,
        environment=os.environ,
        size=f"{_COLUMNS}x30",
    )


def _watch_request(
    terminal: Terminal, answer: str, user_number: int, request_id: str, step: str
) -> None:
    if answer:
        with _typed("fake", answer, "1", "") as typed:
            typed.end(_SECONDS)
    endpoint, ca = terminal.wait_for(r"AWS_ENDPOINT_URL=(\S+) AWS_CA_BUNDLE=(\S+)").groups()
    body = f'{{"user_id": "64f0c1a27be35d0012a9e4{user_number:02x}", "request_id": "{request_id}"}}'
    LocalAws(endpoint, WORKSPACE, ca=Path(ca)).client("sqs").send_message(
        QueueUrl=terminal.wait_for(r"--queue-url (\S+)")[1], MessageBody=body
    )
    terminal.wait_for(rf"{request_id} .* {step}")


def _save(name: str, screen: str) -> None:
    """Write what a terminal shows as an SVG whose font is the reader's own."""
    console = Console(record=True, width=_COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ make {name}\n{screen.rstrip()}"), soft_wrap=True)
    fonts = r"<!--.*?-->|@font-face \{.*?\}"
    svg = re.sub(fonts, "", console.export_svg(title=""), flags=re.DOTALL)
    lines = filter(None, (line.strip() for line in svg.splitlines()))
    (_FOLDER / f"{name}.svg").write_text("\n".join(lines) + "\n", encoding="utf-8")
