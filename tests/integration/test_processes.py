"""What a run of the tests has started ends with it, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.aws import REPOSITORY
from tests.processes import processes_left

_SECONDS = 60.0
# Says when it is up, and then waits.
_BODY = """
import time
from pathlib import Path
from local.aws import local_aws

def test_that_waits(tmp_path):
    with local_aws(tmp_path, enforces_policies=False):
        Path({ready!r}).touch()
        time.sleep(600)
"""


@pytest.mark.parametrize(("end", "workers"), [(signal.SIGHUP, "0"), (signal.SIGTERM, "1")])
def test_pytest_that_is_ended_leaves_nothing_behind(
    tmp_path: Path, end: signal.Signals, workers: str
) -> None:
    ready, scratch, file = tmp_path / "ready", tmp_path / "scratch", tmp_path / "test_waiting.py"
    scratch.mkdir()
    file.write_text(_BODY.format(ready=str(ready)))
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}"]
    command = ["-m", "pytest", "-c", "pyproject.toml", *options, "-n", workers, str(file)]

    with subprocess.Popen(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=os.environ | {"TMPDIR": str(scratch)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(end)
        process.wait(_SECONDS)

    assert processes_left(str(scratch)) == []
    assert list(scratch.iterdir()) == []
