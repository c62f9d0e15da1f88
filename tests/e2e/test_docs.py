"""Runs the commands of the documents on a deployed stack."""

import os
import re
import shlex
import signal
import subprocess

import pytest

from tests.documents import REPOSITORY, commands
from tests.e2e.conftest import environment_of_make
from tests.e2e.outside import Outside

_SECONDS = 120
# `make resume` directly follows `make pause`, so that no other command runs on a paused stack.
_RUNNABLE = sorted(
    {each.text for each in commands() if not each.needs_aws and each.tool == "make"},
    key=lambda text: text.replace("make resume", "make pause_"),
)
_ENDLESS = "make tail STACK=NAME"


def test_documents_have_commands() -> None:
    assert _ENDLESS in _RUNNABLE
    assert len(_RUNNABLE) > 1


@pytest.mark.parametrize("text", [text for text in _RUNNABLE if text != _ENDLESS])
def test_command_of_the_documents_works(stack: Outside, text: str) -> None:
    done = subprocess.run(
        _command(text, stack),
        cwd=REPOSITORY,
        env=environment_of_make(stack.aws),
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_endless_command_of_the_documents_ends_with_ctrl_c(stack: Outside) -> None:
    with subprocess.Popen(
        _command(_ENDLESS, stack),
        cwd=REPOSITORY,
        env=environment_of_make(stack.aws),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A terminal sends Ctrl-C to the whole process group.
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stdout.read()
        process.wait(_SECONDS)

    assert "Ctrl-C ends the command" in first
    assert "Traceback" not in rest
    assert not stack.sqs.list_queues(QueueNamePrefix="default-tail-").get("QueueUrls")


def _command(text: str, stack: Outside) -> list[str]:
    named = re.sub(r"\bNAME\b", stack.stack.name, text)
    return shlex.split(re.sub(r"\bID\b", stack.invited_user(), named))
