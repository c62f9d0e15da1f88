"""A newcomer runs the stack, watches it, breaks it, gets an alarm, and repairs it with the runbook.

Uses a copy of the repository, a terminal, the output of the commands, and the documents.
"""

import json
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws, clean_environment
from local.partoo.control import PartooControl
from local.stack import subscribe_queue
from tests.e2e.clone import clone
from tests.metrics import points
from tests.processes import processes_left
from tests.terminal import Terminal, running_terminal

_SECONDS = 180
_POLL_SECONDS = 0.2
_STACK = "partoo-reinvite"
# No server listens there.
_NOWHERE = "http://127.0.0.1:9"
_PUT_KEY = (
    "aws secretsmanager put-secret-value --secret-id API_KEY_SECRET_ARN "
    "--secret-string file://key.txt"
)


class Newcomer:
    """Runs commands in a copy of the repository."""

    def __init__(self, folder: Path) -> None:
        self.clone = clone(folder)
        self.scratch = folder / "temporary files"
        self.scratch.mkdir()
        of_make = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
        inherited = clean_environment() | {"TMPDIR": str(self.scratch)}
        self.environment = {name: each for name, each in inherited.items() if name not in of_make}

    def types(
        self, command: str, variables: dict[str, str] | None = None, *, succeeds: bool = True
    ) -> str:
        """Run a command to its end; returns its output."""
        done = subprocess.run(
            shlex.split(command),
            cwd=self.clone,
            env=self.environment | (variables or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        assert (done.returncode == 0) is succeeds, done.stdout + done.stderr
        return done.stdout + done.stderr

    def leaves_running(self, command: str) -> AbstractContextManager[Terminal]:
        return running_terminal(
            shlex.split(command), directory=self.clone, environment=self.environment
        )

    def exports(self, printed: str) -> None:
        """Set the variables of the export lines in an output."""
        for line in re.findall(r"^ +export (.+)$", printed, re.MULTILINE):
            self.environment |= dict(pair.split("=", 1) for pair in shlex.split(line))

    def aws(self) -> LocalAws:
        """Return the AWS that the exported variables name."""
        exported = self.environment
        ca = Path(exported["AWS_CA_BUNDLE"])
        return LocalAws(exported["AWS_ENDPOINT_URL"], self.clone, ca=ca)

    def output(self, name: str) -> str:
        """Return an output of the stack."""
        cloudformation = self.aws().client("cloudformation")
        (stack,) = cloudformation.describe_stacks(StackName=_STACK)["Stacks"]
        (found,) = [each for each in stack["Outputs"] if each["OutputKey"] == name]
        return str(found["OutputValue"])


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """A copy of the repository that shares the installed tools."""
    return Newcomer(tmp_path_factory.mktemp("newcomer"))


@pytest.fixture(scope="module")
def local(newcomer: Newcomer) -> Iterator[Terminal]:
    """`make local` in a terminal, whose export lines were pasted into the others."""
    # A shell is what ends when a terminal closes, and with it goes the signal to its commands.
    with newcomer.leaves_running("sh -c 'make local; true'") as terminal:
        terminal.wait_for(r"^  time \(UTC\)")
        newcomer.exports(terminal.printed)
        yield terminal


def test_samples_run_behind_a_dead_proxy_on_an_ascii_terminal(newcomer: Newcomer) -> None:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy"), _NOWHERE)
    variables = proxies | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}

    printed = newcomer.types("make run", variables)

    assert re.search(r"^13 requests: .*\b10 sent\b", printed, re.MULTILINE)
    assert "Next: make local" in printed
    assert printed.isascii()


def test_each_step_of_a_request_is_shown(newcomer: Newcomer, local: Terminal) -> None:
    user = _added_user(newcomer)
    assert "next 1 invitation: 429" in newcomer.types("make partoo ANSWER=429")

    with newcomer.leaves_running(f"make invite USER={user} STACK={_STACK}") as invite:
        local.wait_for(rf"answered +429 .* {user}$")
        local.wait_for(rf"deferred +throttled, \d s .* {user}$")
        local.wait_for(r"paused +all calls, until [\d:]{8}$")
        local.wait_for(rf"sent +invited .* {user}$")
        invite.wait_for(r"status +sent")


def test_newcomer_finds_the_cause_of_an_alarm_and_repairs_it(
    newcomer: Newcomer, local: Terminal
) -> None:
    (first, *_) = re.findall(rf"make invite USER=(\S+) STACK={_STACK}", local.printed)
    second = _added_user(newcomer)
    partoo = PartooControl(local.wait_for(r"Fake Partoo server: +(\S+)")[1])
    # In place of an e-mail address.
    alarms = subscribe_queue(newcomer.aws(), "alarms", newcomer.output("AlarmTopicArn"))

    assert re.search(r"status +sent", newcomer.types(f"make invite USER={first} STACK={_STACK}"))
    assert re.search(r"sent_count +1", newcomer.types(f"make status USER={first} STACK={_STACK}"))
    with newcomer.leaves_running(f"make tail STACK={_STACK}") as tail:
        tail.wait_for("Ctrl-C ends the command")
        partoo.set_key("another-key")
        with newcomer.leaves_running(f"make invite USER={second} STACK={_STACK}"):
            alarm = _receives_alarm(newcomer, local, "KeyRefusals", alarms)
            assert _first_command_of_the_runbook(newcomer, alarm["AlarmDescription"]) == _PUT_KEY
            newcomer.aws().client("secretsmanager").put_secret_value(
                SecretId=newcomer.output("ApiKeySecretArn"), SecretString="another-key"
            )
        tail.wait_for(rf"sent +invited .*{second}")

    assert "Traceback" not in tail.printed + local.printed


def test_terminal_that_closes_leaves_nothing_behind(newcomer: Newcomer, local: Terminal) -> None:
    """The last test, because it ends the stack."""
    local.hang_up()

    assert processes_left(str(newcomer.scratch)) == []
    assert list(newcomer.scratch.iterdir()) == []
    refused = newcomer.types("make partoo ANSWER=429", succeeds=False)
    assert refused.startswith("No make local runs in this folder")


def _added_user(newcomer: Newcomer) -> str:
    """Add a user to the fake server; returns the id."""
    (user,) = re.findall("^[0-9a-f]{24}$", newcomer.types("make partoo ADD=1"), re.MULTILINE)
    return str(user)


def _receives_alarm(
    newcomer: Newcomer, local: Terminal, metric: str, queue_url: str
) -> dict[str, Any]:
    """Wait for a metric in the log, set the state of its alarm, and return the message.

    The local AWS derives no metrics from the log.
    """
    log = Path(local.wait_for(r"Logs: +(.+)$")[1], "aws.log")
    deadline = time.monotonic() + _SECONDS
    while metric not in {
        each.name for each in points(log.read_text(errors="replace").splitlines())
    }:
        assert time.monotonic() < deadline, f"no {metric} in the log"
        time.sleep(_POLL_SECONDS)
    cloudwatch = newcomer.aws().client("cloudwatch")
    alarms = cloudwatch.describe_alarms()["MetricAlarms"]
    (name,) = [each["AlarmName"] for each in alarms if each["MetricName"] == metric]
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="log")
    (message,) = newcomer.aws().receive(queue_url, wait_seconds=20)
    alarm: dict[str, Any] = json.loads(message["Body"])
    return alarm


def _first_command_of_the_runbook(newcomer: Newcomer, description: str) -> str:
    """Return the first command of the section that an alarm's description names."""
    (path, heading) = re.findall(r"Runbook: (\S+)#(\S+)", description)[0]
    text = (newcomer.clone / path).read_text(encoding="utf-8")
    section = text.split(f"\n### {heading}\n", 1)[1].split("\n### ", 1)[0]
    return str(re.findall(r"^ +(aws .+?)(?: +#.*)?$", section, re.MULTILINE)[0])
