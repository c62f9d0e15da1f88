"""`make pictures`: make the README's pictures from what the commands print in a terminal."""

import os
import re
import shutil
import sys
from contextlib import AbstractContextManager
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from local.aws import REPOSITORY, LocalAws
from local.environment import WORKSPACE
from local.terminal import Terminal, running_terminal

_FOLDER = REPOSITORY / "docs/pictures"
_COLUMNS = 110
_SECONDS = 600.0
_CHAOS = ("7", "300")


def main() -> int:
    """Run the commands and replace their pictures; returns 0."""
    _FOLDER.mkdir(exist_ok=True)
    for name, arguments in (("run", [""]), ("sweep", ["1000"])):
        with _typed(name, *arguments) as terminal:
            terminal.process.wait(_SECONDS)
            terminal.drain()
            _save(name, terminal.screen())
    with _typed("serve") as terminal:
        _watch_requests(terminal)
        _save("local", re.sub(r"\A.*\n(?=.*time \(UTC\))", "", terminal.screen(), flags=re.DOTALL))
    with _typed("chaos", *_CHAOS) as terminal:
        terminal.process.wait(_SECONDS)
    shutil.copy(WORKSPACE / "chaos/history.png", _FOLDER / "chaos.png")
    return 0


def _typed(*command: str) -> AbstractContextManager[Terminal]:
    return running_terminal(
        [sys.executable, "-m", "local", *command],
        directory=REPOSITORY,
        environment=os.environ,
        size=f"{_COLUMNS}x30",
    )


def _watch_requests(terminal: Terminal) -> None:
    """Send requests, of which the API throttles the first and does not answer the last."""
    terminal.wait_for("^Rate limiter: ")
    endpoint, ca = terminal.wait_for(r"AWS_ENDPOINT_URL=(\S+) AWS_CA_BUNDLE=(\S+)").groups()
    queue_url = terminal.wait_for(r"--queue-url (\S+)")[1]
    sqs = LocalAws(endpoint, WORKSPACE, ca=Path(ca)).client("sqs")

    def send(user_number: int, request_id: str) -> None:
        user_id = f"64f0c1a27be35d0012a9e4{user_number:02x}"
        body = f'{{"user_id": "{user_id}", "request_id": "{request_id}"}}'
        sqs.send_message(QueueUrl=queue_url, MessageBody=body)

    _let_answer("429")
    send(1, "crm-task-88213")
    terminal.wait_for(r"crm-task-88213 .* deferred")
    send(2, "crm-task-88214")
    terminal.wait_for("^2 requests: 2 sent")
    send(1, "crm-task-88215")
    send(3, "crm-task-88216")
    terminal.wait_for(r"crm-task-88216 .* rejected")
    _let_answer("lost")
    send(5, "crm-task-88217")
    terminal.wait_for(r"crm-task-88217 .* deferred")


def _let_answer(answer: str) -> None:
    with _typed("fake", answer, "1", "") as terminal:
        terminal.process.wait(_SECONDS)


def _save(name: str, screen: str) -> None:
    """Write what a terminal shows as an SVG whose font is the reader's own."""
    console = Console(record=True, width=_COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ make {name}\n{screen.rstrip()}"), soft_wrap=True)
    template = re.sub(r"<!--.*?-->|@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = console.export_svg(title="", code_format=template)
    lines = (line.strip() for line in svg.splitlines())
    (_FOLDER / f"{name}.svg").write_text("\n".join(filter(None, lines)) + "\n", encoding="utf-8")
