"""Child processes that end with the command that started them."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from local.errors import ProcessFailedError

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a polite end, and a terminal that closes."""

_POLL_SECONDS = 0.05
_STOP_SECONDS = 3.0


@contextmanager
def running(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, directory: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in the background for the length of the block; its output goes to `log`.

    The command leads a session of its own: Ctrl-C reaches only this process, which ends its
    children in order, and the end of the session ends the children of the command.
    """
    child: subprocess.Popen[bytes] | None = None
    try:
        with log.open("wb") as output, uninterrupted():
            child = subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        yield child
    finally:
        if child is not None:
            with uninterrupted():
                _end_session(child)


def run(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, directory: Path
) -> None:
    """Run a command to its end; raises ProcessFailedError with the end of its output."""
    with running(command, environment=environment, log=log, directory=directory) as child:
        code = child.wait()
    if code != 0:
        raise ProcessFailedError(f"{' '.join(command[:2])} ended with {code}", log)


def wait_until_ready(
    child: subprocess.Popen[bytes], ready: Callable[[], bool], *, seconds: float, log: Path
) -> None:
    """Wait for `ready`; raises ProcessFailedError after `seconds` or if the child ends."""
    deadline = time.monotonic() + seconds
    while not ready():
        if child.poll() is not None or time.monotonic() > deadline:
            raise ProcessFailedError(f"{log.stem} was not ready after {seconds:g} s", log)
        time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def treat_ends_as_interrupt() -> None:
    """Raise KeyboardInterrupt on the first signal of ENDS, so that `with` blocks end children.

    Later ones are ignored, because they would interrupt the cleaning up: a terminal that closes
    sends two. Under nohup, the closing terminal stays ignored.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in ENDS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay the signals of ENDS to the end of the block.

    A signal between the start of a process and the assignment, or during the end of children, would
    leave processes behind.
    """
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread receives signals.
        yield
        return
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)

    previous = {number: signal.signal(number, hold) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if held:
        signal.raise_signal(held[0])


def _end_session(child: subprocess.Popen[bytes]) -> None:
    _signal_session(child, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(_STOP_SECONDS)
    # The children of a child that has ended may still run.
    _signal_session(child, signal.SIGKILL)
    child.wait()


def _signal_session(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # macOS raises PermissionError if only zombies are left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
