"""The API adapter on real sockets: what each fault means, and where the key goes."""

import contextlib
import gzip
import logging
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

from invitations.adapters.partoo import PartooApi
from invitations.expiry import read_expiry
from invitations.models import Answered, CallOutcome, NeverSent, Unanswered
from local.partoo.control import (
    ANY_KEY_LIST,
    Answer,
    ApiKey,
    PartooControl,
    User,
    running_stand_in,
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


def silent(connection: socket.socket) -> bool:
    return bool(connection.recv(1))


def resetting(connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def call(
    base_url: str, user_id: str = USER, *, timeout_seconds: float = 5, key: str = KEY
) -> CallOutcome:
    return PartooApi(base_url, timeout_seconds, time.time, connections=1).invite(user_id, key)


def list_keys(base_url: str) -> CallOutcome:
    return PartooApi(base_url, 5, time.time, connections=1).list_keys(KEY)


def answer_of(outcome: CallOutcome) -> Answered:
    assert isinstance(outcome, Answered)
    return outcome


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with running_stand_in(KEY) as url:
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


class TestRequest:
    def test_is_one_post_with_the_key_and_no_body(self) -> None:
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
        ],
    )
    def test_names_the_user_as_one_segment_of_the_path(self, user_id: str, segment: str) -> None:
        with serving(answering(OK)) as server:
            call(server.url, user_id)

        [head] = server.heads
        assert head.startswith(f"POST /v2/user/{segment}/invite HTTP/1.1\r\n".encode())

    def test_does_not_mind_a_slash_at_the_end_of_the_base_url(self) -> None:
        with serving(answering(OK)) as server:
            call(server.url + "/")

        [head] = server.heads
        assert head.startswith(b"POST /v2/user/")

    def test_reaches_the_api(self, base_url: str, partoo: PartooControl) -> None:
        outcome = answer_of(call(base_url))

        assert (outcome.http_status, outcome.excerpt) == (200, '{"status": "success"}')
        assert [each.email_sent for each in partoo.calls(USER)] == [True]

    @pytest.mark.usefixtures("_trusted")
    def test_reaches_the_api_over_tls(self, tls: ssl.SSLContext) -> None:
        with serving(answering(OK), tls) as server:
            assert answer_of(call(server.url)).http_status == 200

        assert len(server.heads) == 1

    def test_takes_no_way_round_through_a_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving(answering(OK)) as server, serving(answering(OK)) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.setenv("http_proxy", proxy.url)
            call(server.url)

        assert (len(server.heads), len(proxy.heads)) == (1, 0)


class TestListOfKeys:
    def test_is_one_get_with_the_key_in_one_header_and_not_in_the_url(self) -> None:
        with serving(answering(OK)) as server:
            list_keys(server.url)

        [head] = server.heads
        start, *fields = head.decode().rstrip("\r\n").split("\r\n")
        assert start == "GET /v2/api_keys?status=active&per_page=100 HTTP/1.1"
        assert [each for each in fields if KEY in each] == [f"x-APIKey: {KEY}"]

    def test_is_what_the_api_shows(self, base_url: str, partoo: PartooControl) -> None:
        partoo.add_key(ApiKey("another", "2100-01-01"))

        outcome = answer_of(list_keys(base_url))

        assert read_expiry(outcome.body, time.time()).expires_on == "2100-01-01"
        assert [each.key for each in partoo.calls(operation="keys")] == ["right"]

    def test_that_is_refused_is_told_with_its_beginning(
        self, base_url: str, partoo: PartooControl
    ) -> None:
        partoo.add_key(ApiKey(KEY, may_list=False))

        outcome = answer_of(list_keys(base_url))

        assert (outcome.http_status, outcome.body) == (403, "")
        assert "authorization" in outcome.excerpt

    def test_that_breaks_off_is_none(self, base_url: str, partoo: PartooControl) -> None:
        partoo.script(ANY_KEY_LIST, Answer(headers={"Content-Length": "900"}, body="[]"))

        assert isinstance(list_keys(base_url), Unanswered)


class TestAnswer:
    @pytest.mark.parametrize("status", [200, 204, 400, 401, 403, 404, 415, 429, 500, 502, 503])
    def test_of_any_status_is_an_answer_to_one_call(
        self, base_url: str, partoo: PartooControl, status: int
    ) -> None:
        partoo.script(USER, Answer(status=status))

        assert answer_of(call(base_url)).http_status == status
        assert len(partoo.calls()) == 1

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_that_redirects_is_not_followed(self, status: int) -> None:
        with serving(answering(OK)) as elsewhere:
            redirect = f"HTTP/1.1 {status} Go\r\nLocation: {elsewhere.url}\r\n\r\n".encode()
            with serving(answering(redirect)) as server:
                outcome = call(server.url)

        assert answer_of(outcome).http_status == status
        assert (len(server.heads), elsewhere.heads) == (1, [])

    def test_says_when_it_came_and_when_to_come_back(
        self, base_url: str, partoo: PartooControl, clock: Clock
    ) -> None:
        partoo.script(USER, Answer(status=429, headers={"Retry-After": "17"}))

        outcome = answer_of(PartooApi(base_url, 5, clock, connections=1).invite(USER, KEY))

        assert (outcome.retry_after, outcome.answered_at) == ("17", clock.now)

    def test_without_a_time_to_come_back_has_none(
        self, base_url: str, partoo: PartooControl
    ) -> None:
        partoo.script(USER, Answer(status=429))

        assert answer_of(call(base_url)).retry_after is None

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
    def test_with_an_unreadable_body_counts_all_the_same(self, answer: bytes) -> None:
        with serving(answering(answer)) as server:
            outcome = call(server.url)

        assert answer_of(outcome).http_status == 200
        assert len(server.heads) == 1

    def test_is_not_unpacked(self) -> None:
        bomb = gzip.compress(b"x" * 10_000_000)
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"
        with serving(answering(head, bomb)) as server:
            outcome = answer_of(call(server.url))

        assert (outcome.http_status, "xxx" in outcome.excerpt) == (200, False)

    def test_is_read_only_at_its_beginning(self) -> None:
        unread = threading.Event()

        def talk(connection: socket.socket) -> bool:
            connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 50000000\r\n\r\n")
            try:
                connection.sendall(b"y " * 25_000_000)
            except OSError:
                unread.set()
            return False

        with serving(talk) as server:
            outcome = answer_of(call(server.url))
            assert unread.wait(timeout=5)

        assert (outcome.http_status, outcome.excerpt) == (500, "y " * 250)

    def test_that_drips_is_not_waited_for(self, base_url: str, partoo: PartooControl) -> None:
        partoo.script(USER, Answer(body="x" * 100, drip_seconds=20))
        started = time.monotonic()

        assert answer_of(call(base_url)).http_status == 200
        assert time.monotonic() - started < 3

    def test_whose_body_does_not_come_is_not_waited_for(self) -> None:
        def talk(connection: socket.socket) -> bool:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            return silent(connection)

        started = time.monotonic()
        with serving(talk) as server:
            outcome = call(server.url, timeout_seconds=6)

        assert answer_of(outcome).http_status == 200
        assert time.monotonic() - started < 3

    def test_of_one_long_word_costs_no_time(self, base_url: str, partoo: PartooControl) -> None:
        partoo.script(USER, Answer(status=400, body_bytes=40_000))
        started = time.thread_time()

        assert answer_of(call(base_url)).excerpt == "x" * 500
        assert time.thread_time() - started < 0.5


class TestCallThatNeverLeft:
    def test_because_nobody_listens(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))

            assert isinstance(call(f"http://127.0.0.1:{bound.getsockname()[1]}/v2"), NeverSent)

    def test_because_the_name_is_unknown(self) -> None:
        assert isinstance(call("https://partoo.invalid/v2"), NeverSent)

    def test_because_the_certificate_is_not_trusted(self, tls: ssl.SSLContext) -> None:
        with serving(answering(OK), tls) as server:
            outcome = call(server.url)

        assert isinstance(outcome, NeverSent)
        assert server.heads == []

    @pytest.mark.usefixtures("_trusted")
    def test_because_the_certificate_is_for_another_host(self, authority: trustme.CA) -> None:
        with serving(answering(OK), tls_for(authority, "other.example.com")) as server:
            outcome = call(server.url)

        assert isinstance(outcome, NeverSent)
        assert server.heads == []

    @pytest.mark.parametrize(
        "talk",
        [
            pytest.param(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), id="plain HTTP"),
            pytest.param(answering(), id="closed"),
            pytest.param(resetting, id="reset"),
            pytest.param(silent, id="silent"),
        ],
    )
    def test_because_the_other_side_speaks_no_tls(self, talk: Talk) -> None:
        with serving(talk) as server:
            outcome = call(server.url.replace("http:", "https:"), timeout_seconds=0.5)

        assert isinstance(outcome, NeverSent)
        [hello] = server.heads
        assert KEY.encode() not in hello


class TestCallWithoutAnAnswer:
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
        ],
    )
    def test_may_have_been_acted_on_and_is_not_repeated(self, talk: Talk) -> None:
        with serving(talk) as server:
            outcome = call(server.url, timeout_seconds=0.5)

        assert isinstance(outcome, Unanswered)
        assert len(server.heads) == 1

    @pytest.mark.usefixtures("_trusted")
    @pytest.mark.parametrize(
        "talk", [pytest.param(answering(), id="closed"), pytest.param(silent, id="silent")]
    )
    def test_over_tls_is_the_same(self, tls: ssl.SSLContext, talk: Talk) -> None:
        with serving(talk, tls) as server:
            outcome = call(server.url, timeout_seconds=0.5)

        assert isinstance(outcome, Unanswered)
        assert len(server.heads) == 1

    @pytest.mark.usefixtures("_trusted")
    @pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
    def test_is_given_up_although_its_head_drips(
        self, encrypted: bool, tls: ssl.SSLContext
    ) -> None:
        def talk(connection: socket.socket) -> bool:
            for byte in b"HTTP/1.1 200 OK\r\nX-Padding: " + b"." * 100:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
            return False

        with serving(talk, tls if encrypted else None) as server:
            outcome = call(server.url, timeout_seconds=0.3)

        assert isinstance(outcome, Unanswered)
        assert len(server.heads) == 1

    def test_on_a_kept_connection_is_not_repeated_either(self) -> None:
        talks = iter([answering(OK, then_stays=True), answering()])

        def talk(connection: socket.socket) -> bool:
            return next(talks)(connection)

        with serving(talk) as server:
            api = PartooApi(server.url, 5, time.time, connections=1)
            api.invite(USER, KEY)
            outcome = api.invite(USER, KEY)

        assert isinstance(outcome, Unanswered)
        assert len(server.heads) == 2

    @pytest.mark.parametrize(("drop", "emails"), [("before", 0), ("after", 1)])
    def test_has_sent_an_email_or_not(
        self, base_url: str, partoo: PartooControl, drop: str, emails: int
    ) -> None:
        partoo.script(USER, Answer(drop=drop))  # type: ignore[arg-type]  # a parameter is any str

        assert isinstance(call(base_url), Unanswered)
        assert (len(partoo.calls()), len(partoo.emails())) == (1, emails)

    def test_says_when_it_was_given_up(self, clock: Clock) -> None:
        def talk(_: socket.socket) -> bool:
            clock.now += 9
            return False

        with serving(talk) as server:
            outcome = PartooApi(server.url, 5, clock, connections=1).invite(USER, KEY)

        assert isinstance(outcome, Unanswered)
        assert outcome.gave_up_at == clock.now


class TestConnection:
    def test_serves_one_call_after_another(self, clock: Clock) -> None:
        with serving(answering(OK, then_stays=True)) as server:
            api = PartooApi(server.url, 5, clock, connections=1)
            api.invite(USER, KEY)
            clock.now += 30
            api.invite(USER, KEY)

        assert len(set(server.peers)) == 1

    def test_is_not_trusted_after_half_a_minute_of_silence(self, clock: Clock) -> None:
        with serving(answering(OK, then_stays=True)) as server:
            api = PartooApi(server.url, 5, clock, connections=1)
            api.invite(USER, KEY)
            clock.now += 30.1
            api.invite(USER, KEY)

        assert len(set(server.peers)) == 2

    def test_is_not_trusted_because_another_one_was_in_use(self, clock: Clock) -> None:
        both_are_here = threading.Barrier(2)

        def talk(connection: socket.socket) -> bool:
            with contextlib.suppress(threading.BrokenBarrierError):
                both_are_here.wait(timeout=5)
            connection.sendall(OK)
            return True

        def invite_two_at_once() -> None:
            both_are_here.reset()
            with ThreadPoolExecutor(2) as executor:
                list(executor.map(lambda _: api.invite(USER, KEY), range(2)))

        with serving(talk) as server:
            api = PartooApi(server.url, 5, clock, connections=2)
            invite_two_at_once()
            both_are_here.abort()
            clock.now += 20
            api.invite(USER, KEY)
            clock.now += 20
            invite_two_at_once()

        assert len(set(server.peers)) == 3

    def test_that_the_other_side_closed_is_not_used_again(self) -> None:
        closed = threading.Event()

        def talk(connection: socket.socket) -> bool:
            connection.sendall(OK)
            connection.shutdown(socket.SHUT_WR)
            closed.set()
            return False

        with serving(talk) as server:
            api = PartooApi(server.url, 5, time.time, connections=1)
            api.invite(USER, KEY)
            assert closed.wait(timeout=5)

            assert answer_of(api.invite(USER, KEY)).http_status == 200

    def test_with_an_unread_rest_is_not_used_again(
        self, base_url: str, partoo: PartooControl
    ) -> None:
        partoo.script(USER, Answer(status=500, body_bytes=5_000_000), Answer(status=404))
        api = PartooApi(base_url, 5, time.time, connections=1)

        statuses = [answer_of(api.invite(USER, KEY)).http_status for _ in range(2)]

        assert statuses == [500, 404]

    def test_is_one_of_many_when_calls_go_out_side_by_side(self, clock: Clock) -> None:
        all_are_here = threading.Barrier(10)

        def talk(connection: socket.socket) -> bool:
            all_are_here.wait(timeout=5)
            connection.sendall(OK)
            return True

        def invite_after_a_pause() -> list[CallOutcome]:
            clock.now += 60
            return list(executor.map(lambda _: api.invite(USER, KEY), range(10)))

        with serving(talk) as server, ThreadPoolExecutor(10) as executor:
            api = PartooApi(server.url, 5, clock, connections=10)
            outcomes = [outcome for _ in range(10) for outcome in invite_after_a_pause()]

        assert {type(outcome) for outcome in outcomes} == {Answered}
        assert len(set(server.peers)) == 100


class TestSecrecy:
    @pytest.mark.parametrize(
        ("body", "excerpt"),
        [
            (f'{{"key": "{KEY}", "again": "{KEY}"}}', '{"key": "[key]", "again": "[key]"}'),
            ('{"to": "ada.l+x@example.com"}', '{"to": "[e-mail]"}'),
            ("<ada@example.com>, bob@example.com", "<[e-mail]>, [e-mail]"),
            ("mailto:ada@example.com", "mailto:[e-mail]"),
            ("adä@exämple.com", "[e-mail]"),
            ("@ home", "@ home"),
        ],
    )
    def test_an_excerpt_names_neither_key_nor_person(
        self, base_url: str, partoo: PartooControl, body: str, excerpt: str
    ) -> None:
        partoo.script(USER, Answer(status=400, body=body))

        assert answer_of(call(base_url)).excerpt == excerpt

    @pytest.mark.parametrize("filler", [480, 490, 499, 16_380])
    def test_the_end_of_an_excerpt_keeps_no_part_of_the_key(
        self, base_url: str, partoo: PartooControl, filler: int
    ) -> None:
        partoo.script(USER, Answer(status=400, body="-" * filler + KEY))

        assert "hush" not in answer_of(call(base_url)).excerpt

    def test_the_end_of_a_broken_body_keeps_no_part_of_the_key(self) -> None:
        head = b"HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nyour key is "
        with serving(answering(head, KEY[:-1].encode())) as server:
            outcome = answer_of(call(server.url))

        assert "hush" not in outcome.excerpt

    def test_an_error_names_neither_key_nor_person(self) -> None:
        with serving(answering(f"Hello ada@example.com, {KEY}\r\n\r\n".encode())) as server:
            outcome = call(server.url)

        assert isinstance(outcome, Unanswered)
        assert outcome.error.endswith("BadStatusLine('Hello [e-mail] [key]\\r\\n'))")

    def test_an_error_is_no_longer_than_an_excerpt(self) -> None:
        with serving(answering(b"x " * 10_000 + b"\r\n\r\n")) as server:
            outcome = call(server.url)

        assert isinstance(outcome, Unanswered)
        assert len(outcome.error) == 500

    def test_the_log_of_the_http_library_does_not_show_the_key(
        self, base_url: str, partoo: PartooControl, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        partoo.script(USER, Answer(status=500, echo_headers=True))
        call(base_url)

        assert "invite" in caplog.text
        assert KEY not in caplog.text
