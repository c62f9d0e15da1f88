"""What all tests share: which of them must run in one process."""

from pathlib import Path

import pytest

_END_TO_END = Path(__file__).parent / "e2e"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deploy once: whichever process takes the first end-to-end test takes all of them.

    But for those of sweeps, which have stacks of their own and take as long as the rest.
    """
    for item in items:
        if item.path.is_relative_to(_END_TO_END):
            group = "sweeps" if item.path.name == "test_sweeps.py" else "e2e"
            item.add_marker(pytest.mark.xdist_group(group))
