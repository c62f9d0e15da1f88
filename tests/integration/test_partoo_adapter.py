"""The API adapter on real sockets: what is sent, what each answer is, where the key goes."""

import contextlib
import gzip
import logging
import socket
import threading
from dataclasses import replace

import pytest

from invitations.outcomes import Cause, judge
from tests.integration.raw_server import (
    KEY,
    OK,
    USER,
    Talk,
    answering,
    api_at,
    call,
    serving,
    status_of,
    stays,
)
from tests.reinvite_world import Clock

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NO_BODY = b"\r\nContent-Length: 0\r\n\r\n"
# The time makes the tests' names differ from process to process.
BOMB = gzip.compress(bytes(10_000_000), mtime=0)


def ok_with(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


# What is sent


@pytest.mark.parametrize("end", ["", "/"])
def test_invitation_is_one_post_without_a_body(end: str) -> None:
    with serving(answering(OK)) as server:
        call(server.url + end)

    [head] = server.heads
    start, *fields = head.decode().rstrip("\r\n").split("\r\n")
    assert start == f"POST /v2/user/{USER}/invite HTTP/1.1"
    assert sorted(fields) == [
        "Accept-Encoding: identity",
        "Accept: application/json",
        "Content-Length: 0",
        "Content-Type: application/json",
        f"Host: 127.0.0.1:{server.server_address[1]}",
        "User-Agent: partoo-reinvite",
        f"x-APIKey: {KEY}",
    ]


def test_user_id_is_one_encoded_segment_of_the_path() -> None:
    with serving(answering(OK)) as server:
        call(server.url, "../a b?c#d%2e;=&@:\\ä\u2028😀")

    segment = b"..%2Fa%20b%3Fc%23d%252e%3B%3D%26%40%3A%5C%C3%A4%E2%80%A8%F0%9F%98%80"
    assert server.heads[0].startswith(b"POST /v2/user/%b/invite HTTP/1.1\r\n" % segment)


def test_search_and_list_of_keys_are_one_get_with_the_key_in_one_header() -> None:
    with serving(stays(OK)) as server:
        api = api_at(server.url)
        api.search({"status": "invited", "email": "a+b@example.com"}, KEY)
        api.list_keys(KEY)

    assert [head.decode().split("\r\n")[0] for head in server.heads] == [
        "GET /v2/user/search?status=invited&email=a%2Bb%40example.com HTTP/1.1",
        "GET /v2/api_keys?status=active&per_page=100 HTTP/1.1",
    ]
    assert [head.count(KEY.encode()) for head in server.heads] == [1, 1]


# Answers


@pytest.mark.parametrize(
    ("talk", "status", "connections"),
    [
        # Whatever the body is.
        (stays(OK), 200, 1),
        (stays(ok_with(b"\xff\xfe\xfd")), 200, 1),
        (stays(CHUNKED, b"2\r\n{}\r\n0\r\n\r\n"), 200, 1),
        (stays(b"HTTP/1.1 100 Continue\r\n\r\n", OK), 200, 1),
        # What comes next on these connections is anybody's guess.
        (stays(ok_with(b"x" * 90_000)), 200, 2),
        (stays(CHUNKED, b"x\r\n"), 200, 2),
        (answering(HEAD, b"\r\n{}"), 200, 2),
        (answering(HEAD, b"Content-Length: 100\r\n\r\n{"), 200, 2),
        (answering(HEAD, b"Content-Encoding: a, gzip\r\n\r\n", BOMB), 200, 2),
        # No answer can be read: the outcome is unknown.
        (answering(), None, 2),
        (answering(b"\x00" * 100_000), None, 2),
        (stays(b"What?\r\n\r\n"), None, 2),
        (stays(HEAD, b"A: b\r\n" * 200), None, 2),
        (stays(HEAD, b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"), None, 2),
        (stays(b"HTTP/1.1 103 Hints\r\nConnection: keep-alive\r\n\r\n"), None, 2),
    ],
)
def test_call_is_made_once_and_its_connection_used_again_after_a_clean_answer_alone(
    talk: Talk, status: int | None, connections: int
) -> None:
    with serving(talk, answering(b"HTTP/1.1 404 No" + NO_BODY)) as server:
        api = api_at(server.url)

        assert status_of(api.invite("first", KEY)) == status
        assert status_of(api.invite("second", KEY)) == 404
    assert len(server.heads) == 2
    assert len(server.connections) == connections


def test_redirect_is_not_followed() -> None:
    with serving(answering(OK)) as elsewhere:
        head = f"HTTP/1.1 307 Go\r\nLocation: {elsewhere.url}".encode()
        with serving(answering(head + NO_BODY)) as server:
            assert status_of(call(server.url)) == 307

    assert (len(server.heads), elsewhere.heads) == (1, [])


def test_answer_says_when_it_came_and_when_to_call_again(clock: Clock) -> None:
    with serving(answering(b"HTTP/1.1 429 No\r\nRetry-After: 17" + NO_BODY)) as server:
        assert api_at(server.url, clock).invite(USER, KEY) == judge(429, clock.now, "17")


def test_page_has_all_of_its_body_and_a_refusal_an_excerpt(clock: Clock) -> None:
    page, refusal = ok_with(b"x" * 1_000_000), b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n{}"
    with serving(stays(page), answering(refusal)) as server:
        api = api_at(server.url, clock)

        assert api.search({}, KEY) == replace(judge(200, clock.now), body="x" * 1_000_000)
        assert api.search({}, KEY) == replace(judge(403, clock.now), excerpt="{}")


@pytest.mark.parametrize(
    "answer", [ok_with(b"x" * 3_000_000), HEAD + b"Content-Length: 900\r\n\r\n[]"]
)
def test_page_that_is_too_long_or_breaks_off_is_unknown(answer: bytes) -> None:
    with serving(answering(answer)) as server:
        assert api_at(server.url).list_keys(KEY).cause == Cause.NO_ANSWER


class DrippingClock(Clock):
    """Moves by a tenth of a second with each reading, and lets the server send a byte."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes_to_send = threading.Semaphore(0)

    def __call__(self) -> float:
        self.advance(0.1)
        self.bytes_to_send.release()
        return self.now


def test_dripping_body_is_given_up_after_a_second_and_its_connection_too() -> None:
    clock, sent = DrippingClock(), bytearray()

    def drip(connection: socket.socket) -> bool:
        connection.sendall(HEAD + b"Content-Length: 16000\r\n\r\n")
        with contextlib.suppress(OSError):
            while len(sent) < 15_000:
                clock.bytes_to_send.acquire()
                connection.sendall(b"x")
                sent.extend(b"x")
        return False

    with serving(drip, answering(OK)) as server:
        api = api_at(server.url, clock)
        responses = [api.invite(USER, KEY) for _ in range(2)]
        # The server notices that the first connection is closed when it sends more.
        clock.bytes_to_send.release(15_000)

    assert [status_of(each) for each in responses] == [200, 200]
    assert [each.excerpt for each in responses] == ["", "{}"]
    assert len(server.connections) == 2
    assert len(sent) < 1_000


# Secrecy; tests/unit/test_redaction.py shows what is taken out.


@pytest.mark.parametrize(
    ("answer", "excerpt"),
    [
        (f"HTTP/1.1 400 No\r\n\r\n{KEY}, ada@example.com", "[key], [e-mail]"),
        # Half a key could be at the end of what broke off.
        (f"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nyour key is {KEY[:-1]}", ""),
        (f"HTTP/1.1 400 No\r\n\r\n{'-' * 16_380}{KEY}", ""),
    ],
)
def test_excerpt_names_neither_key_nor_person(answer: str, excerpt: str) -> None:
    with serving(answering(answer.encode())) as server:
        assert call(server.url).excerpt == excerpt


def test_error_and_log_of_the_http_library_name_neither_key_nor_person(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(answering(f"Hello ada@example.com, {KEY}\r\n\r\n".encode())) as server:
        response = call(server.url)

    assert response.cause == Cause.NO_ANSWER
    assert response.excerpt.endswith("BadStatusLine('Hello [e-mail], [key]\\r\\n'))")
    assert "Starting new HTTP connection" in caplog.text
    assert KEY not in caplog.text
