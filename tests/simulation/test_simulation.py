"""The promises hold whatever happens, in whatever order."""

import os

from hypothesis import HealthCheck, Phase, settings

from tests.simulation.machine import HISTORY_STEPS, Simulation

# Whoever asks for more histories wants to know whether one fails, not the shortest one that does.
HISTORIES = os.environ.get("HISTORIES")

TestSimulation = Simulation.TestCase
TestSimulation.settings = settings(
    max_examples=int(HISTORIES or 150),
    phases=[Phase.generate] if HISTORIES else tuple(Phase),
    stateful_step_count=HISTORY_STEPS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
