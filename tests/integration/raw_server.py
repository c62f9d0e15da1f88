"""A server on a real socket that answers with any bytes."""

import contextlib
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Talk = Callable[[socket.socket], bool]
"""Answers one request; says whether the connection stays open."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class RawServer(socketserver.ThreadingTCPServer):
    """Lets `talk` answer each request, and notes the requests and their connections."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, talk: Talk, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.talk = talk
        self.tls = tls
        self.heads: list[bytes] = []
        self.peers: set[tuple[str, int]] = set()
        self.received = threading.Event()

    @property
    def url(self) -> str:
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.server_address[1]}/v2"

    @property
    def connections(self) -> int:
        """How many connections had a request."""
        return len(self.peers)

    def wait_for_a_request(self) -> None:
        """Wait until a thread has read the request of a client that did not wait for an answer."""
        assert self.received.wait(timeout=60)


class _Conversation(socketserver.BaseRequestHandler):
    server: RawServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            if self.server.tls is None:
                self._converse(self.request)
            else:
                with self.server.tls.wrap_socket(self.request, server_side=True) as connection:
                    self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        while head := connection.recv(65_536):
            self.server.heads.append(head)
            self.server.peers.add(self.client_address)
            self.server.received.set()
            if not self.server.talk(connection):
                return


@contextmanager
def serving(*talks: Talk, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
    """Run a server that answers each request in another way; the last way stays."""
    left = list(talks)

    def talk(connection: socket.socket) -> bool:
        return (left.pop(0) if len(left) > 1 else left[0])(connection)

    with RawServer(talk, tls) as server:
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


def silent(connection: socket.socket) -> bool:
    return bool(connection.recv(1))


def resetting(connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False
