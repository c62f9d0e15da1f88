"""The API adapter on real sockets: what is sent, what each answer is, where the key goes."""

import contextlib
import gzip
import logging
import socket
import time

import pytest

from invitations.outcomes import Answered, Unknown
from tests.integration.partoo_calls import KEY, USER, Clock, api_at, call, excerpt_of, status_of
from tests.integration.raw_server import OK, Talk, answering, resetting, serving

NO_BODY = b"\r\nContent-Length: 0\r\n\r\n"
# The time makes the tests' names differ from process to process.
BOMB = gzip.compress(bytes(10_000_000), mtime=0)


def ok_with(body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


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


@pytest.mark.parametrize(
    ("user_id", "segment"),
    [
        ("../a b?c#d", "..%2Fa%20b%3Fc%23d"),
        ("%2e%2e", "%252e%252e"),
        ("a;b=c&d@e:f\\g", "a%3Bb%3Dc%26d%40e%3Af%5Cg"),
        ("ä\u2028😀", "%C3%A4%E2%80%A8%F0%9F%98%80"),
    ],
)
def test_user_id_is_one_encoded_segment_of_the_path(user_id: str, segment: str) -> None:
    with serving(answering(OK)) as server:
        call(server.url, user_id)

    assert server.heads[0].startswith(f"POST /v2/user/{segment}/invite HTTP/1.1\r\n".encode())


def test_search_and_list_of_keys_are_one_get_with_the_key_in_one_header() -> None:
    with serving(answering(OK, then_stays=True)) as server:
        api = api_at(server.url)
        api.search({"status": "invited", "email": "a+b@example.com"}, KEY)
        api.list_keys(KEY)

    assert [head.decode().split("\r\n")[0] for head in server.heads] == [
        "GET /v2/user/search?status=invited&email=a%2Bb%40example.com HTTP/1.1",
        "GET /v2/api_keys?status=active&per_page=100 HTTP/1.1",
    ]
    assert [head.count(KEY.encode()) for head in server.heads] == [1, 1]


# Answers


def stays(*parts: bytes) -> Talk:
    return answering(*parts, then_stays=True)


@pytest.mark.parametrize(
    ("talk", "status", "connections"),
    [
        # Whatever the body of a status is, the call has this status.
        pytest.param(stays(OK), 200, 1, id="200"),
        pytest.param(stays(b"HTTP/1.1 204 No Content\r\n\r\n"), 204, 1, id="204"),
        pytest.param(stays(b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}"), 500, 1, id="500"),
        pytest.param(stays(ok_with(b"\xff\xfe\xfd")), 200, 1, id="no UTF-8"),
        pytest.param(stays(b"HTTP/1.1 100 Continue\r\n\r\n", OK), 200, 1, id="100 Continue"),
        pytest.param(
            stays(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
            *(200, 1),
            id="chunks",
        ),
        # What comes next on these connections is anybody's guess.
        pytest.param(stays(ok_with(b"x" * 90_000)), 200, 2, id="long"),
        pytest.param(
            stays(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"),
            *(200, 2),
            id="odd chunk",
        ),
        pytest.param(answering(b"HTTP/1.1 200\r\n\r\n{}"), 200, 2, id="no length"),
        pytest.param(
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}"), 200, 2, id="no number"
        ),
        pytest.param(
            answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), 200, 2, id="broken off"
        ),
        pytest.param(
            answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: a, gzip\r\n\r\n", BOMB),
            *(200, 2),
            id="gzip",
        ),
        # No answer can be read: the outcome is unknown.
        pytest.param(answering(), None, 2, id="closed"),
        pytest.param(resetting, None, 2, id="reset"),
        pytest.param(answering(b"HTTP/1.1 2"), None, 2, id="half a status line"),
        pytest.param(answering(b"\x00" * 100_000), None, 2, id="zeros"),
        pytest.param(stays(b"What?\r\n\r\n"), None, 2, id="no HTTP"),
        pytest.param(stays(b"HTTP/1.1 2000 OK\r\n\r\n"), None, 2, id="status out of range"),
        pytest.param(stays(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 200), None, 2, id="many fields"),
        pytest.param(
            stays(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
            *(None, 2),
            id="two lengths",
        ),
        pytest.param(stays(b"HTTP/1.1 101 Switch\r\n\r\n"), None, 2, id="101"),
        pytest.param(stays(b"HTTP/1.1 102 Wait\r\n\r\n"), None, 2, id="102"),
        pytest.param(
            stays(b"HTTP/1.1 103 Hints\r\nConnection: keep-alive\r\n\r\n"), None, 2, id="103"
        ),
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
    assert server.connections == connections


@pytest.mark.parametrize("status", [301, 307])
def test_redirect_is_not_followed(status: int) -> None:
    with serving(answering(OK)) as elsewhere:
        head = f"HTTP/1.1 {status} Go\r\nLocation: {elsewhere.url}".encode()
        with serving(answering(head + NO_BODY)) as server:
            assert status_of(call(server.url)) == status

    assert (len(server.heads), elsewhere.heads) == (1, [])


def test_answer_says_when_it_came_and_when_to_call_again(clock: Clock) -> None:
    with serving(answering(b"HTTP/1.1 429 No\r\nRetry-After: 17" + NO_BODY)) as server:
        assert api_at(server.url, clock).invite(USER, KEY) == Answered(429, clock.now, "17")


def test_page_has_all_of_its_body_and_a_refusal_an_excerpt(clock: Clock) -> None:
    page, refusal = ok_with(b"x" * 1_000_000), b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n{}"
    with serving(stays(page), answering(refusal)) as server:
        api = api_at(server.url, clock)

        assert api.search({}, KEY) == Answered(200, clock.now, body="x" * 1_000_000)
        assert api.search({}, KEY) == Answered(403, clock.now, excerpt="{}")


@pytest.mark.parametrize(
    "answer", [ok_with(b"x" * 3_000_000), b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[]"]
)
def test_page_that_is_too_long_or_breaks_off_is_unknown(answer: bytes) -> None:
    with serving(answering(answer)) as server:
        assert isinstance(api_at(server.url).list_keys(KEY), Unknown)


def test_dripping_body_is_given_up_after_a_second_and_its_connection_too(clock: Clock) -> None:
    def drip(connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 16000\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(15_000):
                connection.sendall(b"x")
                clock.now += 0.1
                # The client reads what has arrived: a few bytes at a time.
                time.sleep(0.002)
        return False

    with serving(drip, answering(OK)) as server:
        api = api_at(server.url, clock)
        first, second = api.invite(USER, KEY), api.invite(USER, KEY)

    assert (status_of(first), excerpt_of(first), excerpt_of(second)) == (200, "", "{}")
    assert server.connections == 2


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
        assert excerpt_of(call(server.url)) == excerpt


def test_error_and_log_of_the_http_library_name_neither_key_nor_person(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(answering(f"Hello ada@example.com, {KEY}\r\n\r\n".encode())) as server:
        response = call(server.url)

    assert isinstance(response, Unknown)
    assert response.error.endswith("BadStatusLine('Hello [e-mail], [key]\\r\\n'))")
    assert "Starting new HTTP connection" in caplog.text
    assert KEY not in caplog.text
