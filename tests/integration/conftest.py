"""One local AWS for all integration tests; what a test keeps there is its own."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import trustme

from invitations.table import DynamoDbTable, Table
from local.aws import LocalAws, local_aws
from tests.integration.partoo_calls import Clock
from tests.integration.raw_server import tls_for
from tests.memory_table import InMemoryTable


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with local_aws(tmp_path_factory.mktemp("aws")) as aws:
        yield aws


@pytest.fixture
def name() -> str:
    """A name that no other test gives to a resource."""
    return f"test-{uuid4()}"


@pytest.fixture
def dynamodb(aws: LocalAws, name: str) -> DynamoDbTable:
    aws.create_table(name, "pk", "sk")
    return DynamoDbTable(aws.client("dynamodb"), name)


@pytest.fixture(params=["in_memory", "dynamodb"])
def table(request: pytest.FixtureRequest) -> Table:
    """The table of the unit tests, and DynamoDB: both keep the same contract."""
    if request.param == "in_memory":
        return InMemoryTable()
    dynamodb: DynamoDbTable = request.getfixturevalue("dynamodb")
    return dynamodb


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    return tls_for(authority, "127.0.0.1")


@pytest.fixture
def _trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
