"""Runs one handler as Lambda does: a process of its own that sees only what was shipped.

Started by path with `python -I -S -B`, so nothing of the project or of an environment is on its
path, and nothing is compiled on the side: Lambda's file system is read-only. One JSON document a
line comes in, one goes out; what the handler prints goes to a file, whose growth is its log.
"""

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

# The longest of the functions'.
_TIMEOUT_MILLISECONDS = 300_000
_WRITES: Mapping[str, Callable[[Any], list[Mapping[str, Any]]]] = {
    "PutItem": lambda parameters: [key_of(parameters["Item"])],
    "UpdateItem": lambda parameters: [parameters["Key"]],
    "DeleteItem": lambda parameters: [parameters["Key"]],
    "TransactWriteItems": lambda parameters: [
        action.get("Key") or key_of(action["Item"])
        for entry in parameters["TransactItems"]
        for action in entry.values()
    ],
}


class Context:
    """What handlers ask of Lambda's context."""

    function_name = "bench"
    function_version = "1"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:000000000000:function:bench"

    def __init__(self, request_id: str) -> None:
        self.aws_request_id = request_id
        self._ends_at = time.monotonic() * 1000 + _TIMEOUT_MILLISECONDS

    def get_remaining_time_in_millis(self) -> int:
        return int(self._ends_at - time.monotonic() * 1000)


def main(paths: list[str], handler_name: str, log: str) -> None:
    """Import the handler and carry out one line of stdin after another."""
    answers = os.fdopen(os.dup(1), "w")
    log_descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log_descriptor, 1)
    os.dup2(log_descriptor, 2)
    sys.path[:0] = paths
    module, _, name = handler_name.rpartition(".")
    handler = getattr(importlib.import_module(module), name) if module else lambda _event, _: {}
    calls: list[dict[str, Any]] = []
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        if order.get("count") and not calls:
            _count_calls(calls.append)
        calls.clear()
        logged_before = os.fstat(log_descriptor).st_size
        wall, cpu = time.perf_counter(), time.process_time()
        answer = handler(order["event"], Context(f"invocation-{number}"))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        sys.stdout.flush()
        logged = os.fstat(log_descriptor).st_size - logged_before
        report = {
            "answer": answer,
            "wall": wall,
            "cpu": cpu,
            "log_bytes": logged,
            "peak_kilobytes": _peak_kilobytes(),
            "calls": calls,
        }
        answers.write(json.dumps(report) + "\n")
        answers.flush()


def _peak_kilobytes() -> int:
    """Not getrusage where it can be avoided: on Linux that begins with the parent's peak."""
    try:
        status = os.open("/proc/self/status", os.O_RDONLY)
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    # No more modules than need be: what they take to import is part of every start.
    text = os.read(status, 65_536).decode()
    os.close(status)
    return int(text.partition("VmHWM:")[2].split()[0])


def _count_calls(note: Callable[[dict[str, Any]], None]) -> None:
    """Note each call of the SDK from now on, with the bytes of each item that it writes.

    DynamoDB bills a write by the larger of the item before and after.
    """
    client_module = importlib.import_module("botocore.client")
    plain = client_module.BaseClient._make_api_call

    def counted(client: Any, operation: str, parameters: Mapping[str, Any]) -> Any:
        written = _WRITES.get(operation, lambda _: [])(parameters)
        before = [size(client, parameters, key) for key in written]
        try:
            return plain(client, operation, parameters)
        finally:
            after = [size(client, parameters, key) for key in written]
            note(
                {
                    "service": client.meta.service_model.service_name,
                    "operation": operation,
                    "parameters": json.loads(json.dumps(parameters, default=str)),
                    "item_bytes": [max(pair) for pair in zip(before, after, strict=True)],
                }
            )

    def size(client: Any, parameters: Mapping[str, Any], key: Mapping[str, Any]) -> int:
        table = parameters.get("TableName")
        if table is None:
            (first,) = list(parameters["TransactItems"][0].values())
            table = first["TableName"]
        wanted = {"TableName": table, "Key": key, "ConsistentRead": True}
        return item_bytes(plain(client, "GetItem", wanted).get("Item", {}))

    client_module.BaseClient._make_api_call = counted


def key_of(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item[name] for name in ("pk", "sk") if name in item}


def item_bytes(item: Mapping[str, Mapping[str, str]]) -> int:
    """The size that DynamoDB bills: names and values; a number has a byte for two digits, and one.

    Source: "DynamoDB item sizes and formats" in the developer guide. Only strings and numbers.
    """
    total = 0
    for name, value in item.items():
        ((kind, text),) = value.items()
        content = len(text.encode())
        total += len(name.encode()) + (content if kind == "S" else (content + 1) // 2 + 1)
    return total


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
