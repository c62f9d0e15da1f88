"""The simulation and the unit tests are worth something only if they notice what is wrong."""

import pytest

from tests.simulation.mutants import MUTANTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_mutant_is_noticed(mutant: Mutant) -> None:
    assert mutant.noticed_by() is not None
