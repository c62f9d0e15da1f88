"""What X-Ray's daemon hears of a traced stack: datagrams, which anybody on the machine can read."""

import json
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from local.aws import LocalAws
from local.partoo.control import User
from local.stack import reconfigure
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

# A function sends its segments before it answers.
_QUIET_SECONDS = 2.0


def test_traced_functions_report_each_call_and_never_the_key(
    aws: LocalAws, deployed_template: Path
) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon,
        own_stack(aws, deployed_template, "traced", Tracing="Active") as stack,
    ):
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(_QUIET_SECONDS)
        _report_to(daemon, stack)
        users = [stack.invited_user() for _ in range(3)]
        answer = stack.invoke({"user_ids": users})
        of_invitations = _subsegments(daemon)
        stack.partoo.add_users(User("waiting", created_at=1_577_836_800))
        stack.sweep()
        stack.check_key()
        of_others = _subsegments(daemon)

    assert [each["status"] for each in answer["results"]] == ["sent"] * 3
    # One for the execution, three for the calls, and the calls of AWS.
    names = {"## handler", "partoo invite", "dynamodb", "secretsmanager", "sns"}
    assert {each["name"] for each in of_invitations} == names
    assert [each["name"] for each in of_invitations].count("partoo invite") == 3
    assert len({each["trace_id"] for each in of_invitations if "trace_id" in each}) == 1
    assert {"partoo search", "partoo list keys"} <= {each["name"] for each in of_others}
    assert "e2e-traced-key" not in str(of_invitations + of_others)


def _report_to(daemon: socket.socket, stack: Outside) -> None:
    """Switch tracing on: the local AWS expands the template with the parameters' defaults."""
    host, port = daemon.getsockname()
    for name in (
        stack.stack.reinvite_function_name,
        stack.stack.sweep_function_name,
        stack.stack.check_key_function_name,
    ):
        settings = stack.aws.client("lambda").get_function_configuration(FunctionName=name)
        variables = settings["Environment"]["Variables"]
        variables["AWS_XRAY_DAEMON_ADDRESS"] = f"{host}:{port}"
        environment = {"Variables": variables}
        reconfigure(stack.aws, name, TracingConfig={"Mode": "Active"}, Environment=environment)


def _subsegments(daemon: socket.socket) -> list[dict[str, Any]]:
    """Return what the daemon hears until it hears nothing more, nested subsegments included."""
    found: list[dict[str, Any]] = []
    with suppress(TimeoutError):
        while datagram := daemon.recv(65_535).decode():
            ahead = [json.loads(datagram.partition("\n")[2])]
            while ahead:
                found.append(ahead.pop())
                ahead += found[-1].get("subsegments", [])
    return found
