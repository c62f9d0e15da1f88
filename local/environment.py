"""Runs the whole stack on this machine: local AWS, fake Partoo server and the deployed template."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.aws import REPOSITORY, LocalAws, local_aws
from local.lock import hold_lock
from local.partoo.control import PartooControl, User, running_fake_partoo
from local.stack import DeployedStack, build, deploy

_STACK_NAME = "partoo-reinvite"
WORKSPACE = REPOSITORY / ".local"


@dataclass(frozen=True)
class LocalEnvironment:
    """The parts of a running environment."""

    aws: LocalAws
    stack: DeployedStack
    partoo: PartooControl
    partoo_base_url: str


@contextmanager
def local_environment(
    logs: Path,
    *,
    users: Iterable[User],
    window_seconds: int,
    say: Callable[[str], None],
    requests_per_minute: int = 300,
) -> Iterator[LocalEnvironment]:
    """Run the environment for the length of the block; the fake server knows `users`.

    `requests_per_minute` is the quota of the stack and of the fake server. Raises CommandError.
    """
    api_key = secrets.token_urlsafe()
    with (
        local_aws(logs) as aws,
        running_fake_partoo(
            api_key, window_seconds=window_seconds, requests_per_minute=requests_per_minute
        ) as base_url,
    ):
        partoo = PartooControl(base_url)
        partoo.add_users(*users)
        parameters = {
            "PartooBaseUrl": base_url,
            "InviteWindowSeconds": str(window_seconds),
            "RequestsPerMinute": str(requests_per_minute),
        }
        # A build replaces the files that a deployment reads.
        lock = hold_lock(WORKSPACE / "sam.lock")
        try:
            say("Building functions and layer …")
            template = build(WORKSPACE / "sam", logs=logs)
            say("Deploying …")
            stack = deploy(aws, _STACK_NAME, parameters, template=template, api_key=api_key)
        finally:
            os.close(lock)
        yield LocalEnvironment(aws, stack, partoo, base_url)


def empty_log_folder(name: str) -> Path:
    """Return the folder `.local/NAME`, emptied; waits while a like command uses it."""
    folder = WORKSPACE / name
    WORKSPACE.mkdir(exist_ok=True)
    # Held until this process ends.
    hold_lock(folder.with_suffix(".lock"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
