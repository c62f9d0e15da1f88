"""No thread waits for others: the clock of a test stands still while a batcher gathers."""

from collections.abc import Iterator

import pytest

from invitations import batcher


@pytest.fixture(autouse=True, scope="session")
def _no_gathering() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batcher, "GATHER_SECONDS", 0.0)
        yield
