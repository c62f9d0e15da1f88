"""One local AWS for all integration tests; what a test keeps there is its own."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from local.aws import LocalAws, local_aws


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with local_aws(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest.fixture
def name() -> str:
    """A name that no other test gives to a resource."""
    return f"test-{uuid4()}"
