"""What X-Ray's daemon hears of a traced stack: datagrams, which anybody on the machine can read."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws
from local.partoo.control import User
from local.stack import reconfigure
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

_API_KEY = "e2e-traced-key"
# A function sends its segments before it answers.
_QUIET_SECONDS = 2.0


@pytest.fixture(scope="module")
def daemon() -> Iterator[socket.socket]:
    """A socket in the place of X-Ray's daemon."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(_QUIET_SECONDS)
        yield listening


@pytest.fixture(scope="module")
def traced_stack(
    aws: LocalAws, deployed_template: Path, daemon: socket.socket
) -> Iterator[Outside]:
    with own_stack(aws, deployed_template, "traced", Tracing="Active") as traced:
        functions = aws.client("lambda")
        host, port = daemon.getsockname()
        for name in (
            traced.stack.reinvite_function_name,
            traced.stack.sweep_function_name,
            traced.stack.check_key_function_name,
        ):
            settings = functions.get_function_configuration(FunctionName=name)["Environment"]
            variables = settings["Variables"] | {"AWS_XRAY_DAEMON_ADDRESS": f"{host}:{port}"}
            # The local AWS expands the template with the parameters' defaults.
            reconfigure(
                aws,
                name,
                TracingConfig={"Mode": "Active"},
                Environment={"Variables": variables},
            )
        yield traced


def test_traced_stack_reports_each_call_and_never_the_key(
    traced_stack: Outside, daemon: socket.socket
) -> None:
    users = [traced_stack.invited_user() for _ in range(3)]

    answer = traced_stack.invoke({"user_ids": users})
    heard = _subsegments(daemon)

    assert [each["status"] for each in answer["results"]] == ["sent"] * 3
    # One for the execution, three for the calls, and the calls of AWS.
    names = {"## handler", "partoo invite", "dynamodb", "secretsmanager", "sns"}
    assert {each["name"] for each in heard} == names
    calls = [each["annotations"] for each in heard if each["name"] == "partoo invite"]
    assert sorted(call["user_id"] for call in calls) == sorted(users)
    assert {call["http_status"] for call in calls} == {200}
    assert len({each["trace_id"] for each in heard if "trace_id" in each}) == 1


def test_traced_sweep_and_check_of_the_key_report_their_calls(
    traced_stack: Outside, daemon: socket.socket
) -> None:
    traced_stack.partoo.add_users(User("waiting", created_at=1_577_836_800))

    traced_stack.sweep()
    traced_stack.check_key()
    heard = {each["name"]: each.get("annotations") for each in _subsegments(daemon)}

    assert heard["partoo search"] == {"page": 1, "http_status": 200}
    assert heard["partoo list keys"] == {"http_status": 200}


def _subsegments(daemon: socket.socket) -> list[dict[str, Any]]:
    """Return what the daemon hears until it hears nothing more, nested subsegments included."""
    found: list[dict[str, Any]] = []
    with suppress(TimeoutError):
        while datagram := daemon.recv(65_535).decode():
            assert _API_KEY not in datagram
            ahead = [json.loads(datagram.partition("\n")[2])]
            while ahead:
                found.append(ahead.pop())
                ahead += found[-1].get("subsegments", [])
    return found
