"""Kills the processes in which the local AWS runs functions, as a crash would."""

import os
import re
import signal
import subprocess
from contextlib import suppress

from local.aws import LocalAws

_WORKER = re.compile(r"/ministack-lambda-[^/]+/_worker\.py( |$)")


def kill_workers(aws: LocalAws, function_name: str = "") -> int:
    """Kill the processes of all functions or of one, busy or idle; returns their number.

    The next execution starts a new process.
    """
    # The option e adds the environment to the arguments.
    command = ["ps", "axeww", "-o", "pid=,ppid=,args="]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    killed = 0
    for pid, parent, *words in map(str.split, lines):
        is_named = not function_name or f"AWS_LAMBDA_FUNCTION_NAME={function_name}" in words
        if int(parent) == aws.server_pid and _WORKER.search(" ".join(words)) and is_named:
            killed += 1
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    return killed
