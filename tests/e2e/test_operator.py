"""The operator's commands on a deployed stack."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from local.aws import REPOSITORY
from local.environment import LocalEnvironment
from local.live import watch
from local.partoo.control import Answer
from local.terminal import running_terminal
from tests.e2e.conftest import environment_of_make
from tests.e2e.outside import Outside

_SECONDS = 120
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def test_invite_sends_an_email_and_prints_the_result(stack: Outside) -> None:
    user = stack.invited_user()

    printed = _run(stack, "invite", user)

    (request_id,) = _lines(
        rf"^Request (\S+) for user {user} is on the queue of default\.$", printed
    )
    assert _lines(r"^  status +sent$", printed)
    assert _lines(rf"^  window_ends_at +{_TIME}$", printed)
    assert stack.result(request_id)["status"] == "sent"
    assert len(stack.partoo.emails(user)) == 1


def test_status_prints_window_counts_and_all_requests(stack: Outside) -> None:
    user = stack.invited_user()
    sent = stack.send({"user_id": user})
    stack.result(sent)
    skipped = stack.send({"user_id": user})
    stack.result(skipped)

    printed = _run(stack, "status", user)

    for line in (
        rf"window +active until {_TIME}",
        "sent_count +1",
        "maybe_sent_count +0",
        rf"last_invited_at +{_TIME}",
        rf"{_TIME} sent +invited +200 +1 +{sent}",
        rf"{_TIME} skipped +window_active +0 +{skipped}",
    ):
        assert _lines(f"^  {line}$", printed), line


def test_forget_refuses_an_active_window_unless_forced(stack: Outside) -> None:
    user = stack.invited_user()
    stack.result(stack.send({"user_id": user}))

    refused = _run(stack, "forget", user, code=1)
    forced = _run(stack, "forget", user, more=("1",))
    again = _run(stack, "forget", user)

    assert "FORCE=1" in refused
    assert f"Items of {user} deleted in default: 2." in forced
    assert "under way" in forced
    assert again == f"Nothing is known of {user} in default.\n"


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_tail_prints_results_and_sweeps(stack: Outside, end: signal.Signals) -> None:
    user = stack.invited_user()
    with running_terminal(
        [sys.executable, "-m", "ops", "tail", stack.stack.name],
        directory=REPOSITORY,
        environment=stack.aws.environment(),
        size="220x50",
    ) as tail:
        tail.wait_for("Ctrl-C ends the command")
        request_id = stack.send({"user_id": user})
        tail.wait_for(rf"^  {_TIME} sent +invited +{request_id} +{user} *$")
        # No user has that role.
        sweep_id = stack.sweep(roles=["PROVIDER"])["sweep_id"]
        tail.wait_for(rf"^  {_TIME} swept +completed +{sweep_id} +found 0, due 0, queued 0 *$")
        tail.process.send_signal(end)
        tail.end()

    assert tail.process.returncode == 0
    assert "Traceback" not in tail.printed
    topic = {"TopicArn": stack.stack.result_topic_arn}
    subscribed = stack.aws.client("sns").list_subscriptions_by_topic(**topic)["Subscriptions"]
    assert [each for each in subscribed if "-tail-" in each["Endpoint"]] == []
    assert not stack.sqs.list_queues(QueueNamePrefix="default-tail-").get("QueueUrls")


def test_paused_stack_calls_nobody_until_it_is_resumed(brisk_stack: Outside) -> None:
    brisk = brisk_stack
    user = brisk.invited_user()

    paused = _run(brisk, "pause")
    try:
        answer = brisk.invoke({"user_id": user, "request_id": f"paused-{user}"})
    finally:
        _run(brisk, "resume")
    result = brisk.result(brisk.send({"user_id": user}))

    assert "10 to 15 minutes" in " ".join(paused.split())
    assert [each["status"] for each in answer["results"]] == ["queued"]
    assert result["status"] == "sent"
    assert len(brisk.partoo.calls(user)) == 1
    assert _run(brisk, "resume") == "Nothing is paused by an operator in brisk.\n"
    # The request that waits would keep the queues from being empty for later tests.
    brisk.reset()


def test_watch_prints_a_line_for_each_event_without_a_terminal(stack: Outside) -> None:
    user = stack.invited_user(Answer(status=429, headers={"Retry-After": "1"}))
    output = io.StringIO()
    with _watching(stack, Console(file=output, soft_wrap=True)):
        request_id = stack.send({"user_id": user})
        stack.wait(lambda: f"{user} sent" in output.getvalue())

    printed = output.getvalue()
    steps = _lines(rf"^  [\d:]{{8}} {request_id} +{user} +(.+)$", printed)
    assert (steps[:2], steps[3:]) == (["received", "answer 429"], ["sent"])
    assert re.fullmatch(r"deferred \d s \(throttled\)", steps[2])
    assert re.search(r" rate limiter +paused until [\d:]{8} \(throttled\)\n", printed)
    assert re.search(r"\n\d+ requests?: .+ E-mails at the API: \d+\.\n\Z", printed)


def test_watch_ends_when_its_terminal_closes(stack: Outside) -> None:
    master, slave = pty.openpty()
    with (
        os.fdopen(slave, "w") as terminal,
        _watching(stack, Console(file=terminal)) as watching,
    ):
        os.read(master, 1)
        os.close(master)
        watching.join(_SECONDS)

        assert not watching.is_alive()


def test_unknown_stack_is_reported_in_one_line(stack: Outside) -> None:
    done = _execute([sys.executable, "-m", "ops", "invite", "u1", "none"], stack.aws.environment())

    assert done.returncode == 1
    assert re.fullmatch(r"There is no stack none in eu-west-1: .+\n", done.stderr)


def test_login_name_is_not_taken_for_a_user(stack: Outside) -> None:
    done = _make(stack, "forget", "STACK=default")

    assert done.returncode != 0
    assert "USER is missing" in done.stderr


def test_user_id_of_the_command_line_arrives_as_it_was_typed(stack: Outside) -> None:
    user = "a$b $(x) `y` $$ \"c\" 'd' \\ #"

    done = _make(stack, "status", f"USER={user}", "STACK=default")

    assert (done.returncode, done.stdout) == (0, f"Nothing is known of {user} in default.\n")


@contextmanager
def _watching(stack: Outside, console: Console) -> Iterator[threading.Thread]:
    """Run what `make local` shows, for the length of the block."""
    end = threading.Event()
    environment = LocalEnvironment(stack.aws, stack.stack, stack.partoo, "")
    thread = threading.Thread(target=watch, args=(environment, console, end))
    thread.start()
    try:
        yield thread
    finally:
        end.set()
        thread.join()


def _lines(pattern: str, printed: str) -> list[str]:
    return re.findall(pattern, printed, re.MULTILINE)


def _run(
    stack: Outside, command: str, *user: str, more: tuple[str, ...] = (), code: int = 0
) -> str:
    """Run a command of `ops`; returns what it has printed."""
    arguments = ["-m", "ops", command, *user, stack.stack.name, *more]
    done = _execute([sys.executable, *arguments], stack.aws.environment())
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def _make(stack: Outside, *arguments: str) -> subprocess.CompletedProcess[str]:
    return _execute(["make", *arguments], environment_of_make(stack.aws) | {"USER": "login"})


def _execute(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
