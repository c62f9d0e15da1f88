"""Finds processes that a test has left behind."""

import subprocess
import time

_POLL_SECONDS = 0.1


def processes_left(text: str, *, seconds: float = 60.0) -> list[str]:
    """Wait for the end of the processes with a text in their command line or environment.

    Returns those that still run after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while (found := _processes_with(text)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return found


def _processes_with(text: str) -> list[str]:
    listed = subprocess.run(
        ["ps", "eww", "-A", "-o", "pid=,args="],  # noqa: S607  # the path differs between systems
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in listed.stdout.splitlines() if text in line]
