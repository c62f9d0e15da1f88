"""What all tests share: which of them must run in one process."""

from pathlib import Path

import pytest

_END_TO_END = Path(__file__).parent / "e2e"
_OF_OPERATION = (
    "test_alarms.py",
    "test_docs.py",
    "test_operator.py",
    "test_permissions.py",
    "test_sweeps.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deploy once: whichever process takes the first end-to-end test takes all of them.

    In two groups, which take about as long as each other.
    """
    for item in items:
        if item.path.is_relative_to(_END_TO_END):
            group = "operation" if item.path.name in _OF_OPERATION else "requests"
            item.add_marker(pytest.mark.xdist_group(group))
