"""The log of a simulated year would drown what a failing test has to say."""

import logging
from collections.abc import Iterator

import pytest

from invitations.observability import logger


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(logging.INFO)
