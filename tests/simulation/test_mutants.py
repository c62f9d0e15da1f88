"""The simulation is worth something only if it notices what is wrong."""

import pytest

from tests.simulation.mutants import MOST_HISTORIES, MUTANTS, Mutant, first_violation


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_each_mutant_is_noticed(mutant: Mutant) -> None:
    assert first_violation(mutant, MOST_HISTORIES) is not None
