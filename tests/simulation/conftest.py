"""The log and the metrics of thousands of executions would drown what a failing test says."""

from collections.abc import Iterator

import pytest

from tests.simulation.mutants import silence


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        silence(patch)
        yield
