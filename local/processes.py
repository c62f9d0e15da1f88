"""Child processes that never outlive the command which started them."""

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

from local.errors import CommandFailedError, NotReadyError

_POLL_SECONDS = 0.05
_STOP_SECONDS = 3.0


@contextmanager
def running(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, directory: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in the background, both of its outputs in `log`, and end it with the block.

    The command leads a session of its own: a Ctrl-C in the terminal reaches only the caller, who
    ends its children in order, and ending the session ends whatever the command has started.
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
    """Run a command to its end; raises CommandFailedError with what it printed last."""
    with running(command, environment=environment, log=log, directory=directory) as child:
        code = child.wait()
    if code != 0:
        raise CommandFailedError(command, code, log)


def wait_until_ready(
    child: subprocess.Popen[bytes], ready: Callable[[], bool], *, seconds: float, log: Path
) -> None:
    """Wait until `ready` says so; raises NotReadyError after `seconds` or when the child ended."""
    deadline = time.monotonic() + seconds
    while not ready():
        if child.poll() is not None or time.monotonic() > deadline:
            raise NotReadyError(child, seconds, log)
        time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """Return a loopback port that nothing listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def treat_sigterm_as_interrupt() -> None:
    """Unwind on SIGTERM as on Ctrl-C, so that every `with` block still ends its children."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back for a moment.

    One that arrives between the fork and the assignment, or while children are being ended, would
    leave processes behind.
    """
    if threading.current_thread() is not threading.main_thread():
        # Python delivers signals to the main thread only.
        yield
        return
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)

    previous = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
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
    # Also when the child went quietly: what it had started may still be there.
    _signal_session(child, signal.SIGKILL)
    child.wait()


def _signal_session(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # macOS answers PermissionError where only zombies are left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
