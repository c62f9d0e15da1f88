"""The API adapter when connections fail: what was not sent, what is unknown, what is used again."""

import contextlib
import os
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme

from invitations.outcomes import Answered, NotSent, Unknown
from invitations.partoo import PartooApi
from tests.integration.partoo_calls import KEY, USER, Clock, call, excerpt_of, status_of
from tests.integration.raw_server import (
    OK,
    Talk,
    answering,
    in_turn,
    resetting,
    serving,
    silent,
    tls_for,
)

# Not sent


def test_refused_connection_is_not_sent() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))

        assert isinstance(call(f"http://127.0.0.1:{bound.getsockname()[1]}/v2"), NotSent)


def test_unknown_name_is_not_sent() -> None:
    assert isinstance(call("https://partoo.invalid/v2"), NotSent)


def test_connection_that_is_not_accepted_in_time_is_not_sent() -> None:
    with socket.socket() as full, contextlib.ExitStack() as queued:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = queued.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        started = time.monotonic()
        response = call(f"http://127.0.0.1:{full.getsockname()[1]}/v2", timeout_seconds=20)

    assert isinstance(response, NotSent)
    assert time.monotonic() - started < 2


def test_untrusted_certificate_is_not_sent(tls: ssl.SSLContext) -> None:
    with serving(answering(OK), tls) as server:
        assert isinstance(call(server.url), NotSent)

    assert server.heads == []


@pytest.mark.usefixtures("_trusted")
def test_certificate_of_another_host_is_not_sent(authority: trustme.CA) -> None:
    with serving(answering(OK), tls_for(authority, "other.example.com")) as server:
        assert isinstance(call(server.url), NotSent)

    assert server.heads == []


# Unknown


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(answering(), id="closed"),
        pytest.param(resetting, id="reset"),
        pytest.param(silent, id="silent"),
        pytest.param(answering(b"What?\r\n\r\n"), id="no HTTP"),
        pytest.param(answering(b"HTTP/1.1 two hundred\r\n\r\n"), id="no status"),
        pytest.param(answering(b"HTTP/1.1 2000 OK\r\n\r\n"), id="status out of range"),
        pytest.param(answering(b"HTTP/1.1 2"), id="half a status line"),
        pytest.param(answering(b"\x00" * 100_000), id="zeros"),
        pytest.param(answering(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200), id="many fields"),
        pytest.param(answering(b"HTTP/1.1 200 OK\r\nA: ", b"b" * 100_000), id="long field"),
        pytest.param(
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
            id="two lengths",
        ),
    ],
)
def test_call_without_a_readable_answer_is_unknown_and_not_repeated(talk: Talk) -> None:
    with serving(talk) as server:
        response = call(server.url, timeout_seconds=0.5)

    assert isinstance(response, Unknown)
    assert len(server.heads) == 1


def test_call_on_a_kept_connection_that_breaks_is_unknown_and_not_repeated() -> None:
    with serving(in_turn(answering(OK, then_stays=True), answering())) as server:
        api = PartooApi(server.url, 5)
        api.invite(USER, KEY)

        assert isinstance(api.invite(USER, KEY), Unknown)
    assert len(server.heads) == 2


def bad_record(connection: socket.socket) -> bool:
    os.write(connection.fileno(), b"\x17\x03\x03\x00\x20" + b"no record of this key 0123456789")
    return bool(connection.recv(1))


@pytest.mark.usefixtures("_trusted")
@pytest.mark.parametrize("talk", [answering(), silent, bad_record])
def test_call_without_a_readable_answer_over_tls_is_unknown(
    tls: ssl.SSLContext, talk: Talk
) -> None:
    with serving(talk, tls) as server:
        response = call(server.url, timeout_seconds=0.5)

    assert isinstance(response, Unknown)
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), id="plain HTTP"),
        pytest.param(resetting, id="reset"),
        pytest.param(silent, id="silent"),
    ],
)
def test_handshake_that_fails_counts_as_unknown_although_no_key_was_sent(talk: Talk) -> None:
    with serving(talk) as server:
        response = call(server.url.replace("http:", "https:"), timeout_seconds=0.5)

    assert isinstance(response, Unknown)
    [hello] = server.heads
    assert KEY.encode() not in hello


def test_unknown_outcome_says_when_the_call_was_given_up(clock: Clock) -> None:
    def talk(_: socket.socket) -> bool:
        clock.now += 9
        return False

    with serving(talk) as server:
        response = PartooApi(server.url, 5, clock).invite(USER, KEY)

    assert isinstance(response, Unknown)
    assert response.gave_up_at == clock.now


# Connections


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_connection_is_used_again_after_a_clean_answer(answer: bytes) -> None:
    with serving(answering(answer, then_stays=True)) as server:
        api = PartooApi(server.url, 5)
        for _ in range(3):
            status_of(api.invite(USER, KEY))

    assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", id="broken off"),
        pytest.param(
            b"HTTP/1.1 500 Oh\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90_000, id="long"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", id="chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", id="close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", id="HTTP/1.0"),
        pytest.param(b"What?\r\n\r\n", id="no HTTP"),
    ],
)
def test_connection_is_closed_after_anything_odd(answer: bytes) -> None:
    closed = threading.Event()

    def odd(connection: socket.socket) -> bool:
        connection.sendall(answer)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        closed.set()
        return False

    with serving(in_turn(odd, answering(OK))) as server:
        api = PartooApi(server.url, timeout_seconds=0.5)
        api.invite(USER, KEY)

        assert excerpt_of(api.invite(USER, KEY)) == "{}"
        assert closed.wait(timeout=5)
    assert server.connections == 2


@pytest.mark.parametrize("unasked", [None, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"])
def test_connection_that_ended_or_got_an_unasked_answer_is_not_used_again(
    unasked: bytes | None,
) -> None:
    done = threading.Event()

    def talk(connection: socket.socket) -> bool:
        connection.sendall(OK)
        time.sleep(0.1)
        if unasked is None:
            connection.shutdown(socket.SHUT_WR)
        else:
            connection.sendall(unasked)
        done.set()
        return unasked is not None

    with serving(in_turn(talk, answering(OK))) as server:
        api = PartooApi(server.url, 5)
        api.invite(USER, KEY)
        assert done.wait(timeout=5)
        time.sleep(0.05)

        assert status_of(api.invite(USER, KEY)) == 200
    assert server.connections == 2


@pytest.mark.parametrize(("seconds", "connections"), [(20, 1), (20.1, 2)])
def test_connections_are_younger_than_twenty_seconds(
    seconds: float, connections: int, clock: Clock
) -> None:
    with serving(answering(OK, then_stays=True)) as server:
        api = PartooApi(server.url, 5, clock)
        api.invite(USER, KEY)
        clock.now += seconds
        api.invite(USER, KEY)

    assert server.connections == connections


def test_calls_side_by_side_have_a_connection_each_and_keep_them(clock: Clock) -> None:
    all_are_here = threading.Barrier(10)

    def talk(connection: socket.socket) -> bool:
        all_are_here.wait(timeout=5)
        connection.sendall(OK)
        return True

    with serving(talk) as server, ThreadPoolExecutor(10) as executor:
        api = PartooApi(server.url, 5, clock)
        responses = [
            response
            for _ in range(5)
            for response in executor.map(lambda _: api.invite(USER, KEY), range(10))
        ]

    assert {type(response) for response in responses} == {Answered}
    assert server.connections == 10


def test_call_under_way_is_not_disturbed_when_the_connections_grow_old(clock: Clock) -> None:
    may_answer, begun = threading.Event(), threading.Event()

    def slow(connection: socket.socket) -> bool:
        begun.set()
        may_answer.wait(timeout=5)
        connection.sendall(OK)
        return True

    with serving(in_turn(slow, answering(OK))) as server, ThreadPoolExecutor(1) as executor:
        api = PartooApi(server.url, 5, clock)
        call_under_way = executor.submit(api.invite, USER, KEY)
        assert begun.wait(timeout=5)
        clock.now += 60
        api.invite(USER, KEY)
        may_answer.set()

        assert status_of(call_under_way.result()) == 200
