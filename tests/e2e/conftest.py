"""Two deployed stacks of one build, each with an API of its own, for the length of the session."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.aws import LocalAws, local_aws
from local.faults import FaultProxy, fault_proxy
from local.partoo.control import PartooControl, running_stand_in
from local.stack import build, deploy
from tests.e2e.outside import Outside

# Short enough to wait for, long enough that a machine under load does not run past it.
SHORT_WINDOW_SECONDS = 5
MAX_ATTEMPTS = 3
# Enough for a call with the brisk stack's time-out and for what belongs to it.
EXECUTION_SECONDS = 18


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def deployed_template(tmp_path_factory: pytest.TempPathFactory, logs: Path) -> Path:
    return build(tmp_path_factory.mktemp("sam"), logs=logs)


@pytest.fixture(scope="session")
def proxy() -> Iterator[FaultProxy]:
    with fault_proxy() as running:
        yield running


@pytest.fixture(scope="session")
def aws(logs: Path, proxy: FaultProxy) -> Iterator[LocalAws]:
    with local_aws(logs, functions_endpoint_url=proxy.url) as running:
        proxy.forward_to(running.endpoint_url, running.ca)
        yield running


@pytest.fixture
def faults(proxy: FaultProxy) -> Iterator[FaultProxy]:
    """Where a test injects faults between the functions and AWS; none outlives the test."""
    yield proxy
    proxy.clear()


@pytest.fixture(scope="session")
def stack(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """The stack as it is deployed by default, but for the API's address."""
    api_key = "e2e-default-key"
    with running_stand_in(api_key, requests_per_minute=10_000) as base_url:
        deployed = deploy(
            aws,
            "default",
            {"PartooBaseUrl": base_url},
            template=deployed_template,
            api_key=api_key,
        )
        yield Outside(aws, deployed, PartooControl(base_url), base_url, window_seconds=300)


@pytest.fixture(scope="session")
def brisk_stack(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack whose windows, time-outs and patience with the API are short."""
    api_key = "e2e-brisk-key"
    window = SHORT_WINDOW_SECONDS
    with running_stand_in(api_key, window_seconds=window, requests_per_minute=10_000) as base_url:
        deployed = deploy(
            aws,
            "brisk",
            {
                "PartooBaseUrl": base_url,
                "InviteWindowSeconds": str(window),
                "PartooTimeoutSeconds": "2",
                "MaxAttempts": str(MAX_ATTEMPTS),
                # The rules of both stacks listen on the one default bus.
                "PendingEventSource": "crm.brisk",
                # On, so that it has all that belongs to sweeps; but none begins by itself.
                "SweepState": "ENABLED",
                "SweepSchedule": "cron(0 0 1 1 ? 2099)",
            },
            template=deployed_template,
            api_key=api_key,
        )
        brisk = Outside(aws, deployed, PartooControl(base_url), base_url, window_seconds=window)
        brisk.limit_executions(EXECUTION_SECONDS)
        yield brisk


@pytest.fixture
def sweeping_stack(
    aws: LocalAws, deployed_template: Path, request: pytest.FixtureRequest
) -> Iterator[Outside]:
    """A stack of the test's own, whose API knows nobody yet; a parameter overrides its quota."""
    requests_per_minute = str(getattr(request, "param", 10_000))
    name = f"sweeping-{uuid.uuid4().hex[:8]}"
    api_key = "e2e-sweep-key"
    # The vendor's own rule would hide an e-mail too many.
    with running_stand_in(
        api_key, window_seconds=1, requests_per_minute=int(requests_per_minute)
    ) as base_url:
        parameters = {
            "PartooBaseUrl": base_url,
            "RequestsPerMinute": requests_per_minute,
            "PendingEventSource": f"crm.{name}",
        }
        deployed = deploy(aws, name, parameters, template=deployed_template, api_key=api_key)
        yield Outside(aws, deployed, PartooControl(base_url), base_url, window_seconds=300)


def environment_of_make(aws: LocalAws) -> dict[str, str]:
    """What a command is run with, free of what a `make` that runs the tests tells its children."""
    theirs = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "STACK", "USER", "FORCE", "ENV")
    environment = aws.environment()
    return {name: value for name, value in environment.items() if name not in theirs}
