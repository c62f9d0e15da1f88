"""`make mutants` tries each fault; that it still fits the code is seen here, in no time."""

import pytest

from tests.documents import REPOSITORY
from tests.simulation.mutants import Mutant, read_mutants


@pytest.mark.parametrize("mutant", read_mutants(), ids=lambda mutant: mutant.what)
def test_mutant_fits_the_code(mutant: Mutant) -> None:
    content = (REPOSITORY / mutant.file).read_text(encoding="utf-8")

    assert mutant.applied(content) != content
    assert (REPOSITORY / mutant.tests).exists()
