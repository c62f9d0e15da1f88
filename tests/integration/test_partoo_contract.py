"""The fake Partoo server seen by clients: its answers fit the API's description."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
import urllib3
from hypothesis import settings

from local.partoo.control import (
    ANY_SEARCH,
    Answer,
    ApiKey,
    ControlError,
    PartooControl,
    User,
    running_fake_partoo,
)

KEY = "contract-key"
HEADERS = {"x-APIKey": KEY, "Content-Type": "application/json"}
REPOSITORY = Path(__file__).parents[2]
DESCRIPTION = schemathesis.openapi.from_path(REPOSITORY / "local/partoo/openapi.yaml")
# All calls have the key, except those of the check for missing keys.
DESCRIPTION.config.generation.with_security_parameters = False
INVITE = DESCRIPTION["/user/{user_id}/invite"]["POST"]
SEARCH = DESCRIPTION["/user/search"]["GET"]
KEYS = DESCRIPTION["/api_keys"]["GET"]
# The description's example of a user id, and the "0" that schemathesis likes to call first.
DESCRIBED_USERS = (User("5d2c1b7e90f3a4468be01c57"), User("0"))


@pytest.fixture(scope="module")
def unlimited_url() -> Iterator[str]:
    """Base URL of a fake server without window and quota, which repeats its answers."""
    with running_fake_partoo(KEY, window_seconds=0, requests_per_minute=1_000_000) as url:
        PartooControl(url).add_users(*DESCRIBED_USERS)
        yield url


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with running_fake_partoo(KEY) as url:
        yield url


@pytest.fixture
def partoo(base_url: str) -> PartooControl:
    control = PartooControl(base_url)
    control.reset()
    control.add_users(User("u1"))
    return control


@pytest.fixture
def connection(base_url: str) -> Iterator[http.client.HTTPConnection]:
    """One connection that neither retries, reconnects nor follows redirects."""
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=5)
    connection.connect()
    connection.auto_open = 0
    yield connection
    connection.close()


def send_invite(connection: http.client.HTTPConnection, user_id: str = "u1") -> None:
    connection.request("POST", f"/v2/user/{user_id}/invite", headers=HEADERS)


def send_search(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/v2/user/search", headers=HEADERS)


def invite(connection: http.client.HTTPConnection, user_id: str = "u1") -> tuple[int, bytes]:
    send_invite(connection, user_id)
    response = connection.getresponse()
    return response.status, response.read()


@DESCRIPTION.parametrize()
@settings(derandomize=True, database=None, max_examples=40, deadline=None)
def test_any_call_is_answered_as_described(
    case: schemathesis.Case[Any], unlimited_url: str
) -> None:
    case.call_and_validate(base_url=unlimited_url, headers=HEADERS)


class TestEachDescribedAnswer:
    @pytest.fixture(autouse=True)
    def _users(self, partoo: PartooControl) -> None:
        partoo.add_users(User("forbidden", forbidden=True), User("active", status="active"))

    @pytest.mark.parametrize(
        ("user_id", "headers", "status"),
        [
            ("u1", HEADERS, 200),
            ("active", HEADERS, 400),
            ("u1", HEADERS | {"x-APIKey": "another"}, 401),
            ("forbidden", HEADERS, 403),
            ("nobody", HEADERS, 404),
            ("u1", HEADERS | {"Content-Type": "text/plain"}, 415),
        ],
    )
    def test_to_an_invitation(
        self, base_url: str, user_id: str, headers: dict[str, str], status: int
    ) -> None:
        case = INVITE.Case(path_parameters={"user_id": user_id})
        response = case.call(base_url=base_url, headers=headers)

        assert response.status_code == status
        INVITE.validate_response(response)

    @pytest.mark.parametrize(
        ("query", "headers", "status"),
        [({}, HEADERS, 200), ({"per_page": "101"}, HEADERS, 400), ({}, {}, 401)],
    )
    def test_to_a_search(
        self, base_url: str, query: dict[str, str], headers: dict[str, str], status: int
    ) -> None:
        response = SEARCH.Case(query=query).call(base_url=base_url, headers=headers)

        assert response.status_code == status
        SEARCH.validate_response(response)

    @pytest.mark.parametrize(
        ("query", "headers", "status"),
        [
            ({"status": "active"}, HEADERS, 200),
            ({"status": "any"}, HEADERS, 400),
            ({}, {}, 401),
            ({}, HEADERS | {"x-APIKey": "may-not-list"}, 403),
        ],
    )
    def test_to_a_list_of_keys(
        self,
        base_url: str,
        partoo: PartooControl,
        query: dict[str, str],
        headers: dict[str, str],
        status: int,
    ) -> None:
        partoo.add_key(ApiKey("may-not-list", "2100-01-01", may_list=False))
        response = KEYS.Case(query=query).call(base_url=base_url, headers=headers)

        assert response.status_code == status
        KEYS.validate_response(response)

    def test_above_the_quota(self, base_url: str, partoo: PartooControl) -> None:
        partoo.set_requests_per_minute(0)
        response = SEARCH.Case().call(base_url=base_url, headers=HEADERS)

        assert (response.status_code, response.headers["retry-after"]) == (429, ["60"])
        SEARCH.validate_response(response)


class TestWindow:
    def test_a_second_invitation_at_once_is_refused(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        assert [invite(connection)[0], invite(connection)[0]] == [200, 400]
        assert [call.too_soon for call in partoo.calls("u1")] == [False, True]
        assert len(partoo.emails("u1")) == 1


class TestFaults:
    def test_a_late_answer_comes_after_its_email(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.script("u1", Answer(delay_seconds=0.3))
        send_invite(connection)

        [call] = partoo.wait_for_calls(1)
        assert (call.email_sent, call.answered_at) == (True, None)
        assert connection.getresponse().status == 200
        [call] = partoo.calls()
        assert call.answered_at is not None
        assert call.answered_at - call.received_at >= 0.3

    def test_email_goes_out_although_the_client_gave_up(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.script("u1", Answer(acts_after=0.3))
        send_invite(connection)
        [call] = partoo.wait_for_calls(1)
        connection.close()

        [email] = partoo.emails("u1")
        assert email.emailed_at == pytest.approx(call.received_at + 0.3)

    def test_answer_follows_a_late_email(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.script("u1", Answer(acts_after=0.3))

        assert invite(connection)[0] == 200
        [call] = partoo.calls()
        assert call.answered_at is not None
        assert call.emailed_at is not None
        assert call.answered_at >= call.emailed_at

    def test_interim_answers_come_before_the_answer(
        self, partoo: PartooControl, base_url: str
    ) -> None:
        partoo.script("u1", Answer(interim=(102, 103), body="done"))
        head = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
        with socket.create_connection(("127.0.0.1", urlsplit(base_url).port or 0)) as client:
            client.sendall(
                f"POST /v2/user/u1/invite HTTP/1.1\r\nConnection: close\r\n{head}\r\n".encode()
            )
            received = client.makefile("rb").read().decode()

        assert [line for line in received.split("\r\n") if line.startswith("HTTP/")] == [
            "HTTP/1.1 102 Processing",
            "HTTP/1.1 103 Early Hints",
            "HTTP/1.1 200 OK",
        ]
        assert received.endswith("\r\n\r\ndone")

    @pytest.mark.parametrize(
        ("answer", "emails"), [(Answer(drop="before"), 0), (Answer(drop="after"), 1)]
    )
    def test_a_dropped_call_has_no_answer(
        self,
        partoo: PartooControl,
        connection: http.client.HTTPConnection,
        answer: Answer,
        emails: int,
    ) -> None:
        partoo.script("u1", answer)

        with pytest.raises(http.client.RemoteDisconnected):
            invite(connection)
        assert [call.status for call in partoo.calls()] == [None]
        assert len(partoo.emails()) == emails

    def test_an_oversized_body_arrives_whole(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.script("u1", Answer(body_bytes=20_000_000))

        assert len(invite(connection)[1]) == 20_000_000

    def test_an_oversized_body_may_be_left_unread(
        self, partoo: PartooControl, connection: http.client.HTTPConnection, base_url: str
    ) -> None:
        partoo.script("u1", Answer(body_bytes=20_000_000))
        send_invite(connection)
        connection.getresponse().close()
        connection.close()

        assert len(partoo.emails()) == 1

    def test_a_truncated_body_ends_with_the_connection(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.script("u1", Answer(headers={"Content-Length": "100"}, body="{"))

        with pytest.raises(http.client.IncompleteRead):
            invite(connection)

    def test_a_body_may_be_no_text(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.script("u1", Answer(body_base64="//79"))

        assert invite(connection) == (200, b"\xff\xfe\xfd")

    def test_a_redirect_says_where_to(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        target = "http://127.0.0.1:9/elsewhere"
        partoo.script("u1", Answer(status=307, headers={"Location": target}))
        send_invite(connection)
        response = connection.getresponse()

        assert (response.status, response.headers["Location"]) == (307, target)
        assert partoo.emails() == []

    def test_a_dripping_body_takes_its_time(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.script("u1", Answer(body="slow", drip_seconds=0.4))
        started = time.monotonic()

        assert invite(connection) == (200, b"slow")
        assert time.monotonic() - started >= 0.4

    def test_a_held_answer_waits_for_its_release(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.script("u1", Answer(hold=True))
        send_invite(connection)

        [call] = partoo.wait_for_calls(1)
        assert (call.email_sent, call.status) == (True, None)
        partoo.release()
        assert connection.getresponse().status == 200

    def test_a_search_is_answered_by_its_script(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.script(ANY_SEARCH, Answer(status=429, headers={"Retry-After": "17"}))
        send_search(connection)
        response = connection.getresponse()
        response.read()

        assert (response.status, response.headers["Retry-After"]) == (429, "17")
        assert invite(connection)[0] == 200

    def test_a_dropped_search_has_no_answer(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.script(ANY_SEARCH, Answer(drop="before"))
        send_search(connection)

        with pytest.raises(http.client.RemoteDisconnected):
            connection.getresponse()
        assert [call.status for call in partoo.calls(operation="search")] == [None]

    def test_an_echo_repeats_the_headers_that_the_log_keeps_to_itself(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.script("u1", Answer(status=500, echo_headers=True))

        assert KEY in invite(connection)[1].decode()
        assert KEY not in repr(partoo.calls(operation=None))


class TestConnection:
    def test_stays_open_from_call_to_call(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        assert [invite(connection)[0], invite(connection, "nobody")[0]] == [200, 404]

    def test_survives_a_request_with_a_body(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        connection.request("POST", "/v2/user/u1/invite", body=b"{}" * 50_000, headers=HEADERS)
        connection.getresponse().read()

        assert invite(connection, "nobody")[0] == 404

    def test_closes_when_the_end_of_the_request_is_unknown(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        unreadable = HEADERS | {"Content-Length": "few"}
        connection.request("POST", "/v2/user/u1/invite", headers=unreadable)

        assert connection.getresponse().headers["Connection"] == "close"


class TestControl:
    @pytest.mark.parametrize(
        ("method", "command", "body"),
        [
            ("POST", "no-such-command", b"{}"),
            ("PUT", "key", b"{}"),
            ("PUT", "key", b"{"),
            ("POST", "keys", b'{"key": {"value": "new", "expiration_date": "tomorrow"}}'),
            ("POST", "revocations", b'{"api_key": "no-such-key"}'),
            ("PUT", "churn", b'{"accepting": 1}'),
            ("PUT", "churn", b'{"accepting": -1, "appearing": 0}'),
            ("PUT", "script", b'{"user_id": "u1", "answers": [{"colour": "red"}]}'),
            ("PUT", "script", b'{"user_id": "u1", "answers": [{"drop": "sometimes"}]}'),
            ("PUT", "script", b'{"user_id": "u1", "answers": [{"interim": [200]}]}'),
            ("GET", "calls?since=x", b""),
        ],
    )
    def test_refuses_what_it_does_not_know(
        self, base_url: str, method: str, command: str, body: bytes
    ) -> None:
        url = base_url.removesuffix("/v2") + "/_control/" + command

        assert urllib3.request(method, url, body=body).status == 400

    def test_returns_all_users_with_their_fields(self, partoo: PartooControl) -> None:
        user = User("u2", "active", sso_only=True, role="PUBLISHER", business_ids=("shop",))
        partoo.add_users(user)

        assert partoo.users() == [User("u1"), user]

    def test_registers_ten_thousand_users_in_one_call(self, partoo: PartooControl) -> None:
        users = [User(f"{number:024x}") for number in range(10_000)]
        partoo.add_users(*users)

        assert partoo.users()[1:] == users

    def test_users_accept_and_appear_after_each_page(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.set_churn(accepting=1, appearing=2)
        send_search(connection)

        assert b'"count": 1' in connection.getresponse().read()
        assert [user.status for user in partoo.users()] == ["active", "invited", "invited"]

    def test_a_key_is_added_and_another_revoked(
        self, partoo: PartooControl, connection: http.client.HTTPConnection
    ) -> None:
        partoo.add_key(ApiKey("new"))
        assert invite(connection)[0] == 200

        partoo.revoke_key(KEY)

        assert invite(connection)[0] == 401

    def test_a_refusal_raises(self, partoo: PartooControl) -> None:
        with pytest.raises(ControlError, match=r"calls\?since=x was answered 400"):
            partoo.calls(since="x")  # type: ignore[arg-type]

    def test_waiting_for_calls_that_do_not_come_ends(self, partoo: PartooControl) -> None:
        with pytest.raises(ControlError, match="0 calls, not 1"):
            partoo.wait_for_calls(1, timeout_seconds=0.05)


class TestProcess:
    @pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
    def test_ends_cleanly_on_a_signal(self, stop: signal.Signals) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.partoo"],
            cwd=REPOSITORY,
            env=os.environ | {"FAKE_PARTOO_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        url = process.stdout.readline()
        process.send_signal(stop)

        assert process.communicate(timeout=5) == ("", "")
        assert process.returncode == 0
        assert url.startswith("http://127.0.0.1:")

    def test_does_not_start_without_a_key(self) -> None:
        with pytest.raises(ControlError, match="ended with 1"), running_fake_partoo(""):
            pass
