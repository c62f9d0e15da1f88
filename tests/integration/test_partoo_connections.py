"""The API adapter when connections fail: what was not sent, what is unknown, what is used again."""

import contextlib
import os
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
import trustme

from invitations.outcomes import Cause
from tests.integration.raw_server import (
    KEY,
    OK,
    USER,
    answering,
    api_at,
    call,
    serving,
    silent,
    status_of,
    stays,
)
from tests.reinvite_world import Clock


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A trusted authority, and time for handshakes with a server in this process."""
    authority, certificate = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr("invitations.partoo.CONNECT_TIMEOUT_SECONDS", 60.0)
    return authority


def tls_for(authority: trustme.CA, host: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


def test_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answering(OK)) as server, serving(answering(OK)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)

        assert status_of(call(server.url)) == 200
    assert proxy.heads == []


# Not sent


def test_refused_connection_and_unknown_name_are_not_sent() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        assert (
            call(f"http://127.0.0.1:{bound.getsockname()[1]}/v2").cause == Cause.CONNECTION_FAILED
        )
    assert call("https://partoo.invalid/v2").cause == Cause.CONNECTION_FAILED


def test_connection_that_is_not_accepted_in_time_is_not_sent() -> None:
    with socket.socket() as full, contextlib.ExitStack() as queued:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = queued.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        started = time.monotonic()
        response = call(f"http://127.0.0.1:{full.getsockname()[1]}/v2", timeout_seconds=600)

    assert response.cause == Cause.CONNECTION_FAILED
    assert time.monotonic() - started < 300


@pytest.mark.parametrize(("trusted", "host"), [(False, "127.0.0.1"), (True, "other.example.com")])
def test_certificate_of_a_stranger_or_for_another_host_is_not_sent(
    authority: trustme.CA, trusted: bool, host: str
) -> None:
    tls = tls_for(authority if trusted else trustme.CA(), host)
    with serving(answering(OK), tls=tls) as server:
        assert call(server.url).cause == Cause.CONNECTION_FAILED
    assert server.heads == []


# Unknown


def test_bad_record_over_tls_is_unknown(authority: trustme.CA) -> None:
    def bad_record(connection: socket.socket) -> bool:
        record = b"no record of this key 0123456789"
        os.write(connection.fileno(), b"\x17\x03\x03\x00\x20" + record)
        return bool(connection.recv(1))

    with serving(bad_record, tls=tls_for(authority)) as server:
        assert call(server.url).cause == Cause.NO_ANSWER
    assert len(server.heads) == 1


def test_call_that_is_not_answered_in_time_is_unknown_and_not_repeated() -> None:
    with serving(silent) as server:
        assert call(server.url, timeout_seconds=0.2).cause == Cause.NO_ANSWER
        assert server.received.wait(timeout=60)
    assert len(server.heads) == 1


def test_call_on_a_kept_connection_that_breaks_is_unknown_since_then_and_not_repeated(
    clock: Clock,
) -> None:
    def breaks(_: socket.socket) -> bool:
        clock.now += 9
        return False

    with serving(stays(OK), breaks) as server:
        api = api_at(server.url, clock)
        api.invite(USER, KEY)
        response = api.invite(USER, KEY)

    assert response.cause == Cause.NO_ANSWER
    assert response.emailed_at == clock.now
    assert len(server.heads) == 2


# Connections


def test_connection_that_got_an_unasked_answer_is_not_used_again() -> None:
    answered, done = threading.Event(), threading.Event()

    def talk(connection: socket.socket) -> bool:
        connection.sendall(OK)
        assert answered.wait(timeout=60)
        connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
        done.set()
        return True

    with serving(talk, answering(OK)) as server:
        api = api_at(server.url)
        api.invite(USER, KEY)
        answered.set()
        assert done.wait(timeout=60)

        assert status_of(api.invite(USER, KEY)) == 200
    assert len(server.connections) == 2


@pytest.mark.parametrize(("seconds", "connections"), [(20, 1), (20.1, 2)])
def test_connections_are_younger_than_twenty_seconds(
    seconds: float, connections: int, clock: Clock
) -> None:
    with serving(stays(OK)) as server:
        api = api_at(server.url, clock)
        api.invite(USER, KEY)
        clock.now += seconds
        api.invite(USER, KEY)
    assert len(server.connections) == connections
