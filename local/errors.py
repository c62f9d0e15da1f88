"""Errors of the commands: one sentence each, and the end of the log if there is one."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

_TAIL_LINES = 25


class CommandError(Exception):
    """Base of the errors that a command prints without a traceback."""


class NotInstalledError(CommandError):
    """A tool's virtual environment is missing."""

    def __init__(self, tool: Path) -> None:
        super().__init__(f"{tool} is missing: `make setup` installs it.")


class NotReadyError(CommandError):
    """A background process ended, or was not ready in time."""

    def __init__(self, child: subprocess.Popen[bytes], seconds: float, log: Path) -> None:
        name = child.args[0] if isinstance(child.args, list) else child.args
        what = f"was not ready after {seconds:g} s"
        if child.poll() is not None:
            what = f"ended with {child.returncode} before it was ready"
        super().__init__(f"{name!s} {what}.{_tail(log)}")


class ProcessFailedError(CommandError):
    """A child process ended with another exit code than 0."""

    def __init__(self, command: Sequence[str], code: int, log: Path) -> None:
        super().__init__(f"{' '.join(command[:2])} ended with {code}.{_tail(log)}")


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join([f" {log} ends with:", *(f"  {line}" for line in lines)])
