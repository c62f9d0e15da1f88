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

import boto3
import pytest
from botocore import xform_name

from local.aws import LocalAws, clean_environment
from local.partoo.control import PartooControl
from local.stack import subscribe_queue
from local.terminal import Terminal, running_terminal
from tests.e2e.clone import clone
from tests.metrics import points
from tests.processes import processes_left

_SECONDS = 180
_POLL_SECONDS = 0.2
_STACK = "partoo-reinvite"
# No server listens there.
_NOWHERE = "http://127.0.0.1:9"
_RUNBOOK_LINK = re.compile(r"Runbook: (?P<path>\S+)#(?P<heading>\S+)")


class Newcomer:
    """Runs commands in a copy of the repository."""

    def __init__(self, folder: Path) -> None:
        self.clone = clone(folder)
        self.scratch = folder / "temporary files"
        self.scratch.mkdir()
        of_make = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
        inherited = clean_environment() | {"TMPDIR": str(self.scratch)}
        self.environment = {name: each for name, each in inherited.items() if name not in of_make}

    def types(self, command: str, **variables: str) -> str:
        """Run a command to its end; returns its output."""
        done = self.tries(command, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tries(self, command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            shlex.split(command),
            cwd=self.clone,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )

    def leaves_running(self, command: str) -> AbstractContextManager[Terminal]:
        return running_terminal(
            shlex.split(command),
            directory=self.clone,
            environment=self.environment,
            size="220x50",
        )

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


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """A copy of the repository that shares the installed tools."""
    return Newcomer(tmp_path_factory.mktemp("newcomer"))


@pytest.fixture(scope="module")
def local(newcomer: Newcomer) -> Iterator[Terminal]:
    """`make local` in a terminal, whose export lines were pasted into the others."""
    # A shell is what ends when a terminal closes, and with it goes the signal to its commands.
    with newcomer.leaves_running("sh -c 'make local; true'") as terminal:
        terminal.wait_for("^Rate limiter: ")
        newcomer.exports(terminal.text())
        yield terminal


def test_samples_run_behind_a_dead_proxy_on_an_ascii_terminal(newcomer: Newcomer) -> None:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy"), _NOWHERE)

    printed = newcomer.types("make run", LC_ALL="C", PYTHONIOENCODING="ascii", **proxies)

    assert re.search(r"^13 requests: .*\b10 sent\b", printed, re.MULTILINE)
    assert "Next: make local" in printed
    assert printed.isascii()


def test_request_is_shown_from_received_over_deferred_to_sent(
    newcomer: Newcomer, local: Terminal
) -> None:
    (user,) = re.findall("^[0-9a-f]{24}$", newcomer.types("make partoo ADD=1"), re.MULTILINE)
    assert "next 1 invitation: 429" in newcomer.types("make partoo ANSWER=429")

    with newcomer.leaves_running(f"make invite USER={user} STACK={_STACK}") as invite:
        local.wait_for(rf"{user} +received → answer 429 → deferred \d s \(throttled\) *$")
        local.wait_for(r"^Rate limiter: paused until [\d:]{8} \(throttled\)\.")
        local.wait_for(rf"{user} +received → answer 429 → deferred \d s \(throttled\) → sent *$")
        local.wait_for(r"^1 request: 1 sent\. E-mails at the API: 1\.")
        invite.wait_for(r"status +sent")


def test_newcomer_finds_the_cause_of_an_alarm_and_repairs_it(
    newcomer: Newcomer, local: Terminal
) -> None:
    first, second = _users(newcomer, local.text())

    _invites_a_user(newcomer, first)
    with newcomer.leaves_running(f"make tail STACK={_STACK}") as tail:
        tail.wait_for("Ctrl-C ends the command")
        _breaks_and_repairs(newcomer, local, second)
        tail.wait_for(rf"sent +invited .*{second}")
    assert "Traceback" not in tail.printed + local.printed


def test_terminal_that_closes_leaves_nothing_behind(newcomer: Newcomer, local: Terminal) -> None:
    """The last test, because it ends the stack."""
    local.hang_up()

    assert processes_left(str(newcomer.scratch)) == []
    assert list(newcomer.scratch.iterdir()) == []
    refused = newcomer.tries("make partoo ANSWER=429")
    assert refused.returncode != 0
    assert refused.stderr.startswith("No make local runs in this folder")


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
    with newcomer.leaves_running(f"make invite USER={user} STACK={_STACK}"):
        alarm = _receives_an_alarm(newcomer, local, alarms)
        assert "KeyRefused" in alarm["AlarmName"]

        link = _RUNBOOK_LINK.search(alarm["AlarmDescription"])
        assert link is not None
        advice = newcomer.section(link["path"], link["heading"])
        put_key, *_ = re.findall(r"^ +(aws .+)$", advice, re.MULTILINE)
        (newcomer.clone / "key.txt").write_text("another-key")
        secret = _output(newcomer, "ApiKeySecretArn")
        newcomer.aws(put_key.replace("API_KEY_SECRET_ARN", secret))


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
    folder = Path(local.wait_for(r"Logs: +(.+)$")[1])
    return "\n".join(path.read_text(errors="replace") for path in folder.glob("*.log"))
