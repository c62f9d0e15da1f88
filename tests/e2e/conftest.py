"""Deployed stacks of one build, each with a fake Partoo server of its own."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.aws import LocalAws, local_aws
from local.partoo.control import PartooControl
from local.partoo.server import running_fake_partoo
from local.stack import build, deploy
from tests.e2e.outside import Outside

# Short enough to wait for, long enough for a slow machine to meet it.
SHORT_WINDOW_SECONDS = 5
API_TIMEOUT_SECONDS = 5
MAX_ATTEMPTS = 3


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def deployed_template(tmp_path_factory: pytest.TempPathFactory, logs: Path) -> Path:
    """The built template; the processes of pytest-xdist share one build."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with (folder / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "sam/built").exists():
            build(folder / "sam", logs=logs)
            (folder / "sam/built").touch()
    return folder / "sam/build/template.yaml"


@pytest.fixture(scope="session")
def aws(logs: Path) -> Iterator[LocalAws]:
    with local_aws(logs) as running:
        yield running


@pytest.fixture(scope="module")
def own_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS for one file.

    The alarms of the local AWS ignore the dimensions of a metric, so a function that fails raises
    the alarms of all its stacks for some minutes.
    """
    with local_aws(tmp_path_factory.mktemp("aws")) as running:
        yield running


@contextmanager
def own_stack(
    aws: LocalAws, template: Path, name: str, *, window_seconds: int = 300, **parameters: str
) -> Iterator[Outside]:
    """Deploy a stack with a fake server of its own, whose first key is `e2e-NAME-key`.

    The stack listens to the event source `crm.NAME`, because all stacks share the bus. The server
    refuses calls beyond RequestsPerMinute, if that is given.
    """
    api_key = f"e2e-{name}-key"
    quota = int(parameters.get("RequestsPerMinute", 10_000))
    with running_fake_partoo(
        api_key, window_seconds=window_seconds, requests_per_minute=quota
    ) as base_url:
        all_parameters = {
            "PartooBaseUrl": base_url,
            "InviteWindowSeconds": str(window_seconds),
            "PendingEventSource": f"crm.{name}",
            **parameters,
        }
        deployed = deploy(aws, name, all_parameters, template=template, api_key=api_key)
        yield Outside(aws, deployed, PartooControl(base_url))


@pytest.fixture(scope="session")
def stack(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack with the default parameters, except for the API's address and the events."""
    with own_stack(aws, deployed_template, "default") as default:
        yield default


@pytest.fixture(scope="session")
def brisk_stack(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack with a short window, short time-outs and few attempts."""
    with own_stack(
        aws,
        deployed_template,
        "brisk",
        window_seconds=SHORT_WINDOW_SECONDS,
        PartooTimeoutSeconds=str(API_TIMEOUT_SECONDS),
        MaxAttempts=str(MAX_ATTEMPTS),
    ) as brisk:
        yield brisk


def environment_of_make(aws: LocalAws) -> dict[str, str]:
    """Return the environment for a command, without the variables of the outer `make`."""
    of_make = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "STACK", "USER", "FORCE", "ENV")
    environment = aws.environment()
    return {name: value for name, value in environment.items() if name not in of_make}
