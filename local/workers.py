"""The processes in which the local AWS runs functions, and a way to end them as a crash would."""

import os
import re
import signal
import subprocess
from contextlib import suppress

from local.aws import LocalAws

_WORKER = re.compile(r"/ministack-lambda-[^/]+/_worker\.py$")


def kill_workers(aws: LocalAws, function_name: str | None = None) -> int:
    """Kill every process that runs a function, or this one, busy or not; returns how many.

    The next execution starts a new one.
    """
    workers = [
        pid
        for pid in _workers(aws.server_pid)
        if function_name is None or _runs(pid, function_name)
    ]
    for worker in workers:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    return len(workers)


def _workers(server_pid: int | None) -> list[int]:
    processes = [
        line.split(maxsplit=2) for line in _ps("-A", "-ww", "-o", "pid=,ppid=,args=").splitlines()
    ]
    return [
        int(pid)
        for pid, parent, *arguments in processes
        if int(parent) == server_pid and _WORKER.search(" ".join(arguments).rstrip())
    ]


def _runs(pid: int, function_name: str) -> bool:
    with_environment = _ps("eww", "-o", "args=", "-p", str(pid)).split()
    return f"AWS_LAMBDA_FUNCTION_NAME={function_name}" in with_environment


def _ps(*arguments: str) -> str:
    return subprocess.run(
        ["ps", *arguments],  # noqa: S607  # each system has its own
        # A process that has ended meanwhile is no error.
        check=False,
        capture_output=True,
        text=True,
    ).stdout
