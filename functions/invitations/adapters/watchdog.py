"""Cuts connections on which an answer takes too long.

A time-out of the socket begins anew with every byte. One thread watches all calls, because one for
each would take longer to start than a call's own work takes.
"""

import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class _Call:
    def __init__(self, connected: socket.socket, cut_at: float) -> None:
        self.cut_at = cut_at
        self._connected: socket.socket | None = connected
        self._lock = threading.Lock()

    def end(self) -> None:
        # Nobody must cut what has gone on to another call.
        with self._lock:
            self._connected = None

    def cut(self) -> None:
        with self._lock, suppress(OSError):
            if self._connected is not None:
                # Past the TLS layer, which another thread is reading from.
                socket.socket.shutdown(self._connected, socket.SHUT_RDWR)


class Watchdog:
    """All of its calls have the same time, in seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls = deque[_Call]()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, connected: socket.socket) -> Iterator[None]:
        """Cut the connection unless the block ends in time."""
        call = _Call(connected, time.monotonic() + self._seconds)
        with self._changed:
            self._calls.append(call)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            call.end()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._calls))
                call = self._calls.popleft()
            # Who came first is the first to be cut.
            time.sleep(max(0, call.cut_at - time.monotonic()))
            call.cut()
