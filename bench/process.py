"""A handler's process, and how to give it work."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.builds import PYTHON
from local.errors import LocalStackError

_DRIVER = Path(__file__).with_name("driver.py")
_STOP_SECONDS = 5.0


class DriverDiedError(LocalStackError):
    """A handler's process ended before it answered."""

    def __init__(self, log: Path) -> None:
        lines = log.read_text(errors="replace").splitlines()[-20:] if log.exists() else []
        super().__init__("\n".join([f"The handler's process ended; {log} says:", *lines]))


@dataclass(frozen=True)
class Invocation:
    """What came of one invocation; `wall` and `cpu` are the process's own seconds.

    `peak_kilobytes` is the most memory that the process ever had.
    """

    answer: Any
    wall: float
    cpu: float
    log_bytes: int
    peak_kilobytes: int
    calls: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Handler:
    """A process that waits for events."""

    child: subprocess.Popen[str]
    started_at: float
    """Of `time.perf_counter`, just before the process was spawned."""
    log: Path

    def invoke(self, event: Mapping[str, Any], *, count: bool = False) -> Invocation:
        """Invoke the handler and wait; with `count`, its calls of AWS come along.

        Counting reads every item that is written, so its times mean nothing. Raises
        DriverDiedError.
        """
        assert self.child.stdin is not None  # noqa: S101  # for mypy: both are pipes
        assert self.child.stdout is not None  # noqa: S101
        try:
            self.child.stdin.write(json.dumps({"event": event, "count": count}) + "\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            raise DriverDiedError(self.log) from None
        line = self.child.stdout.readline()
        if not line:
            raise DriverDiedError(self.log)
        return Invocation(**json.loads(line))

    def seconds_since_start(self) -> float:
        return time.perf_counter() - self.started_at


@contextmanager
def handler_process(
    paths: Sequence[Path], handler: str, environment: Mapping[str, str], log: Path
) -> Iterator[Handler]:
    """Run a handler for the length of the block; an empty name is the bare interpreter."""
    order = {"paths": [str(path) for path in paths], "handler_name": handler, "log": str(log)}
    started_at = time.perf_counter()
    with subprocess.Popen(
        [str(PYTHON), "-I", "-S", "-B", str(_DRIVER), json.dumps(order)],
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield Handler(child, started_at, log)
            if child.stdin is not None:
                child.stdin.close()
            child.wait(_STOP_SECONDS)
        finally:
            child.kill()
