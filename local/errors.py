"""What can go wrong with the local stack, each as one sentence and the log's last lines."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

_TAIL_LINES = 25


class LocalStackError(Exception):
    """Base of everything that the local stack raises itself."""


class NotInstalledError(LocalStackError):
    """A tool's environment is missing."""

    def __init__(self, tool: Path) -> None:
        super().__init__(f"{tool} is missing: `make setup` installs it.")


class NotReadyError(LocalStackError):
    """A background process ended or stayed silent instead of getting ready."""

    def __init__(self, child: subprocess.Popen[bytes], seconds: float, log: Path) -> None:
        what = (
            f"was not ready after {seconds:g} s"
            if child.poll() is None
            else f"ended with {child.returncode} before it was ready"
        )
        super().__init__(f"{_name(child.args)} {what}.{_tail(log)}")


class CommandFailedError(LocalStackError):
    """A command ended with another exit code than 0."""

    def __init__(self, command: Sequence[str], code: int, log: Path) -> None:
        super().__init__(f"{' '.join(command[:2])} ended with {code}.{_tail(log)}")


def _name(command: object) -> str:
    return str(command[0]) if isinstance(command, list) else str(command)


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join([f" {log} ends with:", *(f"  {line}" for line in lines)])
