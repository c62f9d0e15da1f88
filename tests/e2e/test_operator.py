"""The operator's commands on a deployed stack."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from rich.console import Console

from local.aws import REPOSITORY
from local.environment import LocalEnvironment
from local.live import watch
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
        rf"^Request (\S+) for user {user} is on the queue of default\.$", done.stdout, re.MULTILINE
    )
    assert _lines(r"^  status +sent$", done)
    assert _lines(rf"^  window_ends_at +{_TIME}$", done)
    assert stack.result(request_id)["status"] == "sent"
    assert len(stack.partoo.emails(user)) == 1


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
        _await_line(tail, "Ctrl-C ends the command")
        request_id = stack.send({"user_id": user})
        _await_line(tail, rf"^  {_TIME} sent +invited +{request_id} +{user}$")
        # No user has that role.
        sweep_id = stack.sweep(roles=["PROVIDER"])["sweep_id"]
        _await_line(tail, rf"^  {_TIME} swept +completed +{sweep_id} +found 0, due 0, queued 0$")
        tail.send_signal(end)
        _, errors = tail.communicate(timeout=_SECONDS)

    assert (tail.returncode, errors) == (0, "")
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


def test_watch_prints_a_line_for_each_event_without_a_terminal(stack: Outside) -> None:
    user = stack.invited_user(Answer(status=429, headers={"Retry-After": "1"}))
    output, end = io.StringIO(), threading.Event()
    watching = threading.Thread(
        target=watch, args=(_environment(stack), Console(file=output, soft_wrap=True), end)
    )
    watching.start()
    try:
        request_id = stack.send({"user_id": user})
        assert stack.result(request_id)["status"] == "sent"
        stack.wait(lambda: f"{user} sent" in output.getvalue())
    finally:
        end.set()
        watching.join()

    printed = output.getvalue()
    steps = re.findall(rf"^  [\d:]{{8}} {request_id} +{user} +(.+)$", printed, re.MULTILINE)
    assert (steps[:2], steps[3:]) == (["received", "answer 429"], ["sent"])
    assert re.fullmatch(r"deferred \d s \(throttled\)", steps[2])
    assert re.search(r" rate limiter +paused until [\d:]{8} \(throttled\)\n", printed)
    assert re.search(r"\n\d+ requests?: .+ E-mails at the API: \d+\.\n\Z", printed)


def test_watch_ends_when_its_terminal_closes(stack: Outside) -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        watching = threading.Thread(
            target=watch, args=(_environment(stack), Console(file=terminal), threading.Event())
        )
        watching.start()
        os.read(master, 1)
        os.close(master)
        watching.join(_SECONDS)

        assert not watching.is_alive()


def test_unknown_stack_is_reported_in_one_line(stack: Outside) -> None:
    done = _run(stack, "invite", "u1", "no-such-stack")

    assert done.returncode == 1
    assert re.fullmatch(r"There is no stack no-such-stack in eu-west-1: .+\n", done.stderr)


def test_login_name_is_not_taken_for_a_user(stack: Outside) -> None:
    done = _make(stack, "forget", "STACK=default")

    assert done.returncode != 0
    assert "USER is missing" in done.stderr


def test_user_id_of_the_command_line_arrives_as_it_was_typed(stack: Outside) -> None:
    user = "a$b $(x) `y` $$ \"c\" 'd' \\ #"

    done = _make(stack, "status", f"USER={user}", "STACK=default")

    assert (done.returncode, done.stdout) == (0, f"Nothing is known of {user} in default.\n")


@contextmanager
def _tailing(stack: Outside) -> Iterator[subprocess.Popen[str]]:
    """Run `make tail`, for _SECONDS at most."""
    with subprocess.Popen(
        [sys.executable, "-m", "ops", "tail", stack.stack.name],
        cwd=REPOSITORY,
        env=stack.aws.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        end = threading.Timer(_SECONDS, process.kill)
        end.start()
        try:
            yield process
        finally:
            end.cancel()
            process.terminate()


def _await_line(process: subprocess.Popen[str], pattern: str) -> None:
    assert any(re.search(pattern, line) for line in process.stdout or ()), pattern


def _environment(stack: Outside) -> LocalEnvironment:
    return LocalEnvironment(stack.aws, stack.stack, stack.partoo, stack.partoo_url)


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
    return _execute([sys.executable, "-m", "ops", *arguments], stack.aws.environment())


def _make(stack: Outside, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _execute(["make", *arguments], environment_of_make(stack.aws) | {"USER": "login"})


def _execute(
    command: list[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
