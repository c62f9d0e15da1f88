"""Ends what tests have started when pytest is ended from outside."""

import os
import signal
import subprocess
from contextlib import suppress
from types import FrameType

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Tear fixtures down on SIGTERM and when the terminal closes, as on Ctrl-C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if config.getoption("numprocesses", None):
            _end_workers()
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def _end_workers() -> None:
    """Let the processes of `pytest -n` tear down at once: they are killed after ten seconds."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="],  # noqa: S607  # the path differs between systems
        capture_output=True,
        text=True,
        check=True,
    )
    for pid, parent in map(str.split, listed.stdout.splitlines()):
        if int(parent) == os.getpid():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)
