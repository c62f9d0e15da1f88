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


@pytest.mark.parametrize(
    ("operation", "given", "headers", "status"),
    [
        (INVITE, "u1", HEADERS, 200),
        (INVITE, "active", HEADERS, 400),
        (INVITE, "u1", HEADERS | {"x-APIKey": "another"}, 401),
        (INVITE, "forbidden", HEADERS, 403),
        (INVITE, "nobody", HEADERS, 404),
        (INVITE, "u1", HEADERS | {"Content-Type": "text/plain"}, 415),
        (SEARCH, {}, HEADERS, 200),
        (SEARCH, {"per_page": "101"}, HEADERS, 400),
        (SEARCH, {}, {}, 401),
        (KEYS, {"status": "active"}, HEADERS, 200),
        (KEYS, {"status": "any"}, HEADERS, 400),
        (KEYS, {}, {}, 401),
        (KEYS, {}, HEADERS | {"x-APIKey": "may-not-list"}, 403),
    ],
)
def test_each_answer_is_as_described(
    base_url: str,
    partoo: PartooControl,
    operation: Any,
    given: str | dict[str, str],
    headers: dict[str, str],
    status: int,
) -> None:
    """`given`: the user of an invitation, else the query."""
    partoo.add_users(User("forbidden", forbidden=True), User("active", status="active"))
    partoo.add_key(ApiKey("may-not-list", "2100-01-01", may_list=False))
    part = {"path_parameters": {"user_id": given}} if operation is INVITE else {"query": given}

    response = operation.Case(**part).call(base_url=base_url, headers=headers)

    assert response.status_code == status
    operation.validate_response(response)


def test_answer_above_the_quota_is_as_described() -> None:
    with running_fake_partoo(KEY, requests_per_minute=0) as base_url:
        response = SEARCH.Case().call(base_url=base_url, headers=HEADERS)

    assert (response.status_code, response.headers["retry-after"]) == (429, ["60"])
    SEARCH.validate_response(response)


# Scripted answers


@pytest.mark.parametrize("answer", [Answer(delay_seconds=0.3), Answer(acts_after=0.3)])
def test_late_answer_comes_after_its_email(
    partoo: PartooControl, connection: http.client.HTTPConnection, answer: Answer
) -> None:
    partoo.script("u1", answer)
    send_invite(connection)

    [call] = partoo.wait_for_calls(1)
    assert (call.email_sent, call.status) == (True, None)
    assert connection.getresponse().status == 200
    assert time.time() - call.received_at >= 0.3
    assert [call.status for call in partoo.calls()] == [200]


def test_email_goes_out_although_the_client_gave_up(
    partoo: PartooControl, connection: http.client.HTTPConnection
) -> None:
    partoo.script("u1", Answer(acts_after=0.3))
    send_invite(connection)
    [call] = partoo.wait_for_calls(1)
    connection.close()

    [email] = partoo.emails("u1")
    assert email.emailed_at == pytest.approx(call.received_at + 0.3)


def test_interim_answers_come_before_the_answer(partoo: PartooControl, base_url: str) -> None:
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
def test_dropped_call_has_no_answer(
    partoo: PartooControl, connection: http.client.HTTPConnection, answer: Answer, emails: int
) -> None:
    partoo.script("u1", answer)

    with pytest.raises(http.client.RemoteDisconnected):
        invite(connection)
    assert [call.status for call in partoo.calls()] == [None]
    assert len(partoo.emails()) == emails


def test_truncated_body_ends_with_the_connection(
    partoo: PartooControl, connection: http.client.HTTPConnection
) -> None:
    partoo.script("u1", Answer(headers={"Content-Length": "100"}, body="{"))

    with pytest.raises(http.client.IncompleteRead):
        invite(connection)


def test_lone_surrogates_of_a_body_become_bytes_that_are_no_text(
    partoo: PartooControl, connection: http.client.HTTPConnection
) -> None:
    partoo.script("u1", Answer(body="\udcff\udcfe"))

    assert invite(connection) == (200, b"\xff\xfe")


def test_dripping_body_takes_its_time(
    partoo: PartooControl, connection: http.client.HTTPConnection
) -> None:
    partoo.script("u1", Answer(body="slow", drip_seconds=0.4))
    started = time.monotonic()

    assert invite(connection) == (200, b"slow")
    assert time.monotonic() - started >= 0.4


def test_held_answer_waits_for_its_release(
    partoo: PartooControl, connection: http.client.HTTPConnection
) -> None:
    partoo.script("u1", Answer(hold=True))
    send_invite(connection)

    [call] = partoo.wait_for_calls(1)
    assert (call.email_sent, call.status) == (True, None)
    partoo.release()
    assert connection.getresponse().status == 200


def test_scripted_status_has_its_headers_and_an_echo_repeats_those_that_the_log_hides(
    partoo: PartooControl, connection: http.client.HTTPConnection
) -> None:
    partoo.script("u1", Answer(status=307, headers={"Location": "/there"}, echo_headers=True))
    send_invite(connection)
    response = connection.getresponse()

    assert (response.status, response.headers["Location"]) == (307, "/there")
    assert KEY in response.read().decode()
    assert KEY not in repr(partoo.calls(operation=None))


# Connections and controls


def test_connection_stays_open_from_call_to_call(
    partoo: PartooControl, connection: http.client.HTTPConnection
) -> None:
    connection.request("POST", "/v2/user/u1/invite", body=b"{}" * 50_000, headers=HEADERS)
    connection.getresponse().read()

    assert invite(connection, "nobody")[0] == 404


def test_connection_closes_when_the_end_of_the_request_is_unknown(
    partoo: PartooControl, connection: http.client.HTTPConnection
) -> None:
    unreadable = HEADERS | {"Content-Length": "few"}
    connection.request("POST", "/v2/user/u1/invite", headers=unreadable)

    assert connection.getresponse().headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("command", "body"),
    [
        ("no-such-command", b"{}"),
        ("set_key", b"{}"),
        ("set_key", b"{"),
        ("script", b'{"user_id": "u1", "answers": [{"colour": "red"}]}'),
        ("script", b'{"user_id": "u1", "answers": [{"status": 99}]}'),
    ],
)
def test_control_refuses_what_it_does_not_know(base_url: str, command: str, body: bytes) -> None:
    url = base_url.removesuffix("/v2") + "/_control/" + command

    assert urllib3.request("POST", url, body=body).status == 400


def test_control_that_is_refused_raises(partoo: PartooControl) -> None:
    with pytest.raises(ControlError, match="calls was answered 400"):
        partoo.calls(since="x")  # type: ignore[arg-type]


def test_waiting_for_calls_that_do_not_come_ends(partoo: PartooControl) -> None:
    with pytest.raises(ControlError, match="0 calls, not 1"):
        partoo.wait_for_calls(1, timeout_seconds=0.05)


def test_control_registers_ten_thousand_users_of_whom_some_accept(
    partoo: PartooControl, connection: http.client.HTTPConnection
) -> None:
    partoo.add_users(*(User(f"{number:024x}") for number in range(10_000)))
    partoo.set_churn(accepting=1)
    connection.request("GET", "/v2/user/search", headers=HEADERS)

    assert b'"count": 10001' in connection.getresponse().read()
    assert [user.status for user in partoo.users()].count("active") == 1


# The process


def test_server_ends_without_a_word_on_ctrl_c() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "local.partoo.server", "300", "300"],
        cwd=REPOSITORY,
        env=os.environ | {"FAKE_PARTOO_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=5) == ("", "")
    assert process.returncode == 0


def test_server_does_not_start_without_a_key() -> None:
    with pytest.raises(ControlError, match="ended with 1"), running_fake_partoo(""):
        pass
