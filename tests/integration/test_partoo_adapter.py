"""The API adapter on real sockets: what is sent, what each answer is, where the key goes."""

import contextlib
import gzip
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from invitations.outcomes import Answered, Unknown
from invitations.partoo import PartooApi
from local.partoo.control import ANY_KEY_LIST, Answer, PartooControl, User, running_fake_partoo
from tests.integration.partoo_calls import KEY, USER, Clock, call, excerpt_of, status_of
from tests.integration.raw_server import OK, Talk, answering, in_turn, serving, silent

NO_BODY = b"\r\nContent-Length: 0\r\n\r\n"
# The time makes the tests' names differ from process to process.
BOMB = gzip.compress(bytes(10_000_000), mtime=0)


def ok_with(body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with running_fake_partoo(KEY) as url:
        yield url


@pytest.fixture
def partoo(base_url: str) -> PartooControl:
    control = PartooControl(base_url)
    control.reset()
    control.add_users(User(USER))
    return control


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
        ("../search", "..%2Fsearch"),
        ("a b?c#d", "a%20b%3Fc%23d"),
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
        api = PartooApi(server.url, 5)
        api.search({"status": "invited", "email": "a+b@example.com"}, KEY)
        api.list_keys(KEY)

    assert [head.decode().split("\r\n")[0] for head in server.heads] == [
        "GET /v2/user/search?status=invited&email=a%2Bb%40example.com HTTP/1.1",
        "GET /v2/api_keys?status=active&per_page=100 HTTP/1.1",
    ]
    assert [head.count(KEY.encode()) for head in server.heads] == [1, 1]


@pytest.mark.usefixtures("_trusted")
def test_proxy_of_the_environment_is_not_used(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        serving(answering(OK)) as plain,
        serving(answering(OK), tls) as secure,
        serving(answering(OK)) as proxy,
    ):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, proxy.url)

        assert [status_of(call(server.url)) for server in (plain, secure)] == [200, 200]
    assert proxy.heads == []


# Answers


def test_invitation_reaches_the_api(base_url: str, partoo: PartooControl) -> None:
    response = call(base_url)

    assert (status_of(response), excerpt_of(response)) == (200, '{"status": "success"}')
    assert [each.email_sent for each in partoo.calls(USER)] == [True]


def test_page_has_all_of_its_body_and_no_excerpt_and_a_refusal_an_excerpt(
    base_url: str, partoo: PartooControl
) -> None:
    refusal = '{"errors": "authorization"}'
    partoo.script(ANY_KEY_LIST, Answer(body="[1]"), Answer(status=403, body=refusal))
    api = PartooApi(base_url, 5)

    listed, refused = api.list_keys(KEY), api.list_keys(KEY)

    assert isinstance(listed, Answered)
    assert isinstance(refused, Answered)
    assert (listed.body, listed.excerpt) == ("[1]", "")
    assert (refused.body, refused.excerpt) == ("", refusal)


@pytest.mark.parametrize(
    ("answer", "is_read"),
    [
        (ok_with(b"x" * 1_000_000), True),
        (ok_with(b"x" * 3_000_000), False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[]", False),
    ],
)
def test_page_that_is_too_long_or_breaks_off_is_unknown(answer: bytes, is_read: bool) -> None:
    with serving(answering(answer)) as server:
        response = PartooApi(server.url, 5).search({}, KEY)

    assert isinstance(response, Answered if is_read else Unknown)


@pytest.mark.parametrize("status", [204, 301, 302, 307, 308, 401, 404, 429, 503])
def test_any_status_is_an_answer_to_one_call_and_no_redirect_is_followed(status: int) -> None:
    with serving(answering(OK)) as elsewhere:
        head = f"HTTP/1.1 {status} Go\r\nLocation: {elsewhere.url}".encode()
        with serving(answering(head + NO_BODY)) as server:
            assert status_of(call(server.url)) == status

    assert (len(server.heads), elsewhere.heads) == (1, [])


def test_answer_says_when_it_came_and_when_to_call_again(
    base_url: str, partoo: PartooControl, clock: Clock
) -> None:
    partoo.script(USER, Answer(status=429, headers={"Retry-After": "17"}))
    answer = PartooApi(base_url, 5, clock).invite(USER, KEY)

    assert answer == Answered(429, clock.now, "17", excerpt_of(answer))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: a, gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + BOMB,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"xxx", mtime=0),
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    ],
)
def test_200_is_200_whatever_its_body(answer: bytes) -> None:
    with serving(answering(answer)) as server:
        response = call(server.url)

    assert status_of(response) == 200
    assert "xxx" not in excerpt_of(response)
    assert len(server.heads) == 1


def test_oversized_body_is_read_only_at_its_beginning() -> None:
    unread = threading.Event()

    def talk(connection: socket.socket) -> bool:
        try:
            connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 50000000\r\n\r\n")
            connection.sendall(b"y " * 25_000_000)
        except OSError:
            unread.set()
        return False

    with serving(talk) as server:
        response = call(server.url)
        assert unread.wait(timeout=5)

    assert (status_of(response), excerpt_of(response)) == (500, "")


def dripping(connection: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        for _ in range(20):
            connection.sendall(b"x")
            time.sleep(0.25)
    return False


@pytest.mark.parametrize("talk_on", [dripping, silent])
def test_body_that_does_not_come_is_given_up_and_its_connection_too(talk_on: Talk) -> None:
    def talk(connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        return talk_on(connection)

    started = time.monotonic()
    with serving(in_turn(talk, answering(OK))) as server:
        api = PartooApi(server.url, timeout_seconds=1)
        first, second = api.invite(USER, KEY), api.invite(USER, KEY)

    assert (status_of(first), excerpt_of(first), excerpt_of(second)) == (200, "", "{}")
    assert time.monotonic() - started < 3
    assert server.connections == 2


@pytest.mark.parametrize("status", [101, 102, 103])
@pytest.mark.parametrize("kept", [b"", b"Connection: keep-alive\r\n"])
def test_interim_answer_is_no_final_one_and_the_next_user_gets_an_answer_of_their_own(
    status: int, kept: bytes
) -> None:
    def interim(connection: socket.socket) -> bool:
        connection.sendall(f"HTTP/1.1 {status} Wait\r\n".encode() + kept + b"\r\n")
        time.sleep(0.1)
        with contextlib.suppress(OSError):
            connection.sendall(OK)
        return True

    with serving(in_turn(interim, answering(b"HTTP/1.1 404 No" + NO_BODY))) as server:
        api = PartooApi(server.url, 5)
        first, second = api.invite("first", KEY), api.invite("second", KEY)

    assert isinstance(first, Unknown)
    assert status_of(second) == 404
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


def test_error_names_neither_key_nor_person_and_is_no_longer_than_an_excerpt() -> None:
    names = f"Hello ada@example.com, {KEY}\r\n\r\n".encode()
    with serving(in_turn(answering(names), answering(b"x " * 10_000 + b"\r\n\r\n"))) as server:
        first, second = call(server.url), call(server.url)

    assert isinstance(first, Unknown)
    assert isinstance(second, Unknown)
    assert first.error.endswith("BadStatusLine('Hello [e-mail], [key]\\r\\n'))")
    assert len(second.error) == 500


def test_log_of_the_http_library_does_not_show_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(answering(f"HTTP/1.1 500 Oh\r\nEcho: {KEY}\r\n\r\n".encode())) as server:
        call(server.url)

    assert "invite" in caplog.text
    assert KEY not in caplog.text
