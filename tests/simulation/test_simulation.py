"""The promises hold whatever happens, in whatever order."""

from hypothesis import HealthCheck, settings

from tests.simulation.machine import HISTORY_STEPS, Simulation

TestSimulation = Simulation.TestCase
TestSimulation.settings = settings(
    max_examples=150,
    stateful_step_count=HISTORY_STEPS,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
