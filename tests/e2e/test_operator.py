"""The operator's commands on a deployed stack."""

import io
import re
import signal
import subprocess
import sys
import uuid

import pytest
from rich.console import Console

from local.aws import REPOSITORY
from local.live import Watch
from local.partoo.control import Answer
from ops.redrive import redrive
from tests.e2e.conftest import MAX_ATTEMPTS, environment_of_make
from tests.e2e.outside import Outside
from tests.terminal import running_terminal

_SECONDS = 120
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def test_status_prints_window_counts_and_all_requests(stack: Outside) -> None:
    user = stack.invited_user()
    sent = stack.send({"user_id": user})
    stack.result(sent)
    skipped = stack.send({"user_id": user})
    stack.result(skipped)

    printed = _make(stack, "status", f"USER={user}")

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

    assert "FORCE=1" in _make(stack, "forget", f"USER={user}", succeeds=False)
    forced = _make(stack, "forget", f"USER={user}", "FORCE=1")
    assert f"Items of {user} deleted in default: 2." in forced


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_tail_prints_results_and_sweeps(stack: Outside, end: signal.Signals) -> None:
    user = stack.invited_user()
    with running_terminal(
        [sys.executable, "-m", "ops", "tail", stack.stack.name],
        directory=REPOSITORY,
        environment=stack.aws.environment(),
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

    paused = _make(brisk, "pause")
    try:
        answer = brisk.invoke({"user_id": user, "request_id": f"paused-{user}"})
    finally:
        _make(brisk, "resume")
    result = brisk.result(brisk.send({"user_id": user}))

    assert "10 to 15 minutes" in " ".join(paused.split())
    assert [each["status"] for each in answer["results"]] == ["queued"]
    assert result["status"] == "sent"
    assert len(brisk.partoo.calls(user)) == 1
    assert _make(brisk, "resume") == "Nothing is paused by an operator in brisk.\n"
    # The request that waits would keep the queues from being empty for later tests.
    brisk.reset()


def test_failed_request_is_sent_after_a_redrive(brisk_stack: Outside) -> None:
    brisk, dead_letters = brisk_stack, brisk_stack.stack.dead_letter_queue_url
    brisk.sqs.purge_queue(QueueUrl=dead_letters)
    # Each is followed by a wait of seconds, whereas an unknown outcome doubles the window.
    user = brisk.invited_user(*[Answer(status=307)] * MAX_ATTEMPTS)
    request = brisk.send({"user_id": user})
    failed = brisk.result(request)
    brisk.wait(lambda: brisk.aws.count(dead_letters) == 1)
    brisk.published.clear()

    printed = _make(brisk, "redrive")

    assert (failed["status"], failed["reason"]) == ("failed", "attempts_exhausted")
    assert (failed["http_status"], failed["attempts"]) == (307, MAX_ATTEMPTS)
    assert ": 1.\n" in printed
    assert brisk.result(request)["status"] == "sent"
    assert len(brisk.partoo.calls(user)) == MAX_ATTEMPTS + 1


def test_redriven_message_keeps_its_body_and_its_attributes(brisk_stack: Outside) -> None:
    sqs = brisk_stack.sqs
    source, destination = (sqs.create_queue(QueueName=uuid.uuid4().hex)["QueueUrl"] for _ in "12")
    attributes = {
        "text": {"DataType": "String", "StringValue": "é"},
        "count": {"DataType": "Number.int", "StringValue": "17"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    sqs.send_message(QueueUrl=source, MessageBody=" { ", MessageAttributes=attributes)
    for number in range(12):
        sqs.send_message(QueueUrl=source, MessageBody=f"{number}")

    moved = redrive(sqs, source, destination)

    assert moved == 13
    assert "Messages" not in sqs.receive_message(QueueUrl=source)
    (message,) = sqs.receive_message(QueueUrl=destination, MessageAttributeNames=["All"])[
        "Messages"
    ]
    assert (message["Body"], message["MessageAttributes"]) == (" { ", attributes)


def test_watch_prints_a_row_for_each_event(stack: Outside) -> None:
    user = stack.invited_user(Answer(status=429, headers={"Retry-After": "1"}))
    output = io.StringIO()
    watch = Watch(stack.aws.logs, Console(file=output, soft_wrap=True))

    def is_sent() -> bool:
        watch.look()
        return bool(re.search(rf" sent .* {user}\n", output.getvalue()))

    request_id = stack.send({"user_id": user})
    stack.wait(is_sent)

    printed = output.getvalue()
    steps = _lines(rf"^  [\d:]{{8}} +(.+?) +{request_id} +{user}$", printed)
    answered, deferred, sent = [re.sub(" +", " ", step) for step in steps]
    assert (answered, sent) == ("answered 429", "sent invited")
    assert re.fullmatch(r"deferred throttled, \d s", deferred)
    assert re.search(r" paused +all calls, until [\d:]{8}\n", printed)


def test_unknown_stack_is_reported_in_one_line(stack: Outside) -> None:
    printed = _make(stack, "tail", "STACK=none", succeeds=False)

    assert re.match(r"There is no stack none in eu-west-1: .+\nmake: ", printed)


def test_login_name_is_not_taken_for_a_user(stack: Outside) -> None:
    assert "USER is missing" in _make(stack, "forget", succeeds=False)


def test_user_id_of_the_command_line_arrives_as_it_was_typed(stack: Outside) -> None:
    user = "a$b $(x) `y` $$ \"c\" 'd' \\ #"

    printed = _make(stack, "status", f"USER={user}")

    assert printed == f"Nothing is known of {user} in default.\n"


def _lines(pattern: str, printed: str) -> list[str]:
    return re.findall(pattern, printed, re.MULTILINE)


def _make(stack: Outside, *arguments: str, succeeds: bool = True) -> str:
    """Run a command of the Makefile for the stack; returns what it has printed."""
    done = subprocess.run(
        ["make", f"STACK={stack.stack.name}", *arguments],  # noqa: S607  # whichever runs the tests
        cwd=REPOSITORY,
        env=environment_of_make(stack.aws) | {"USER": "login"},
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert (done.returncode == 0) is succeeds, done.stderr
    return done.stdout + done.stderr
