"""Runs one handler as Lambda does: in a process that sees only what was shipped.

Started by path with `python -I -S -B`: nothing of the project is on the path, and nothing is
compiled on the side, because Lambda's file system is read-only.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

# What handlers read of Lambda's context.
_CONTEXT = {
    "function_name": "bench",
    "function_version": "1",
    "memory_limit_in_mb": 512,
    "invoked_function_arn": "arn:aws:lambda:eu-west-1:000000000000:function:bench",
    # The longest Timeout of the functions.
    "get_remaining_time_in_millis": lambda: 300_000,
}


def main(command: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Import the handler, and invoke it with one event after another."""
    sys.path[:0] = command["paths"]
    module, _, name = command["handler"].rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    calls: list[dict[str, Any]] = []
    if command["count"]:
        _note_calls(calls)
    reports = []
    for number, event in enumerate(command["events"]):
        logged, wall, cpu = os.fstat(1).st_size, time.perf_counter(), time.process_time()
        answer = handler(event, SimpleNamespace(aws_request_id=f"call-{number}", **_CONTEXT))
        report = {
            "answer": answer,
            "answered_at": time.time(),
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "cpu_since_start": time.process_time(),
            "peak_kilobytes": _peak_kilobytes(),
            "calls": calls.copy(),
        }
        calls.clear()
        sys.stdout.flush()
        reports.append({**report, "log_bytes": os.fstat(1).st_size - logged})
    return reports


def _peak_kilobytes() -> int:
    """From /proc, because getrusage begins with the peak of the parent process."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123  # no more imports
        return int(status.read().partition("VmHWM:")[2].split()[0])


def _note_calls(calls: list[dict[str, Any]]) -> None:
    """Note each call of the SDK from now on."""
    client = importlib.import_module("botocore.client").BaseClient
    call = client._make_api_call

    def noted(self: Any, operation: str, parameters: Mapping[str, Any]) -> Any:
        plain = json.loads(json.dumps(parameters, default=str))
        calls.append({"operation": operation, "parameters": plain})
        return call(self, operation, parameters)

    client._make_api_call = noted


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as reply:
        # The log: what the handler and its libraries print.
        os.dup2(2, 1)
        json.dump(main(json.load(sys.stdin)), reply)
