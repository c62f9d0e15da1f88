"""The simulated clock of the benchmark."""

from tests.simulation.clock import Clock, Process


def test_processes_run_in_the_order_of_their_moments() -> None:
    clock, seen = Clock(), list[tuple[str, float]]()

    def wait(name: str, *waits: float) -> Process:
        for seconds in waits:
            yield seconds
            seen.append((name, clock.now))

    clock.start(wait("a", 2, 2))
    clock.start(wait("b", 3))
    clock.run()

    assert seen == [("a", 2), ("b", 3), ("a", 4)]


def test_a_process_waits_for_all_that_it_asked_for() -> None:
    clock, seen = Clock(), list[float]()

    def wait(seconds: float) -> Process:
        yield seconds

    def parent() -> Process:
        yield [clock.start(wait(1)), clock.start(wait(5)), clock.start(wait(0))]
        seen.append(clock.now)
        yield []
        seen.append(clock.now)

    clock.start(parent())
    clock.run()

    assert seen == [5, 5]


def test_what_is_done_already_is_not_waited_for() -> None:
    clock, seen = Clock(), list[float]()

    def wait(seconds: float) -> Process:
        yield seconds

    early = clock.start(wait(1))

    def parent() -> Process:
        yield 2
        yield [early]
        seen.append(clock.now)

    clock.start(parent())
    clock.run()

    assert seen == [2]


def test_a_wait_that_is_over_takes_no_time() -> None:
    clock = Clock()

    def wait() -> Process:
        yield -3

    clock.start(wait())
    clock.run()

    assert clock.now == 0
