"""Runs a command in a pseudo-terminal."""

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

_POLL_SECONDS = 0.05
# So wide that no line is broken.
_ROWS, _COLUMNS = 50, 220
_CONTROLS = re.compile(r"\x1b\[[?\d;]*[A-Za-z]|\r")


class Terminal:
    """A running command, and what it has printed."""

    def __init__(
        self, command: Sequence[str], *, directory: Path, environment: Mapping[str, str]
    ) -> None:
        self._printed = ""
        self._open = True
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (_ROWS, _COLUMNS))
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env={**environment, "TERM": "xterm-256color"},
            # It must be the controlling one, whose Ctrl-C and end send signals.
            preexec_fn=lambda: os.login_tty(slave),  # noqa: PLW1509
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def printed(self) -> str:
        """All that the command has printed, without colours."""
        return _CONTROLS.sub("", self._printed)

    def wait_for(self, pattern: str, seconds: float = 120.0) -> re.Match[str]:
        """Wait until the command has printed a pattern; fails after `seconds` or at its end."""
        deadline = time.monotonic() + seconds
        while True:
            is_last = time.monotonic() > deadline or not self._reader.is_alive()
            if found := re.search(pattern, self.printed, re.MULTILINE):
                return found
            assert not is_last, f"There is no {pattern} in\n{self.printed}"
            time.sleep(_POLL_SECONDS)

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
                    self._printed += decoder.decode(os.read(self._master, 65_536))


@contextmanager
def running_terminal(
    command: Sequence[str], *, directory: Path, environment: Mapping[str, str]
) -> Iterator[Terminal]:
    """Run a command for the length of the block, and press Ctrl-C at its end."""
    terminal = Terminal(command, directory=directory, environment=environment)
    try:
        yield terminal
    finally:
        terminal.interrupt()
        terminal.end()
        terminal.hang_up()
