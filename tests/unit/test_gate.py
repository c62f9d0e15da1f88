"""The quota as the API counts it, pauses, and the breaker."""

import math
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invitations.gate import (
    JITTER_SECONDS,
    LATENESS_SECONDS,
    MAX_WAIT_SECONDS,
    Admission,
    Gate,
    Pace,
)

NOW = 1_800_000_000.0
PACE = Pace.within(300)
MINUTE = 60.0


@dataclass
class Door:
    """A gate, and who went through it."""

    pace: Pace = PACE
    gate: Gate = field(default_factory=Gate)
    left_at: list[float] = field(default_factory=list)

    def ask(self, calls: int = 1, now: float = NOW) -> Admission:
        self.gate, admission = self.gate.admit(self.pace, calls, now)
        self.left_at += admission.leave_at
        return admission


@pytest.fixture
def door() -> Door:
    return Door()


def most_in_a_minute(arrivals: list[float]) -> int:
    """The most arrivals in any 60 seconds, however they are laid."""
    most, recent = 0, deque[float]()
    for arrival in sorted(arrivals):
        recent.append(arrival)
        while recent[0] < arrival - MINUTE:
            recent.popleft()
        most = max(most, len(recent))
    return most


class TestQuota:
    @given(
        requests_per_minute=st.integers(1, 2_000),
        arrivals=st.lists(
            st.tuples(st.sampled_from([0.0, 0.05, 0.3, 1.0, 2.2, 70.0]), st.integers(1, 13)),
            min_size=1,
            max_size=120,
        ),
        seed=st.integers(0, 1_000),
    )
    def test_holds_in_any_minute_whoever_asks_and_however_long_a_call_is_on_its_way(
        self, requests_per_minute: int, arrivals: list[tuple[float, int]], seed: int
    ) -> None:
        door = Door(Pace.within(requests_per_minute))
        jitter = random.Random(seed)
        moments = accumulate(pause for pause, _ in arrivals)
        for moment, (_, calls) in zip(moments, arrivals, strict=True):
            door.ask(calls, NOW + moment)

        arrived_at = [at + jitter.uniform(0, JITTER_SECONDS * 0.999) for at in door.left_at]
        assert most_in_a_minute(arrived_at) <= requests_per_minute

    @pytest.mark.parametrize(
        "requests_per_minute", [1, 2, 5, 7, 10, 37, 60, 61, 119, 120, 300, 301]
    )
    def test_is_nearly_used_up_under_load(self, requests_per_minute: int) -> None:
        door = Door(Pace.within(requests_per_minute))
        calls = 20 * requests_per_minute
        waiting = [NOW] * calls
        while waiting:
            now = waiting[0]
            together = waiting[:10].count(now)
            admission = door.ask(together, now)
            # The queue delays by whole seconds.
            returns = [NOW + math.ceil(at - NOW) for at in admission.return_at]
            waiting = sorted(waiting[together:] + returns)

        minutes = (door.left_at[-1] - NOW) / MINUTE
        assert calls / requests_per_minute / minutes >= 0.95

    @pytest.mark.parametrize("requests_per_minute", [6, 60, 120, 300, 3_000])
    def test_leaves_a_small_bucket_enough(self, requests_per_minute: int) -> None:
        assert Pace.within(requests_per_minute).burst <= max(1, requests_per_minute / 6)

    def test_leaves_what_is_late_time_to_arrive(self) -> None:
        assert LATENESS_SECONDS < JITTER_SECONDS


class TestAdmission:
    def test_lets_a_batch_through_at_once_when_nobody_called(self, door: Door) -> None:
        assert door.ask(10) == Admission(leave_at=(NOW,) * 10)

    def test_lets_a_small_burst_be_filled_up(self, door: Door) -> None:
        door.ask(4)

        assert door.ask(6, NOW + 0.1).leave_at == (NOW,) * 6

    def test_lets_nobody_into_a_burst_that_has_left(self, door: Door) -> None:
        door.ask(4)

        assert door.ask(1, NOW + 0.5).leave_at == (NOW + PACE.interval_seconds,)

    def test_lets_others_into_a_burst_that_waits(self, door: Door) -> None:
        door.ask(10)
        door.ask(3, NOW + 0.1)

        assert door.ask(3, NOW + 1).leave_at == (NOW + PACE.interval_seconds,) * 3

    def test_divides_a_batch_among_bursts(self, door: Door) -> None:
        door.ask(6)

        admission = door.ask(6)
        assert admission.leave_at == (NOW,) * 4 + (NOW + PACE.interval_seconds,) * 2

    def test_sends_away_who_would_have_to_wait_long(self, door: Door) -> None:
        admission = door.ask(100)

        assert max(admission.leave_at) <= NOW + MAX_WAIT_SECONDS
        assert len(admission.leave_at) == 20
        assert len(admission.return_at) == 80
        assert admission.cause == "quota"

    def test_lets_them_come_back_in_bursts(self, door: Door) -> None:
        returns = sorted(set(door.ask(100).return_at))

        assert [later - earlier for earlier, later in pairwise(returns)] == pytest.approx(
            [PACE.interval_seconds] * 7
        )
        assert returns[0] == pytest.approx(NOW + 2 * PACE.interval_seconds)

    def test_puts_the_next_ones_at_the_end_of_the_line(self, door: Door) -> None:
        last = door.ask(100).return_at[-1]

        assert door.ask(30).return_at[0] >= last


class TestPause:
    def test_stops_everybody_until_it_is_over(self, door: Door) -> None:
        door.gate = door.gate.pause(NOW + 60)

        admission = door.ask(3)
        assert (admission.leave_at, admission.cause) == ((), "paused")
        assert min(admission.return_at) == NOW + 60

    def test_stops_those_who_have_a_place_but_have_not_called(self, door: Door) -> None:
        door.ask(20)
        door.gate = door.gate.pause(NOW + 4)

        assert door.gate.is_closed_to_others(NOW + PACE.interval_seconds)
        assert not door.gate.is_closed_to_others(NOW + 4)

    def test_lets_the_shorter_one_not_end_the_longer_one(self, door: Door) -> None:
        door.gate = door.gate.pause(NOW + 60).pause(NOW + 4)

        assert door.ask(1, NOW + 5).leave_at == ()

    def test_lets_them_come_back_without_a_stampede(self, door: Door) -> None:
        door.gate = door.gate.pause(NOW + 60)

        returns = door.ask(50).return_at
        assert returns[10] - returns[0] == pytest.approx(PACE.interval_seconds)

    def test_lets_the_first_burst_after_it_begin_at_its_end(self, door: Door) -> None:
        door.gate = door.gate.pause(NOW + 1)

        assert door.ask(10).leave_at == (NOW + 1,) * 10
        assert door.ask(10).return_at == (NOW + 1 + PACE.interval_seconds,) * 10

    def test_is_no_breaker(self, door: Door) -> None:
        door.gate = door.gate.pause(NOW + 60)

        assert door.gate.shut_cause is None
        assert door.ask(10, NOW + 60).leave_at == (NOW + 60,) * 10


class TestBreaker:
    @pytest.fixture
    def shut(self, door: Door) -> Door:
        for _ in range(10):
            door.gate = door.gate.fail(NOW)
        return door

    def test_stays_closed_while_others_are_answered(self, door: Door) -> None:
        for _ in range(30):
            for _ in range(9):
                door.gate = door.gate.fail(NOW)
            door.gate = door.gate.succeed()

        assert len(door.ask(10).leave_at) == 10

    def test_opens_when_ten_calls_in_a_row_fail(self, shut: Door) -> None:
        admission = shut.ask(10)

        assert (admission.leave_at, admission.cause) == ((), "outage")
        assert min(admission.return_at) == NOW + 15

    def test_counts_what_was_under_way_as_one(self, shut: Door) -> None:
        for _ in range(5):
            shut.gate = shut.gate.fail(NOW + 1)

        assert shut.gate.shut_until == NOW + 15

    def test_lets_one_call_try_after_a_while(self, shut: Door) -> None:
        admission = shut.ask(10, NOW + 15)

        assert admission.leave_at == (NOW + 15,)
        assert min(admission.return_at) > NOW + 15
        assert shut.ask(10, NOW + 16).leave_at == ()

    def test_lets_another_call_try_when_the_first_says_nothing(self, shut: Door) -> None:
        shut.ask(1, NOW + 15)

        assert len(shut.ask(1, NOW + 15 + 15).leave_at) == 1

    def test_stays_open_for_twice_as_long_when_that_fails(self, shut: Door) -> None:
        shut.ask(1, NOW + 15)
        shut.gate = shut.gate.fail(NOW + 16)

        assert shut.gate.shut_until == NOW + 16 + 30

    def test_never_stays_open_for_more_than_five_minutes(self, shut: Door) -> None:
        for _ in range(10_000):
            shut.gate = shut.gate.fail(shut.gate.shut_until)

        before = shut.gate.shut_until
        assert shut.gate.fail(before).shut_until == before + 300

    def test_is_closed_by_an_answer(self, shut: Door) -> None:
        shut.gate = shut.gate.succeed()

        assert not shut.gate.is_troubled
        assert len(shut.ask(10).leave_at) == 10


class TestRefusedKey:
    @pytest.mark.parametrize("calls", [1, 5, 10])
    def test_costs_so_much_time_that_a_minute_sees_ten_calls(self, door: Door, calls: int) -> None:
        now, called_at = NOW, list[float]()
        while now < NOW + 600:
            admission = door.ask(calls, now)
            called_at += admission.leave_at
            for _ in admission.leave_at:
                door.gate = door.gate.refuse_key(now + 0.2)
            now = min([*admission.return_at, now + 1])

        assert most_in_a_minute(called_at) <= 10
        assert len(called_at) > calls

    def test_is_over_with_the_first_answer(self, door: Door) -> None:
        door.gate = door.gate.refuse_key(NOW)
        probe = door.ask(10, NOW + 7)
        door.gate = door.gate.succeed()

        assert len(probe.leave_at) == 1
        assert len(door.ask(10, NOW + 10).leave_at) == 10
