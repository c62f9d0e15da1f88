"""The promises hold whatever happens, in whatever order.

Chance drives a world by moves, and the promises are judged after each of them. A move of several
steps is one that chance alone would hardly ever put together.
"""

import os
from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from invitations.results import Source
from tests.simulation.api import ANSWERS, LATE, OK, ApiAnswer
from tests.simulation.executions import Fate, Running
from tests.simulation.judges import judge_end, judge_history
from tests.simulation.world import Delivery, World

# Few, so that they meet.
USERS = ("ada", "bob")

users = st.sampled_from(USERS)
# Most steps succeed, or nothing would ever get far enough to go wrong.
fates = st.sampled_from([Fate.PROCEED] * 6 + [Fate.FAIL, Fate.DIE])
answers = st.sampled_from([OK] * 3 + list(ANSWERS))
emails = st.sampled_from([OK, *LATE])
# Of the clocks of containers.
offsets = st.sampled_from([-1.0, 0.0, 1.0])
# How long after the end of a window something is done.
edges = st.sampled_from([-1.0, 0.0, 1.0, 3.0])
waits = st.sampled_from([0.5, 4.0, 30.0, 61.0, 299.0, 301.0, 361.0, 86_400.0])
# How late in its execution a call is made.
delays = st.sampled_from([0.5, 10.0, 59.0])
picks = st.integers(min_value=0, max_value=1_000)
ports = st.sampled_from(["table", "replication", "topic", "queue", "secret"])
sources = st.sampled_from([Source.SQS, Source.DIRECT])
# At the smallest quota nearly every request waits for a token.
quotas = st.sampled_from([6_000, 6_000, 6_000, 6])


def picked(deliveries: Sequence[Delivery], pick: int) -> Delivery:
    return deliveries[pick % len(deliveries)]


class Simulation(RuleBasedStateMachine):
    @initialize(requests_per_minute=quotas)
    def begin(self, requests_per_minute: int) -> None:
        self.world = World(requests_per_minute)

    # What outsiders do.

    @rule(
        user=users,
        request=st.sampled_from([None, "one", "two", "three"]),
        on_active_window=st.sampled_from(["skip", "defer"]),
        source=sources,
    )
    def ask(self, user: str, request: str | None, on_active_window: str, source: Source) -> None:
        body = {"user_id": user, "on_active_window": on_active_window}
        if request is not None:
            # One request is for one user for ever.
            body["request_id"] = f"{request}-{user}"
        self.world.ask(body, source)

    @rule(source=sources)
    def order(self, source: Source) -> None:
        """Ask for both users at once."""
        self.world.ask({"user_ids": list(USERS)}, source)

    @precondition(lambda self: self.world.dead)
    @rule()
    def redrive(self) -> None:
        self.world.redrive()

    @rule()
    def change_key(self) -> None:
        self.world.change_key()

    # What the platform does.

    @precondition(lambda self: self.world.deliverable())
    @rule(pick=picks, offset=offsets, answer=answers)
    def deliver_and_run(self, pick: int, offset: float, answer: ApiAnswer) -> None:
        self.world.deliver_and_run(picked(self.world.deliverable(), pick), offset, answer)

    @precondition(lambda self: self.world.repeatable())
    @rule(pick=picks, offset=offsets)
    def deliver_again(self, pick: int, offset: float) -> None:
        """Begin with any message, perhaps one that is being carried out, or was long ago."""
        self.world.deliver(picked(self.world.repeatable(), pick), offset)

    @precondition(lambda self: self.world.executions)
    @rule(pick=picks, fate=fates, answer=answers, steps=st.sampled_from([0, 0, None]))
    def step(self, pick: int, fate: Fate, answer: ApiAnswer, steps: int | None) -> None:
        """Let an execution take a step, and perhaps run to its end."""
        execution = self.world.executions[pick % len(self.world.executions)]
        self.world.step(execution, fate, answer)
        self.world.run(execution, answer, steps)

    @rule(seconds=waits)
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)

    @precondition(lambda self: self.world.waiting())
    @rule()
    def wait_for_a_message(self) -> None:
        first = self.world.next_waiting()
        assert first is not None
        self.world.advance(first.visible_at - self.world.now)

    @rule(port=ports)
    def break_or_mend(self, port: str) -> None:
        self.world.down ^= {port}

    # Moves of several steps.

    @rule(user_id=users, steps=st.tuples(st.integers(1, 9), st.integers(1, 9)), offset=offsets)
    def race(self, user_id: str, steps: tuple[int, int], offset: float) -> None:
        """Two executions begin for one user; each decides on what it has seen until then."""
        begun = [self.world.deliver(self.world.ask({"user_id": user_id}), offset) for _ in steps]
        executions = [each for each in begun if each is not None]
        for execution, number in zip(executions, steps, strict=True):
            self.world.run(execution, steps=number)
        for execution in executions:
            self.world.run(execution)

    @rule(user_id=users, seconds=edges, offset=offsets, answer=answers)
    def ask_when_the_window_ends(
        self, user_id: str, seconds: float, offset: float, answer: ApiAnswer
    ) -> None:
        self.wait_for_the_end_of(user_id, seconds)
        self.world.deliver_and_run(self.world.ask({"user_id": user_id}), offset, answer)

    @rule(
        user_id=users,
        seconds=delays,
        offset=offsets,
        answer=emails,
        after=edges,
        later_offset=offsets,
    )
    def die_after_a_late_call(
        self,
        user_id: str,
        seconds: float,
        offset: float,
        answer: ApiAnswer,
        after: float,
        later_offset: float,
    ) -> None:
        """Nobody learns what became of the call; the next comes as soon as it may."""
        _, execution = self.begin_request(user_id, offset)
        if self.call(execution, answer, after_seconds=seconds):
            self.world.kill(execution)
        self.ask_when_the_window_ends(user_id, after, later_offset, OK)

    @rule(user_id=users, offset=offsets, answer=answers, seconds=waits)
    def save_without_a_table(
        self, user_id: str, offset: float, answer: ApiAnswer, seconds: float
    ) -> None:
        """The table takes no result; a duplicate comes, and another request after a while."""
        delivery, execution = self.begin_request(user_id, offset)
        if not self.call(execution, answer):
            return
        self.world.down.add("table")
        self.world.run(execution)
        self.world.down.discard("table")
        self.world.deliver_and_run(delivery, offset)
        self.world.advance(seconds)
        for due in self.world.deliverable():
            self.world.deliver_and_run(due, offset)

    # What moves have in common.

    def wait_for_the_end_of(self, user_id: str, seconds: float) -> None:
        """Wait until so long after the end of the user's window."""
        ends_at = self.world.user_item(user_id).get("window_ends_at", 0.0)
        self.world.advance(ends_at + seconds - self.world.now)

    def begin_request(self, user_id: str, offset: float) -> tuple[Delivery, Running]:
        """Begin a new request, as soon as the user's window is over."""
        self.wait_for_the_end_of(user_id, 3.0)
        delivery = self.world.ask({"user_id": user_id})
        execution = self.world.deliver(delivery, offset)
        assert execution is not None
        return delivery, execution

    def call(self, execution: Running, answer: ApiAnswer, *, after_seconds: float = 0.0) -> bool:
        """Let an execution wait and call; whether it ever does."""
        if not self.world.run_to(execution, "api.invite"):
            return False
        self.world.advance(after_seconds)
        self.world.step(execution, answer=answer)
        return True

    @invariant()
    def promises_hold(self) -> None:
        judge_history(self.world)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.heal()
            judge_end(self.world)


# Whoever asks for more histories wants to know whether one fails, not the shortest one that does.
HISTORIES = os.environ.get("HISTORIES")

TestSimulation = Simulation.TestCase
TestSimulation.settings = settings(
    max_examples=int(HISTORIES or 150),
    phases=[Phase.generate] if HISTORIES else tuple(Phase),
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
