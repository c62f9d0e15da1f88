"""What X-Ray's daemon hears of a traced stack: datagrams, which anybody on the machine can read."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws
from local.partoo.control import User
from local.stack import reconfigure
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

_API_KEY = "e2e-traced-key"
_QUIET_SECONDS = 2.0


class Daemon:
    """Listens in its place."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(_QUIET_SECONDS)
        host, port = self._socket.getsockname()
        self.address = f"{host}:{port}"
        self.heard = ""

    def subsegments(self) -> list[dict[str, Any]]:
        """What it hears until it hears nothing more, those inside of others included."""
        found: list[dict[str, Any]] = []
        try:
            while datagram := self._socket.recv(65_535).decode():
                self.heard += datagram
                ahead = [json.loads(datagram.partition("\n")[2])]
                while ahead:
                    found.append(ahead.pop())
                    ahead += found[-1].get("subsegments", [])
        except TimeoutError:
            return found
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    daemon = Daemon()
    yield daemon
    daemon.close()


@pytest.fixture(scope="module")
def traced_stack(aws: LocalAws, deployed_template: Path, daemon: Daemon) -> Iterator[Outside]:
    with own_stack(aws, deployed_template, "traced", Tracing="Active") as traced:
        for name in (
            traced.stack.reinvite_function_name,
            traced.stack.sweep_function_name,
            traced.stack.check_key_function_name,
        ):
            # The local AWS expands the template with the parameters' defaults.
            reconfigure(aws, name, TracingConfig={"Mode": "Active"})
            traced.set_variable(name, "AWS_XRAY_DAEMON_ADDRESS", daemon.address)
        yield traced


def test_a_traced_stack_tells_of_each_call_and_never_of_the_key(
    traced_stack: Outside, daemon: Daemon
) -> None:
    users = [traced_stack.invited_user() for _ in range(3)]

    answer = traced_stack.invoke({"user_ids": users})
    told = daemon.subsegments()

    assert [each["status"] for each in answer["results"]] == ["sent"] * 3
    # One for the execution, three for the calls, and what AWS was asked for.
    assert {each["name"] for each in told} == {
        "## handler",
        "partoo invite",
        "dynamodb",
        "secretsmanager",
        "sns",
    }
    calls = [each["annotations"] for each in told if each["name"] == "partoo invite"]
    assert sorted(call["user_id"] for call in calls) == sorted(users)
    assert {call["http_status"] for call in calls} == {200}
    assert len({each["trace_id"] for each in told if "trace_id" in each}) == 1
    assert _API_KEY not in daemon.heard


def test_a_traced_sweep_tells_of_its_searches(traced_stack: Outside, daemon: Daemon) -> None:
    traced_stack.partoo.add_users(User("waiting", created_at=1_577_836_800))

    traced_stack.sweep()
    told = daemon.subsegments()

    (search,) = [each for each in told if each["name"] == "partoo search"]
    assert search["annotations"] == {"page": 1, "http_status": 200}
    assert _API_KEY not in daemon.heard


def test_a_traced_check_of_the_key_tells_of_its_call(traced_stack: Outside, daemon: Daemon) -> None:
    traced_stack.check_key()
    told = daemon.subsegments()

    (call,) = [each for each in told if each["name"] == "partoo list keys"]
    assert call["annotations"] == {"http_status": 200}
    assert _API_KEY not in daemon.heard


def test_a_stack_that_is_not_traced_loads_nothing_for_it(stack: Outside) -> None:
    functions = stack.aws.client("lambda")
    configuration = functions.get_function_configuration(
        FunctionName=stack.stack.reinvite_function_name
    )

    assert configuration["Handler"] == "reinvite_user.app.handler"
    assert configuration["TracingConfig"]["Mode"] == "PassThrough"
