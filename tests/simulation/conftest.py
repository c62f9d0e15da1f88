"""The log and the metrics of thousands of executions would drown what a failing test says."""

from collections.abc import Iterator

import pytest

from invitations import observability


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("info", "warning", "error"):
            patch.setattr(observability.logger, name, lambda *_, **__: None)
        for name in ("count", "count_by"):
            patch.setattr(observability, name, lambda *_, **__: None)
        yield
