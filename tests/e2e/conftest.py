"""Two deployed stacks of one build, each with an API of its own, for the length of the session."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def own_stack(
    aws: LocalAws,
    template: Path,
    name: str,
    *,
    window_seconds: int = 300,
    api_window_seconds: int | None = None,
    requests_per_minute: int = 10_000,
    **parameters: str,
) -> Iterator[Outside]:
    """Deploy a stack with an API of its own, whose first key is `e2e-NAME-key`.

    It hears the events of a CRM of its own, as all rules listen on one bus. The API's window is the
    stack's, unless it is given: the vendor's own rule would hide an e-mail too many.
    """
    api_key = f"e2e-{name}-key"
    with running_stand_in(
        api_key,
        window_seconds=window_seconds if api_window_seconds is None else api_window_seconds,
        requests_per_minute=requests_per_minute,
    ) as base_url:
        all_parameters = {
            "PartooBaseUrl": base_url,
            "PendingEventSource": f"crm.{name}",
            **parameters,
        }
        deployed = deploy(aws, name, all_parameters, template=template, api_key=api_key)
        partoo = PartooControl(base_url)
        yield Outside(aws, deployed, partoo, base_url, window_seconds=window_seconds)


@pytest.fixture(scope="session")
def stack(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """The stack as it is deployed by default, but for the API's address."""
    with own_stack(aws, deployed_template, "default", PendingEventSource="crm") as default:
        yield default


@pytest.fixture(scope="session")
def brisk_stack(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack whose windows, time-outs and patience with the API are short."""
    with own_stack(
        aws,
        deployed_template,
        "brisk",
        window_seconds=SHORT_WINDOW_SECONDS,
        InviteWindowSeconds=str(SHORT_WINDOW_SECONDS),
        PartooTimeoutSeconds="2",
        MaxAttempts=str(MAX_ATTEMPTS),
        # On, so that it has all that belongs to sweeps; but none begins by itself.
        SweepState="ENABLED",
        SweepSchedule="cron(0 0 1 1 ? 2099)",
    ) as brisk:
        brisk.limit_executions(EXECUTION_SECONDS)
        yield brisk


@pytest.fixture
def sweeping_stack(
    aws: LocalAws, deployed_template: Path, request: pytest.FixtureRequest
) -> Iterator[Outside]:
    """A stack of the test's own, whose API knows nobody yet; a parameter overrides its quota."""
    requests_per_minute: int = getattr(request, "param", 10_000)
    with own_stack(
        aws,
        deployed_template,
        f"sweeping-{uuid.uuid4().hex[:8]}",
        api_window_seconds=1,
        requests_per_minute=requests_per_minute,
        RequestsPerMinute=str(requests_per_minute),
    ) as sweeping:
        yield sweeping


def environment_of_make(aws: LocalAws) -> dict[str, str]:
    """What a command is run with, free of what a `make` that runs the tests tells its children."""
    theirs = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "STACK", "USER", "FORCE", "ENV")
    environment = aws.environment()
    return {name: value for name, value in environment.items() if name not in theirs}
