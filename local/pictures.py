"""`make pictures`: make the README's pictures from what the commands print."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from io import StringIO

from rich.console import Console
from rich.text import Text

from local import chaos
from local.aws import REPOSITORY
from local.environment import WORKSPACE, empty_log_folder, local_environment
from local.fake import answer_of
from local.live import Watch
from local.partoo.control import ANY_USER, User

_FOLDER = REPOSITORY / "docs/pictures"
_COLUMNS = 110
# Colours without a terminal.
_COLOURED = {"COLUMNS": str(_COLUMNS), "FORCE_COLOR": "1", "TTY_INTERACTIVE": "0"}
_USER = "64f0c1a27be35d0012a9e4{:02x}"
_USERS = [User(_USER.format(number)) for number in (1, 2, 5)]
# The answer to the next call, a user's number, a request, and a step for which to wait.
_REQUESTS = (
    ("429", 1, "crm-task-88213", "deferred"),
    ("", 2, "crm-task-88214", "sent"),
    ("", 1, "crm-task-88215", "skipped"),
    ("", 3, "crm-task-88216", "rejected"),
    ("lost", 5, "crm-task-88217", "deferred"),
)


def main() -> int:
    """Run the commands and replace their pictures; returns 1 if a promise is broken."""
    for name, argument in (("run", ""), ("sweep", "1000")):
        command, console = [sys.executable, "-m", "local", name, argument], _console(name)
        done = subprocess.run(
            command, env=os.environ | _COLOURED, stdout=subprocess.PIPE, text=True, check=True
        )
        console.print(Text.from_ansi(done.stdout), soft_wrap=True)
        _save(name, console)
    console = _console("local")
    _watch_requests(console)
    _save("local", console)
    code = chaos.main("11", "300")
    shutil.copy(WORKSPACE / "chaos/history.png", _FOLDER / "chaos.png")
    return code


def _watch_requests(console: Console) -> None:
    """Send requests to a stack like that of `make local`, one after another."""
    with local_environment(
        empty_log_folder("pictures"), users=_USERS, window_seconds=60, say=print
    ) as environment:
        watch = Watch(environment.aws.logs, console)
        for answer, number, request_id, step in _REQUESTS:
            if answer:
                environment.partoo.script(ANY_USER, answer_of(answer))
            request = {"user_id": _USER.format(number), "request_id": request_id}
            environment.send(json.dumps(request))
            while not re.search(f"{step} .*{request_id}", console.export_text(clear=False)):
                time.sleep(0.1)
                watch.look()


def _console(name: str) -> Console:
    console = Console(record=True, width=_COLUMNS, file=StringIO())
    console.print(f"$ make {name}")
    return console


def _save(name: str, console: Console) -> None:
    """Write what a console has printed as an SVG whose font is the reader's own."""
    fonts = r"<!--.*?-->|@font-face \{.*?\}"
    svg = re.sub(fonts, "", console.export_svg(title=""), flags=re.DOTALL)
    lines = filter(None, (line.strip() for line in svg.splitlines()))
    (_FOLDER / f"{name}.svg").write_text("\n".join(lines) + "\n", encoding="utf-8")
