"""One contract for the gatekeeper, kept by the fake of the unit tests and by the table."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from invitations.adapters.limiter import DynamoDbGateKeeper
from invitations.errors import LedgerUnavailableError
from invitations.gate import Gate, Pace
from invitations.ports import GateKeeper
from local.aws import LocalAws
from local.processes import free_port
from tests.fakes import START, InMemoryGateKeeper

GATE = Gate(
    burst_at=START + 0.125,
    burst_calls=3,
    line_at=START + 7,
    line_calls=4,
    paused_until=START + 60,
    failures=2,
    shut_until=START + 15,
    shut_cause="outage",
    trips=1,
    probe_until=START + 30,
)
PACE = Pace.within(300)


@dataclass(frozen=True)
class Bench:
    keeper: GateKeeper
    another: Callable[[], GateKeeper]
    """Another container's, of the same gate."""


@pytest.fixture
def in_memory() -> Bench:
    keeper = InMemoryGateKeeper()
    return Bench(keeper, lambda: keeper)


@pytest.fixture
def table(aws: LocalAws, name: str) -> str:
    aws.create_table(name, "pk", "sk")
    return name


@pytest.fixture
def dynamodb(aws: LocalAws, table: str) -> Bench:
    def keeper() -> GateKeeper:
        return DynamoDbGateKeeper(aws.client("dynamodb"), table)

    return Bench(keeper(), keeper)


@pytest.fixture(params=["in_memory", "dynamodb"])
def bench(request: pytest.FixtureRequest) -> Bench:
    bench: Bench = request.getfixturevalue(request.param)
    return bench


def becomes(gate: Gate) -> Callable[[Gate], tuple[Gate, str]]:
    return lambda _: (gate, "answer")


def one_more_failure(gate: Gate) -> tuple[Gate, int]:
    return gate._replace(failures=gate.failures + 1), gate.failures


def test_a_gate_that_nobody_changed_is_open(bench: Bench) -> None:
    assert bench.keeper.read() == Gate()


def test_a_change_answers_with_what_the_event_says(bench: Bench) -> None:
    assert bench.keeper.change(becomes(GATE)) == "answer"


def test_every_part_of_a_change_is_kept(bench: Bench) -> None:
    bench.keeper.change(becomes(GATE))

    assert bench.another().read() == GATE
    assert bench.keeper.last_known == GATE


def test_a_change_begins_where_another_container_has_left_off(bench: Bench) -> None:
    another = bench.another()
    bench.keeper.change(one_more_failure)
    another.change(one_more_failure)
    another.change(one_more_failure)

    assert bench.keeper.change(one_more_failure) == 3
    assert bench.keeper.read().failures == 4


def test_what_was_read_is_known(bench: Bench) -> None:
    bench.another().change(becomes(GATE))
    bench.keeper.read()

    assert bench.keeper.last_known == GATE


def test_no_change_is_lost_in_a_race(bench: Bench) -> None:
    keepers = [bench.another() for _ in range(4)]

    def change(number: int) -> int:
        return keepers[number % 4].change(one_more_failure)

    with ThreadPoolExecutor(20) as executor:
        before = list(executor.map(change, range(40)))

    assert sorted(before) == list(range(40))


def test_places_are_given_to_one_only(bench: Bench) -> None:
    keepers = [bench.another() for _ in range(4)]

    def ask(number: int) -> int:
        keeper = keepers[number % 4]
        return len(keeper.change(lambda gate: gate.admit(PACE, 1, START)).leave_at)

    with ThreadPoolExecutor(20) as executor:
        let_through = sum(executor.map(ask, range(60)))

    # This burst, and the one that is near enough to wait for.
    assert let_through == 20


class TestOutage:
    @pytest.fixture
    def broken_in_memory(self) -> InMemoryGateKeeper:
        keeper = InMemoryGateKeeper()
        keeper.fail("read")
        keeper.fail("change")
        return keeper

    @pytest.fixture
    def missing_table(self, aws: LocalAws, name: str) -> GateKeeper:
        return DynamoDbGateKeeper(aws.client("dynamodb"), name)

    @pytest.fixture
    def unreachable_table(self, name: str) -> GateKeeper:
        aws = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
        return DynamoDbGateKeeper(aws.client("dynamodb"), name)

    @pytest.fixture(params=["broken_in_memory", "missing_table", "unreachable_table"])
    def keeper(self, request: pytest.FixtureRequest) -> GateKeeper:
        keeper: GateKeeper = request.getfixturevalue(request.param)
        return keeper

    def test_is_told_when_reading(self, keeper: GateKeeper) -> None:
        with pytest.raises(LedgerUnavailableError):
            keeper.read()

    def test_is_told_when_changing(self, keeper: GateKeeper) -> None:
        with pytest.raises(LedgerUnavailableError):
            keeper.change(one_more_failure)
