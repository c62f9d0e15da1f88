"""What a command has started ends with it, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.aws import REPOSITORY
from tests.processes import processes_left

_SECONDS = 60.0
_POLL_SECONDS = 0.05
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
_LOCK = [sys.executable, "local/lock.py"]


@pytest.mark.parametrize(
    ("end", "workers"), [(signal.SIGTERM, "0"), (signal.SIGHUP, "0"), (signal.SIGTERM, "1")]
)
def test_pytest_that_is_ended_leaves_nothing_behind(
    tmp_path: Path, end: signal.Signals, workers: str
) -> None:
    ready, scratch, file = tmp_path / "ready", tmp_path / "scratch", tmp_path / "test_waiting.py"
    scratch.mkdir()
    file.write_text(_BODY.format(ready=str(ready)))
    options = ["-p", "tests.conftest", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}"]
    options += ["-n", workers]
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", *options, str(file)]

    with _running(command, TMPDIR=str(scratch)) as process:
        _wait_for(ready)
        process.send_signal(end)
        process.wait(_SECONDS)

    assert processes_left(str(scratch)) == []
    assert list(scratch.iterdir()) == []


def test_second_command_waits_for_the_lock_of_the_first(tmp_path: Path) -> None:
    lock, trace = str(tmp_path / "lock"), tmp_path / "trace"
    first = (
        f"echo begin >>{trace}; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo end >>{trace}"
    )

    with _running([*_LOCK, lock, "sh", "-c", first]):
        _wait_for(trace)
        with _running([*_LOCK, lock, "sh", "-c", f"echo second >>{trace}"]) as second:
            assert second.stderr is not None
            assert b"Waiting for another make command" in second.stderr.readline()
            (tmp_path / "go").touch()

    assert trace.read_text().split() == ["begin", "end", "second"]


def test_lock_of_a_killed_command_is_free(tmp_path: Path) -> None:
    lock, trace = str(tmp_path / "lock"), tmp_path / "trace"
    with _running([*_LOCK, lock, "sh", "-c", f"touch {trace}; exec sleep 600"]) as first:
        _wait_for(trace)
        first.kill()

    done = subprocess.run([*_LOCK, lock, "true"], cwd=REPOSITORY, timeout=_SECONDS, check=False)

    assert done.returncode == 0


@contextmanager
def _running(command: Sequence[str], **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
            process.wait(_SECONDS)
        finally:
            process.kill()


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(_POLL_SECONDS)
