"""One local AWS for all integration tests; what a test keeps there is its own."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from invitations.table import Table
from local.aws import LocalAws, local_aws
from tests.memory_table import InMemoryTable
from tests.reinvite_world import Clock


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with local_aws(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest.fixture
def name() -> str:
    """A name that no other test gives to a resource."""
    return f"test-{uuid4()}"


@pytest.fixture
def dynamodb(aws: LocalAws, name: str) -> Table:
    aws.create_table(name, "pk", "sk")
    return Table(aws.client("dynamodb"), name)


@pytest.fixture(params=["in_memory", "dynamodb"])
def table(request: pytest.FixtureRequest) -> Table:
    """The table of the unit tests, and DynamoDB: both keep the same contract."""
    if request.param == "in_memory":
        return InMemoryTable()
    dynamodb: Table = request.getfixturevalue("dynamodb")
    return dynamodb


@pytest.fixture
def clock() -> Clock:
    return Clock()
