"""A newcomer runs the stack, breaks it, gets an alarm, and repairs it with the runbook.

Uses a copy of the repository, the output of the commands, and the documents.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name

from local.aws import LocalAws, clean_environment
from local.partoo.control import PartooControl
from local.stack import subscribe_queue
from tests.e2e.clone import clone
from tests.metrics import points

_SECONDS = 180
_POLL_SECONDS = 0.2
_STACK = "partoo-reinvite"
_RUNBOOK_LINK = re.compile(r"Runbook: (?P<path>\S+)#(?P<heading>\S+)")


class Terminal:
    """A command that runs in the background, and its output."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.printed = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + _SECONDS
        while (found := re.search(pattern, self.printed)) is None:
            assert time.monotonic() < deadline, f"no {pattern} in {self.printed}"
            time.sleep(_POLL_SECONDS)
        return found

    def interrupt(self) -> None:
        """Send Ctrl-C to the whole process group, as a terminal does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(_SECONDS)
        self._reader.join()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.printed += line


class Newcomer:
    """Runs commands in a copy of the repository."""

    def __init__(self, clone: Path) -> None:
        self.clone = clone
        of_make = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "STACK", "USER", "FORCE", "ENV", "EVENT")
        inherited = clean_environment()
        self.environment = {name: each for name, each in inherited.items() if name not in of_make}

    def types(self, command: str) -> str:
        """Run a command to its end; returns its output."""
        done = subprocess.run(
            shlex.split(command),
            cwd=self.clone,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def leaves_running(self, command: str) -> Iterator[Terminal]:
        process = subprocess.Popen(
            shlex.split(command),
            cwd=self.clone,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with process:
            terminal = Terminal(process)
            try:
                yield terminal
            finally:
                terminal.interrupt()

    def exports(self, printed: str) -> None:
        """Set the variables of the export lines in an output."""
        for line in re.findall(r"^ +export (.+)$", printed, re.MULTILINE):
            self.environment |= dict(pair.split("=", 1) for pair in shlex.split(line))

    def aws(self, command: str) -> Any:
        """Carry out `aws SERVICE OPERATION --option value`, as the AWS CLI does."""
        _, service, operation, *options = shlex.split(command.partition(" #")[0])
        client: Any = boto3.client(  # type: ignore[call-overload]  # whichever service it names
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name=self.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            verify=self.environment["AWS_CA_BUNDLE"],
        )
        name = operation.replace("-", "_")
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[name])
        spelled = {xform_name(each, "-"): each for each in model.input_shape.members}
        values = {
            spelled[option.removeprefix("--")]: self._value(value)
            for option, value in zip(options[::2], options[1::2], strict=True)
        }
        return getattr(client, name)(**values)

    def _value(self, value: str) -> str | int:
        if value.startswith("file://"):
            return (self.clone / value.removeprefix("file://")).read_text()
        return int(value) if value.isdigit() else value

    def section(self, path: str, heading: str) -> str:
        """Return the text below a heading of a document."""
        text = (self.clone / path).read_text(encoding="utf-8")
        return text.split(f"\n### {heading}\n", 1)[1].split("\n### ", 1)[0]


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    """A copy of the repository that shares the installed tools."""
    return Newcomer(clone(tmp_path))


def test_newcomer_finds_the_cause_of_an_alarm_and_repairs_it(newcomer: Newcomer) -> None:
    summary = newcomer.types("make run")
    assert re.search(r"^13 requests: .*\b10 sent\b", summary, re.MULTILINE)

    with newcomer.leaves_running("make local") as local:
        local.wait_for(r"Logs: +\S+\n")
        newcomer.exports(local.printed)
        first, second = _users(newcomer, local.printed)

        _invites_a_user(newcomer, first)
        with newcomer.leaves_running(f"make tail STACK={_STACK}") as tail:
            tail.wait_for("Ctrl-C ends the command")
            _breaks_and_repairs(newcomer, local, second)
            tail.wait_for(rf"sent +invited .*{second}")
    assert "Traceback" not in tail.printed + local.printed


def _users(newcomer: Newcomer, printed: str) -> list[str]:
    """Return the user in the printed commands and another user of the samples."""
    (first, *_) = re.findall(rf"make invite USER=(\S+) STACK={_STACK}", printed)
    texts = [path.read_text() for path in sorted(newcomer.clone.glob("events/invoke/*.json"))]
    others = {user for text in texts for user in re.findall(r'"([0-9a-f]{24})"', text)}
    return [first, *sorted(others - {first})[:1]]


def _invites_a_user(newcomer: Newcomer, user: str) -> None:
    assert re.search(r"status +sent", newcomer.types(f"make invite USER={user} STACK={_STACK}"))
    assert re.search(r"sent_count +1", newcomer.types(f"make status USER={user} STACK={_STACK}"))


def _breaks_and_repairs(newcomer: Newcomer, local: Terminal, user: str) -> None:
    partoo = PartooControl(local.wait_for(r"Fake Partoo server: +(\S+)")[1])
    alarms = _subscribes_to_alarms(newcomer)
    partoo.set_key("another-key")
    with newcomer.leaves_running(f"make invite USER={user} STACK={_STACK}") as invite:
        alarm = _receives_an_alarm(newcomer, local, alarms)
        assert "KeyRefused" in alarm["AlarmName"]

        link = _RUNBOOK_LINK.search(alarm["AlarmDescription"])
        assert link is not None
        advice = newcomer.section(link["path"], link["heading"])
        put_key, *_ = re.findall(r"^ +(aws .+)$", advice, re.MULTILINE)
        (newcomer.clone / "key.txt").write_text("another-key")
        secret = _output(newcomer, "ApiKeySecretArn")
        newcomer.aws(put_key.replace("API_KEY_SECRET_ARN", secret))

        invite.wait_for(r"status +sent")


def _subscribes_to_alarms(newcomer: Newcomer) -> str:
    """Subscribe a queue instead of an e-mail address; returns its URL."""
    typed = newcomer.environment
    ca = Path(typed["AWS_CA_BUNDLE"])
    aws = LocalAws(typed["AWS_ENDPOINT_URL"], newcomer.clone, ca=ca)
    return subscribe_queue(aws, "alarms", _output(newcomer, "AlarmTopicArn"))


def _receives_an_alarm(newcomer: Newcomer, local: Terminal, queue_url: str) -> dict[str, Any]:
    """Wait until metrics in the log reach an alarm's threshold, set its state, return the message.

    The local AWS derives no metrics from the log.
    """
    alarms = newcomer.aws("aws cloudwatch describe-alarms")["MetricAlarms"]
    deadline = time.monotonic() + _SECONDS
    risen: list[str] = []
    while not risen:
        assert time.monotonic() < deadline, "no metric of an alarm in the log"
        time.sleep(_POLL_SECONDS)
        risen = [each["AlarmName"] for each in alarms if _is_reached(each, _log(local))]
    (name,) = risen
    newcomer.aws(
        f"aws cloudwatch set-alarm-state --alarm-name {name} --state-value ALARM --state-reason log"
    )
    (message,) = newcomer.aws(
        f"aws sqs receive-message --queue-url {queue_url} --wait-time-seconds 10"
    )["Messages"]
    alarm: dict[str, Any] = json.loads(message["Body"])
    return alarm


def _is_reached(alarm: dict[str, Any], log: str) -> bool:
    """Return whether all values in the log, taken as one period, reach the alarm's threshold."""
    values = [
        point.value
        for point in points(log.splitlines())
        if (point.namespace, point.name) == (alarm["Namespace"], alarm["MetricName"])
    ]
    if not values:
        return False
    statistic = sum(values) if alarm["Statistic"] == "Sum" else max(values)
    if alarm["ComparisonOperator"] == "GreaterThanThreshold":
        return bool(statistic > alarm["Threshold"])
    return bool(statistic >= alarm["Threshold"])


def _output(newcomer: Newcomer, name: str) -> str:
    (stack,) = newcomer.aws(f"aws cloudformation describe-stacks --stack-name {_STACK}")["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    return str(outputs[name])


def _log(local: Terminal) -> str:
    folder = Path(local.wait_for(r"Logs: +(\S+)")[1])
    return "\n".join(path.read_text(errors="replace") for path in folder.glob("*.log"))
