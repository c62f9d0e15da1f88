"""Kills the processes in which the local AWS runs functions, as a crash would."""

import os
import re
import signal
import subprocess
from contextlib import suppress

from local.aws import LocalAws

_WORKER = re.compile(r"/ministack-lambda-[^/]+/_worker\.py$")


def kill_workers(aws: LocalAws, function_name: str | None = None) -> int:
    """Kill the processes of all functions or of one, busy or idle; returns their number.

    The next execution starts a new process.
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
        ["ps", *arguments],  # noqa: S607  # the path differs between systems
        # A process may have ended meanwhile.
        check=False,
        capture_output=True,
        text=True,
    ).stdout
