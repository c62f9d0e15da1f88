"""A server on a real socket that answers with any bytes, and calls of the API's adapter to it."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from invitations.outcomes import Cause, Outcome
from invitations.partoo import PartooApi
from tests.reinvite_world import Clock

KEY = "hush-hush-key"
USER = "5d2c1b7e90f3a4468be01c57"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Talk = Callable[[socket.socket], bool]
"""Answers one request; says whether the connection stays open."""


class RawServer(socketserver.ThreadingTCPServer):
    """Answers each request in another way, the last way stays; notes requests and connections."""

    daemon_threads = True

    def __init__(self, talks: list[Talk], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.server_address[1]}/v2"
        self.heads: list[bytes] = []
        self.connections: set[Any] = set()
        """Those that had a request."""
        self.received = threading.Event()
        self._talks, self._tls = talks, tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Converse on a connection, in a thread of its own."""
        with suppress(OSError):
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True)
            with request:
                while head := request.recv(65_536):
                    self.heads.append(head)
                    self.connections.add(client_address)
                    self.received.set()
                    talk = self._talks.pop(0) if len(self._talks) > 1 else self._talks[0]
                    if not talk(request):
                        return


@contextmanager
def serving(*talks: Talk, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    with RawServer(list(talks), tls) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def answering(*parts: bytes, then_stays: bool = False) -> Talk:
    def talk(connection: socket.socket) -> bool:
        connection.sendall(b"".join(parts))
        return then_stays

    return talk


def stays(*parts: bytes) -> Talk:
    return answering(*parts, then_stays=True)


def silent(connection: socket.socket) -> bool:
    return bool(connection.recv(1))


def api_at(url: str, clock: Clock | None = None, timeout_seconds: float = 60) -> PartooApi:
    """The adapter, whose clock stands still if the test does not move it."""
    return PartooApi(url, timeout_seconds, clock or Clock())


def call(url: str, user_id: str = USER, *, timeout_seconds: float = 60) -> Outcome:
    return api_at(url, timeout_seconds=timeout_seconds).invite(user_id, KEY)


def status_of(outcome: Outcome) -> int | None:
    """The status; None for a call whose outcome is unknown."""
    assert outcome.cause != Cause.CONNECTION_FAILED
    return outcome.http_status
