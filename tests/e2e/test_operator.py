"""The operator's commands on a deployed stack."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from local.aws import REPOSITORY
from local.partoo.control import Answer
from tests.e2e.conftest import environment_of_make
from tests.e2e.outside import Outside

_SECONDS = 120
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def test_invite_sends_an_email_and_prints_the_result(stack: Outside) -> None:
    user = stack.invited_user()

    done = _run(stack, "invite", user, stack.stack.name)

    assert done.returncode == 0, done.stderr
    (request_id,) = re.findall(
        r"^Request (\S+) is on the queue of default\.$", done.stdout, re.MULTILINE
    )
    assert _lines(r"^  status +sent$", done)
    assert _lines(rf"^  window_ends_at +{_TIME}$", done)
    assert stack.result(request_id)["status"] == "sent"
    assert len(stack.partoo.emails(user)) == 1


def test_invite_prints_a_rejection(stack: Outside) -> None:
    user = stack.invited_user(Answer(status=403))

    done = _run(stack, "invite", user, stack.stack.name)

    assert done.returncode == 0, done.stderr
    assert _lines(r"^  status +rejected$", done)
    assert _lines(r"^  reason +forbidden$", done)


def test_status_prints_window_counts_and_all_requests(stack: Outside) -> None:
    user = stack.invited_user()
    sent = stack.send({"user_id": user})
    assert stack.result(sent)["status"] == "sent"
    skipped = stack.send({"user_id": user})
    assert stack.result(skipped)["status"] == "skipped"

    done = _run(stack, "status", user, stack.stack.name)

    assert done.returncode == 0, done.stderr
    assert _lines(rf"^  window +active until {_TIME}$", done)
    assert _lines(r"^  sent_count +1$", done)
    assert _lines(r"^  maybe_sent_count +0$", done)
    assert _lines(rf"^  last_invited_at +{_TIME}$", done)
    assert _lines(rf"^  {_TIME} sent +invited +200 +1 +{sent}$", done)
    assert re.search(
        rf"^  {_TIME} skipped +window_active +0 +{skipped}$", done.stdout, re.MULTILINE
    )


def test_status_of_a_user_without_requests_says_so(stack: Outside) -> None:
    done = _run(stack, "status", "unknown-user", stack.stack.name)

    assert (done.returncode, done.stdout) == (0, "Nothing is known of unknown-user in default.\n")


def test_forget_refuses_an_active_window_unless_forced(stack: Outside) -> None:
    user = stack.invited_user()
    assert stack.result(stack.send({"user_id": user}))["status"] == "sent"

    refused = _run(stack, "forget", user, stack.stack.name)
    forced = _run(stack, "forget", user, stack.stack.name, "1")
    again = _run(stack, "forget", user, stack.stack.name)

    assert refused.returncode == 1
    assert "FORCE=1" in refused.stderr
    assert forced.returncode == 0, forced.stderr
    assert f"Items of {user} deleted in default: 2." in forced.stdout
    assert "under way" in forced.stdout
    assert (again.returncode, again.stdout) == (0, f"Nothing is known of {user} in default.\n")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_tail_prints_results_and_sweeps(stack: Outside, end: signal.Signals) -> None:
    user = stack.invited_user()
    with _tailing(stack) as tail:
        tail.wait_for("Ctrl-C ends the command")
        request_id = stack.send({"user_id": user})
        tail.wait_for(rf"^  {_TIME} sent +invited +{request_id} +{user}$")
        # No user has that role.
        sweep_id = stack.sweep(roles=["PROVIDER"])["sweep_id"]
        tail.wait_for(rf"^  {_TIME} swept +completed +{sweep_id} +found 0, due 0, queued 0$")
        tail.process.send_signal(end)
        code = tail.process.wait(_SECONDS)

    assert (code, tail.errors) == (0, "")
    assert _tails(stack) == []


def test_paused_stack_calls_nobody_until_it_is_resumed(brisk_stack: Outside) -> None:
    brisk, name = brisk_stack, brisk_stack.stack.name
    user = brisk.invited_user()

    paused = _run(brisk, "pause", name)
    try:
        answer = brisk.invoke({"user_id": user, "request_id": f"paused-{user}"})
    finally:
        resumed = _run(brisk, "resume", name)
    result = brisk.result(brisk.send({"user_id": user}))
    again = _run(brisk, "resume", name)

    assert (paused.returncode, resumed.returncode) == (0, 0), paused.stderr + resumed.stderr
    assert "10 to 15 minutes" in " ".join(paused.stdout.split())
    assert [each["status"] for each in answer["results"]] == ["queued"]
    assert result["status"] == "sent"
    assert len(brisk.partoo.calls(user)) == 1
    assert (again.returncode, again.stdout) == (
        0,
        f"Nothing is paused by an operator in {name}.\n",
    )
    # The request that waits would keep the queues from being empty for later tests.
    for queue_url in brisk.stack.queue_urls:
        brisk.sqs.purge_queue(QueueUrl=queue_url)


@pytest.mark.parametrize("command", ["invite", "status", "forget"])
def test_unknown_stack_is_reported_in_one_line(stack: Outside, command: str) -> None:
    done = _run(stack, command, "u1", "no-such-stack")

    assert done.returncode == 1
    assert re.fullmatch(r"There is no stack no-such-stack in eu-west-1: .+\n", done.stderr)


def test_missing_credentials_are_reported_in_one_line() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nothing = {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }

    done = _run_with(kept | nothing, "tail", "default")

    assert done.returncode == 1
    assert re.fullmatch(r"There are no AWS credentials .+\n", done.stderr)


def test_login_name_is_not_taken_for_a_user(stack: Outside) -> None:
    environment = environment_of_make(stack.aws) | {"USER": "login"}

    done = subprocess.run(
        ["make", "forget", "STACK=default"],  # noqa: S607  # found on the path
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )

    assert done.returncode != 0
    assert "USER is missing" in done.stderr


@dataclass
class _Tail:
    """A running `make tail` and its output."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    errors: str = ""
    _news: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        for line in self.process.stdout or ():
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()

    def wait_for(self, pattern: str) -> None:
        with self._news:
            found = self._news.wait_for(
                lambda: any(re.search(pattern, line) for line in self.lines), _SECONDS
            )
        assert found, f"no {pattern} in {self.lines}"


@contextmanager
def _tailing(stack: Outside) -> Iterator[_Tail]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ops", "tail", stack.stack.name],
        cwd=REPOSITORY,
        env=stack.aws.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    tail = _Tail(process)
    reader = threading.Thread(target=tail.read)
    reader.start()
    try:
        with process:
            try:
                yield tail
            finally:
                process.terminate()
            tail.errors = process.stderr.read() if process.stderr else ""
    finally:
        reader.join()


def _tails(stack: Outside) -> list[str]:
    """Return queues and subscriptions that `make tail` has left behind."""
    queues = stack.sqs.list_queues(QueueNamePrefix=f"{stack.stack.name}-tail-")
    subscriptions = stack.aws.client("sns").list_subscriptions_by_topic(
        TopicArn=stack.stack.result_topic_arn
    )["Subscriptions"]
    endpoints = [each["Endpoint"] for each in subscriptions if "-tail-" in each["Endpoint"]]
    return [*queues.get("QueueUrls", []), *endpoints]


def _lines(pattern: str, done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the matches of a pattern in a command's output."""
    return re.findall(pattern, done.stdout, re.MULTILINE)


def _run(stack: Outside, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _run_with(stack.aws.environment(), *arguments)


def _run_with(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
