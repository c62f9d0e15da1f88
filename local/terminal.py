"""Runs a command in a pseudo-terminal, for pictures and tests."""

import codecs
import os
import pty
import re
import select
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from local.errors import CommandError

_POLL_SECONDS = 0.05
_SIZE = ("COLUMNS", "LINES")
_TOKEN = re.compile(r"\x1b\[(?P<number>\d*)(?P<code>[AK])|\x1b\[\?25[lh]|\r|\n")


class Terminal:
    """A running command, and what it has printed."""

    def __init__(
        self, command: Sequence[str], *, directory: Path, environment: Mapping[str, str], size: str
    ) -> None:
        """Start a command; `size` is COLUMNSxROWS."""
        columns, rows = map(int, size.split("x"))
        self.printed = ""
        self._open = True
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (rows, columns))
        # These would hide the terminal's own size.
        inherited = {name: value for name, value in environment.items() if name not in _SIZE}
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env={**inherited, "TERM": "xterm-256color"},
            # It must be the controlling one, whose Ctrl-C and end send signals.
            preexec_fn=lambda: os.login_tty(slave),  # noqa: PLW1509
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, pattern: str, seconds: float = 120.0) -> re.Match[str]:
        """Wait until the screen shows a pattern; raises CommandError.

        It raises after `seconds`, or when the command has ended.
        """
        deadline = time.monotonic() + seconds
        while True:
            is_last = time.monotonic() > deadline or not self._reader.is_alive()
            if found := re.search(pattern, self.text(), re.MULTILINE):
                return found
            if is_last:
                raise CommandError(f"There is no {pattern} in\n{self.text()}")
            time.sleep(_POLL_SECONDS)

    def screen(self) -> str:
        """Return what the terminal shows, lines above its top included, with colours."""
        lines, row = [""], 0
        position = 0
        for token in _TOKEN.finditer(self.printed):
            lines[row] += self.printed[position : token.start()]
            position = token.end()
            if token[0] == "\n":
                row += 1
                lines += [""] * (row == len(lines))
            elif token["code"] == "A":
                row -= int(token["number"] or 1)
            elif token["code"] == "K":
                lines[row] = ""
        lines[row] += self.printed[position:]
        return "\n".join(lines)

    def text(self) -> str:
        """Return what the terminal shows without colours."""
        return re.sub(r"\x1b\[[\d;]*m", "", self.screen())

    def interrupt(self) -> None:
        """Press Ctrl-C unless the command has ended."""
        if self.process.poll() is None:
            with suppress(OSError):
                os.write(self._master, b"\x03")

    def hang_up(self) -> None:
        """Close the terminal, as if its window were closed."""
        self._open = False
        # A terminal that somebody reads from does not close.
        self._reader.join()
        with suppress(OSError):
            os.close(self._master)

    def end(self, seconds: float = 30.0) -> None:
        """Wait for the end of the command, and for what it has printed."""
        self.process.wait(seconds)
        self._reader.join(seconds)

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # Raised when the last process of the terminal has ended.
        with suppress(OSError):
            while self._open:
                if select.select([self._master], [], [], _POLL_SECONDS)[0]:
                    self.printed += decoder.decode(os.read(self._master, 65_536))


@contextmanager
def running_terminal(
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    size: str = "110x40",
) -> Iterator[Terminal]:
    """Run a command for the length of the block, and press Ctrl-C at its end."""
    terminal = Terminal(command, directory=directory, environment=environment, size=size)
    try:
        yield terminal
    finally:
        terminal.interrupt()
        terminal.end()
        terminal.hang_up()
