"""Errors of the commands: one sentence each, and the end of the log if there is one."""

from pathlib import Path

_TAIL_LINES = 25


class CommandError(Exception):
    """Base of the errors that a command prints without a traceback."""


class ProcessFailedError(CommandError):
    """A child process ended with another exit code than 0, or was not ready in time."""

    def __init__(self, what: str, log: Path) -> None:
        lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        super().__init__("\n  ".join([f"{what}. {log} ends with:", *lines]))
