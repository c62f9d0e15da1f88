"""Runs the commands of the documents on a deployed stack."""

import re
import shlex
import subprocess

import pytest

from tests.documents import REPOSITORY, commands
from tests.e2e.conftest import environment_of_make
from tests.e2e.outside import Outside

_SECONDS = 120
# tests/e2e/test_newcomer.py runs the one that ends with Ctrl-C.
_ENDLESS = "make tail STACK=NAME"
# `make resume` directly follows `make pause`, so that no other command runs on a paused stack.
_RUNNABLE = sorted(
    {each.text for each in commands() if not each.needs_aws and each.tool == "make"} - {_ENDLESS},
    key=lambda text: text.replace("make resume", "make pause_"),
)


@pytest.mark.parametrize("text", _RUNNABLE)
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


def _command(text: str, stack: Outside) -> list[str]:
    named = re.sub(r"\bNAME\b", stack.stack.name, text)
    return shlex.split(re.sub(r"\bID\b", stack.invited_user(), named))
