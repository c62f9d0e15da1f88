"""No log and no metrics, which would drown what a failing test says, and no real time."""

from collections.abc import Iterator

import pytest

from invitations import batcher, observability


@pytest.fixture(autouse=True)
def _silence_and_no_real_time() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("info", "warning", "error"):
            patch.setattr(observability.logger, name, lambda *_, **__: None)
        patch.setattr(batcher, "GATHER_SECONDS", 0.0)
        patch.setattr(observability, "count", lambda *_, **__: None)
        yield
