"""The API adapter on real sockets: what each fault means, and where the key goes."""

import contextlib
import gzip
import json
import logging
import os
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from invitations.outcomes import Answered, Email, NotSent, Response, Unknown, judge
from invitations.partoo import PartooApi
from local.partoo.control import (
    ANY_KEY_LIST,
    Answer,
    ApiKey,
    PartooControl,
    User,
    running_fake_partoo,
)

KEY = "hush-hush-key"
USER = "5d2c1b7e90f3a4468be01c57"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

Talk = Callable[[socket.socket], bool]
"""Answers one request; says whether the connection stays open."""


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class RawServer(socketserver.ThreadingTCPServer):
    """Lets `talk` answer each request, and notes the requests and the ends of their connections."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, talk: Talk, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self.talk = talk
        self.tls = tls
        self.heads: list[bytes] = []
        self.peers: list[tuple[str, int]] = []

    @property
    def url(self) -> str:
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.server_address[1]}/v2"


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
            self.server.peers.append(self.client_address)
            if not self.server.talk(connection):
                return


@contextmanager
def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[RawServer]:
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


def ok_with(body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def silent(connection: socket.socket) -> bool:
    return bool(connection.recv(1))


def resetting(connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def call(
    base_url: str, user_id: str = USER, *, timeout_seconds: float = 5, key: str = KEY
) -> Response:
    return PartooApi(base_url, timeout_seconds).invite(user_id, key)


def list_keys(base_url: str) -> Response:
    return PartooApi(base_url, 5).list_keys(KEY)


def search(base_url: str, **query: str) -> Response:
    return PartooApi(base_url, 5).search(query, KEY)


def answer_of(outcome: Response) -> Answered:
    assert isinstance(outcome, Answered)
    return outcome


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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    return tls_for(authority, "127.0.0.1")


@pytest.fixture
def _trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


def tls_for(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


# What is sent


def test_invitation_is_one_post_without_a_body() -> None:
    with serving(answering(OK)) as server:
        call(server.url)

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
        ("a/b", "a%2Fb"),
        ("../search", "..%2Fsearch"),
        ("...", "..."),
        ("a b", "a%20b"),
        ("a?b#c", "a%3Fb%23c"),
        ("%2e%2e", "%252e%252e"),
        ("a;b=c&d", "a%3Bb%3Dc%26d"),
        ("a@b:c", "a%40b%3Ac"),
        ("ä\u2028😀", "%C3%A4%E2%80%A8%F0%9F%98%80"),
        ("a\\b", "a%5Cb"),
        ("A1b2", "A1b2"),
    ],
)
def test_user_id_is_one_encoded_segment_of_the_path(user_id: str, segment: str) -> None:
    with serving(answering(OK)) as server:
        call(server.url, user_id)

    [head] = server.heads
    assert head.startswith(f"POST /v2/user/{segment}/invite HTTP/1.1\r\n".encode())


@pytest.mark.parametrize("end", ["", "/"])
def test_slash_at_the_end_of_the_base_url_makes_no_difference(end: str) -> None:
    with serving(answering(OK)) as server:
        call(server.url + end)

    [head] = server.heads
    assert head.startswith(b"POST /v2/user/")


def test_search_is_one_get_with_its_query() -> None:
    with serving(answering(OK)) as server:
        search(server.url, status="invited", email="a+b@example.com")

    [head] = server.heads
    assert head.startswith(
        b"GET /v2/user/search?status=invited&email=a%2Bb%40example.com HTTP/1.1\r\n"
    )


def test_list_of_keys_is_one_get_with_the_key_in_one_header_and_not_in_the_url() -> None:
    with serving(answering(OK)) as server:
        list_keys(server.url)

    [head] = server.heads
    start, *fields = head.decode().rstrip("\r\n").split("\r\n")
    assert start == "GET /v2/api_keys?status=active&per_page=100 HTTP/1.1"
    assert [each for each in fields if KEY in each] == [f"x-APIKey: {KEY}"]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_proxy_of_the_environment_is_not_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answering(OK)) as server, serving(answering(OK)) as proxy:
        monkeypatch.setenv(name, proxy.url)
        call(server.url)

    assert (len(server.heads), len(proxy.heads)) == (1, 0)


@pytest.mark.usefixtures("_trusted")
def test_https_proxy_of_the_environment_is_not_used(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(answering(OK), tls) as server, serving(answering(OK)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("https_proxy", proxy.url)

        assert answer_of(call(server.url)).http_status == 200
    assert proxy.heads == []


# Answers


def test_invitation_reaches_the_api(base_url: str, partoo: PartooControl) -> None:
    answer = answer_of(call(base_url))

    assert (answer.http_status, answer.excerpt) == (200, '{"status": "success"}')
    assert [each.email_sent for each in partoo.calls(USER)] == [True]


@pytest.mark.usefixtures("_trusted")
def test_invitation_reaches_the_api_over_tls(tls: ssl.SSLContext) -> None:
    with serving(answering(OK), tls) as server:
        assert answer_of(call(server.url)).http_status == 200

    assert len(server.heads) == 1


def test_list_of_keys_has_all_of_its_body_and_no_excerpt(
    base_url: str, partoo: PartooControl
) -> None:
    partoo.add_key(ApiKey("another", "2100-01-01"))
    answer = answer_of(list_keys(base_url))

    assert "2100-01-01" in answer.body
    assert (json.loads(answer.body) != {}, answer.excerpt) == (True, "")
    assert [each.key for each in partoo.calls(operation="keys")] == ["right"]


def test_refused_list_of_keys_has_an_excerpt(base_url: str, partoo: PartooControl) -> None:
    partoo.add_key(ApiKey(KEY, may_list=False))
    answer = answer_of(list_keys(base_url))

    assert (answer.http_status, answer.body) == (403, "")
    assert "authorization" in answer.excerpt


def test_list_that_breaks_off_is_unknown(base_url: str, partoo: PartooControl) -> None:
    partoo.script(ANY_KEY_LIST, Answer(headers={"Content-Length": "900"}, body="[]"))

    assert isinstance(list_keys(base_url), Unknown)


@pytest.mark.parametrize("size", [1_000_000, 3_000_000])
def test_page_of_up_to_two_mebibytes_is_read(size: int) -> None:
    page = b"x" * size
    with serving(answering(ok_with(page))) as server:
        response = search(server.url)

    if size < 2 * 1024 * 1024:
        assert answer_of(response).body == page.decode()
    else:
        assert isinstance(response, Unknown)


@pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 408, 415, 429, 500, 502, 503])
def test_any_status_is_an_answer_to_one_call(
    base_url: str, partoo: PartooControl, status: int
) -> None:
    partoo.script(USER, Answer(status=status))

    assert answer_of(call(base_url)).http_status == status
    assert len(partoo.calls()) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_an_answer_and_not_followed(status: int) -> None:
    with serving(answering(OK)) as elsewhere:
        redirect = f"HTTP/1.1 {status} Go\r\nLocation: {elsewhere.url}\r\n\r\n".encode()
        with serving(answering(redirect)) as server:
            answer = answer_of(call(server.url))

    assert answer.http_status == status
    assert (len(server.heads), elsewhere.heads) == (1, [])


def test_answer_says_when_it_came_and_when_to_call_again(
    base_url: str, partoo: PartooControl, clock: Clock
) -> None:
    partoo.script(USER, Answer(status=429, headers={"Retry-After": "17"}), Answer(status=429))
    api = PartooApi(base_url, 5, clock)
    first, second = (answer_of(api.invite(USER, KEY)) for _ in range(2))

    assert (first.retry_after, first.answered_at) == ("17", clock.now)
    assert second.retry_after is None


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n{}\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: a, b\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
    ],
)
def test_answer_with_an_unreadable_body_counts_all_the_same(answer: bytes) -> None:
    with serving(answering(answer)) as server:
        outcome = judge(call(server.url))

    assert (outcome.email, outcome.http_status) == (Email.YES, 200)
    assert len(server.heads) == 1


@pytest.mark.parametrize("unpacked", [b'{"error": "no"}', b"x" * 10_000_000])
def test_compressed_body_is_not_unpacked(unpacked: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
    with serving(answering(head, gzip.compress(unpacked, mtime=0))) as server:
        answer = answer_of(call(server.url))

    assert answer.http_status == 200
    assert unpacked[:10].decode() not in answer.excerpt


def test_oversized_body_is_read_only_at_its_beginning() -> None:
    unread = threading.Event()

    def talk(connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 50000000\r\n\r\n")
        try:
            connection.sendall(b"y " * 25_000_000)
        except OSError:
            unread.set()
        return False

    with serving(talk) as server:
        answer = answer_of(call(server.url))
        assert unread.wait(timeout=5)

    assert (answer.http_status, answer.excerpt) == (500, "")


def test_dripping_body_is_given_up_after_a_second(base_url: str, partoo: PartooControl) -> None:
    partoo.script(USER, Answer(body="x" * 100, drip_seconds=20))
    started = time.monotonic()

    assert answer_of(call(base_url)).http_status == 200
    assert time.monotonic() - started < 3


def test_body_that_does_not_come_is_given_up_after_the_time_out() -> None:
    def talk(connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        return silent(connection)

    started = time.monotonic()
    with serving(talk) as server:
        answer = answer_of(call(server.url, timeout_seconds=1))

    assert (answer.http_status, answer.excerpt) == (200, "")
    assert time.monotonic() - started < 2


def test_body_of_one_long_word_costs_no_time(base_url: str, partoo: PartooControl) -> None:
    partoo.script(USER, Answer(status=400, body_bytes=16_000))
    started = time.thread_time()

    assert answer_of(call(base_url)).excerpt == "x" * 500
    assert time.thread_time() - started < 0.5


# Interim answers


@pytest.mark.parametrize("status", [101, 102, 103])
@pytest.mark.parametrize("kept", [b"", b"Connection: keep-alive\r\n"])
def test_interim_answer_is_no_final_one_and_the_next_user_gets_an_answer_of_their_own(
    status: int, kept: bytes
) -> None:
    def talk(connection: socket.socket) -> bool:
        if b"first" not in server.heads[-1]:
            return answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")(connection)
        connection.sendall(f"HTTP/1.1 {status} Wait\r\n".encode() + kept + b"\r\n")
        time.sleep(0.1)
        with contextlib.suppress(OSError):
            connection.sendall(OK)
        return True

    with serving(talk) as server:
        api = PartooApi(server.url, 5)
        first, second = api.invite("first", KEY), api.invite("second", KEY)

    assert (judge(first).email, judge(first).status) == (Email.UNKNOWN, None)
    assert answer_of(second).http_status == 404
    assert len(set(server.peers)) == 2


def test_interim_answer_100_is_followed_by_the_final_one() -> None:
    with serving(answering(b"HTTP/1.1 100 Continue\r\n\r\n", OK)) as server:
        assert answer_of(call(server.url)).http_status == 200


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
        response = call(server.url)

    assert isinstance(response, NotSent)
    assert server.heads == []


@pytest.mark.usefixtures("_trusted")
def test_certificate_of_another_host_is_not_sent(authority: trustme.CA) -> None:
    with serving(answering(OK), tls_for(authority, "other.example.com")) as server:
        response = call(server.url)

    assert isinstance(response, NotSent)
    assert server.heads == []


# Unknown

TALKS = [
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
]


@pytest.mark.parametrize("talk", TALKS)
def test_call_without_a_readable_answer_is_unknown_and_not_repeated(talk: Talk) -> None:
    with serving(talk) as server:
        response = call(server.url, timeout_seconds=0.5)

    assert isinstance(response, Unknown)
    assert len(server.heads) == 1


def test_call_on_a_kept_connection_that_breaks_is_unknown_and_not_repeated() -> None:
    talks = iter([answering(OK, then_stays=True), answering()])

    def talk(connection: socket.socket) -> bool:
        return next(talks)(connection)

    with serving(talk) as server:
        api = PartooApi(server.url, 5)
        api.invite(USER, KEY)
        response = api.invite(USER, KEY)

    assert isinstance(response, Unknown)
    assert len(server.heads) == 2


@pytest.mark.usefixtures("_trusted")
@pytest.mark.parametrize(
    "talk", [pytest.param(answering(), id="closed"), pytest.param(silent, id="silent")]
)
def test_call_without_an_answer_over_tls_is_unknown(tls: ssl.SSLContext, talk: Talk) -> None:
    with serving(talk, tls) as server:
        response = call(server.url, timeout_seconds=0.5)

    assert isinstance(response, Unknown)
    assert len(server.heads) == 1


@pytest.mark.usefixtures("_trusted")
def test_bad_tls_record_after_the_request_is_unknown(tls: ssl.SSLContext) -> None:
    def talk(connection: socket.socket) -> bool:
        os.write(connection.fileno(), b"\x17\x03\x03\x00\x20" + b"no record of this key 0123456789")
        return bool(connection.recv(1))

    with serving(talk, tls) as server:
        response = call(server.url)

    assert isinstance(response, Unknown)
    assert "SSLError" in response.error
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), id="plain HTTP"),
        pytest.param(answering(), id="closed"),
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


@pytest.mark.parametrize(("drop", "emails"), [("before", 0), ("after", 1)])
def test_lost_answer_is_unknown_whether_an_email_was_sent_or_not(
    base_url: str, partoo: PartooControl, drop: str, emails: int
) -> None:
    partoo.script(USER, Answer(drop=drop))  # type: ignore[arg-type]  # a parameter is any str

    assert isinstance(call(base_url), Unknown)
    assert (len(partoo.calls()), len(partoo.emails())) == (1, emails)


def test_unknown_outcome_says_when_the_call_was_given_up(clock: Clock) -> None:
    def talk(_: socket.socket) -> bool:
        clock.now += 9
        return False

    with serving(talk) as server:
        response = PartooApi(server.url, 5, clock).invite(USER, KEY)

    assert isinstance(response, Unknown)
    assert response.gave_up_at == clock.now


# Connections

CLEAN = [
    pytest.param(OK, id="length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", id="empty"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="no content"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", id="chunked"
    ),
    pytest.param(b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}", id="refusal"),
    pytest.param(b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}", id="error"),
]
ODD = [
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", id="broken off"),
    pytest.param(b"HTTP/1.1 500 Oh\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90_000, id="long"),
    pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", id="bad chunk"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", id="close"
    ),
    pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", id="HTTP/1.0"),
    pytest.param(b"What?\r\n\r\n", id="no HTTP"),
]


@pytest.mark.parametrize("answer", CLEAN)
def test_connection_is_used_again_after_a_clean_answer(answer: bytes) -> None:
    with serving(answering(answer, then_stays=True)) as server:
        api = PartooApi(server.url, 5)
        for _ in range(3):
            answer_of(api.invite(USER, KEY))

    assert len(set(server.peers)) == 1


@pytest.mark.parametrize("answer", ODD)
def test_connection_is_closed_after_anything_odd(answer: bytes) -> None:
    closed = threading.Event()

    def talk(connection: socket.socket) -> bool:
        if len(server.heads) > 1:
            return answering(OK)(connection)
        connection.sendall(answer)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        closed.set()
        return False

    with serving(talk) as server:
        api = PartooApi(server.url, timeout_seconds=0.5)
        api.invite(USER, KEY)

        assert answer_of(api.invite(USER, KEY)).excerpt == "{}"
        assert closed.wait(timeout=5)
    assert len(set(server.peers)) == 2


def test_connection_whose_body_was_given_up_is_not_used_again() -> None:
    def talk(connection: socket.socket) -> bool:
        if len(server.heads) > 1:
            return answering(OK)(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(20):
                connection.sendall(b"x")
                time.sleep(0.25)
        return False

    with serving(talk) as server:
        api = PartooApi(server.url, 5)
        api.invite(USER, KEY)

        assert answer_of(api.invite(USER, KEY)).excerpt == "{}"
    assert len(set(server.peers)) == 2


def test_connection_that_the_other_side_closed_is_not_used_again() -> None:
    closed = threading.Event()

    def talk(connection: socket.socket) -> bool:
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_WR)
        closed.set()
        return False

    with serving(talk) as server:
        api = PartooApi(server.url, 5)
        api.invite(USER, KEY)
        assert closed.wait(timeout=5)

        assert answer_of(api.invite(USER, KEY)).http_status == 200


def test_connection_with_an_answer_that_nobody_asked_for_is_not_used_again() -> None:
    sent = threading.Event()

    def talk(connection: socket.socket) -> bool:
        connection.sendall(OK)
        if len(server.heads) == 1:
            time.sleep(0.1)
            connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
            sent.set()
        return True

    with serving(talk) as server:
        api = PartooApi(server.url, 5)
        api.invite(USER, KEY)
        assert sent.wait(timeout=5)
        time.sleep(0.05)

        assert answer_of(api.invite(USER, KEY)).http_status == 200
    assert len(set(server.peers)) == 2


@pytest.mark.parametrize(("seconds", "connections"), [(20, 1), (20.1, 2)])
def test_connections_are_younger_than_twenty_seconds(
    seconds: float, connections: int, clock: Clock
) -> None:
    with serving(answering(OK, then_stays=True)) as server:
        api = PartooApi(server.url, 5, clock)
        api.invite(USER, KEY)
        clock.now += seconds
        api.invite(USER, KEY)

    assert len(set(server.peers)) == connections


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
    assert len(set(server.peers)) == 10


def test_call_under_way_is_not_disturbed_when_the_connections_grow_old(clock: Clock) -> None:
    may_answer, begun = threading.Event(), threading.Event()

    def talk(connection: socket.socket) -> bool:
        if len(server.heads) == 1:
            begun.set()
            may_answer.wait(timeout=5)
        connection.sendall(OK)
        return True

    with serving(talk) as server, ThreadPoolExecutor(1) as executor:
        api = PartooApi(server.url, 5, clock)
        slow = executor.submit(api.invite, USER, KEY)
        assert begun.wait(timeout=5)
        clock.now += 60
        api.invite(USER, KEY)
        may_answer.set()

        assert answer_of(slow.result()).http_status == 200


# Secrecy


@pytest.mark.parametrize("escaped", [KEY, "hush-hush\\u002dkey", "hush%2Dhush%2Dkey"])
def test_excerpt_names_neither_key_nor_person(
    base_url: str, partoo: PartooControl, escaped: str
) -> None:
    body = f'{{"key": "{escaped}", "to": "ada@example.com", "error": "no"}}'
    partoo.script(USER, Answer(status=400, body=body))

    assert answer_of(call(base_url)).excerpt == '{"key": "[key]", "to": "[e-mail]", "error": "no"}'


@pytest.mark.parametrize("filler", [480, 490, 499, 16_360, 16_380])
def test_end_of_an_excerpt_keeps_no_part_of_the_key(
    base_url: str, partoo: PartooControl, filler: int
) -> None:
    partoo.script(USER, Answer(status=400, body="-" * filler + KEY))

    assert "hush" not in answer_of(call(base_url)).excerpt


def test_excerpt_of_a_body_that_broke_off_is_empty() -> None:
    head = b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nyour key is "
    with serving(answering(head, KEY[:-1].encode())) as server:
        assert answer_of(call(server.url)).excerpt == ""


def test_error_names_neither_key_nor_person() -> None:
    with serving(answering(f"Hello ada@example.com, {KEY}\r\n\r\n".encode())) as server:
        response = call(server.url)

    assert isinstance(response, Unknown)
    assert response.error.endswith("BadStatusLine('Hello [e-mail], [key]\\r\\n'))")


def test_error_is_no_longer_than_an_excerpt() -> None:
    with serving(answering(b"x " * 10_000 + b"\r\n\r\n")) as server:
        response = call(server.url)

    assert isinstance(response, Unknown)
    assert len(response.error) == 500


def test_log_of_the_http_library_does_not_show_the_key(
    base_url: str, partoo: PartooControl, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    partoo.script(USER, Answer(status=500, echo_headers=True))
    call(base_url)

    assert "invite" in caplog.text
    assert KEY not in caplog.text
