"""The simulated clock of the simulations and the benchmark."""

from collections.abc import Sequence

import pytest

from tests.simulation.clock import Clock, Process


def wait(*waits: float) -> Process:
    yield from waits


def test_processes_run_in_the_order_of_their_moments() -> None:
    clock, seen = Clock(), list[tuple[str, float]]()

    def note(name: str, *waits: float) -> Process:
        for seconds in waits:
            yield seconds
            seen.append((name, clock.now))

    clock.start(note("a", 2, 2))
    clock.start(note("b", 3))
    # A wait that is over takes no time.
    clock.start(note("c", -3))
    clock.run()

    assert seen == [("c", 0), ("a", 2), ("b", 3), ("a", 4)]


@pytest.mark.parametrize(("waits", "ends_at"), [((1, 5, 0), 5), ((1,), 2), ((), 2)])
def test_process_waits_for_all_that_it_asked_for_and_has_not_ended(
    waits: Sequence[float], ends_at: float
) -> None:
    clock, seen = Clock(), list[float]()
    others = [clock.start(wait(seconds)) for seconds in waits]

    def parent() -> Process:
        yield 2
        yield others
        seen.append(clock.now)

    clock.start(parent())
    clock.run()

    assert seen == [ends_at]
