"""The processes in which the local AWS runs functions, and a way to end them as a crash would."""

import os
import re
import signal
import subprocess
from contextlib import suppress

from local.aws import LocalAws

_WORKER = re.compile(r"/ministack-lambda-[^/]+/_worker\.py$")


def kill_workers(aws: LocalAws) -> int:
    """Kill every process that runs a function, busy or not; returns how many there were.

    The next execution starts a new one.
    """
    workers = _workers(aws.server_pid)
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    return len(workers)


def _workers(server_pid: int | None) -> list[int]:
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="],  # noqa: S607  # each system has its own
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    processes = [line.split(maxsplit=2) for line in listing.splitlines()]
    return [
        int(pid)
        for pid, parent, *arguments in processes
        if int(parent) == server_pid and _WORKER.search(" ".join(arguments).rstrip())
    ]
