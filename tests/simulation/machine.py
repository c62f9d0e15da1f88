"""Drives a world by chance, and judges it after every move."""

from collections.abc import Sequence
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from invitations.messages import SweepCriteria
from invitations.results import iso
from tests.simulation.judges import judge_end, judge_history
from tests.simulation.world import ApiAnswer, Delivery, Fate, Running, Trigger, World

HISTORY_STEPS = 50
"""Moves in one history."""

# Few, so that they meet.
USERS = ("ada", "bob")
REQUESTS = (None, "one", "two", "three")

# Most steps succeed, or nothing would ever get far enough to go wrong.
fates = st.sampled_from([Fate.PROCEED] * 6 + [Fate.FAIL, Fate.DIE])
answers = st.sampled_from([ApiAnswer.OK] * 3 + list(ApiAnswer))
emails = st.sampled_from([ApiAnswer.OK, ApiAnswer.OK_LATE, ApiAnswer.ERROR_LATE])
offsets = st.sampled_from([-1.0, 0.0, 1.0])
# How long after the end of a window something is done.
edges = st.sampled_from([-1.0, 0.0, 1.0, 3.0])
waits = st.sampled_from([0.5, 4.0, 30.0, 61.0, 299.0, 301.0, 303.0, 361.0])
picks = st.integers(min_value=0, max_value=1_000)
ports = st.sampled_from(["table", "topic", "queue", "secret"])
triggers = st.sampled_from(Trigger)
# At the smallest quota nearly every request waits for a token.
quotas = st.sampled_from([6_000, 6_000, 6_000, 6])


class Simulation(RuleBasedStateMachine):
    """Whatever may happen to the functions, as moves."""

    @initialize(requests_per_minute=quotas)
    def begin(self, requests_per_minute: int) -> None:
        self.world = World(requests_per_minute)

    @rule(
        user=st.sampled_from(USERS),
        request=st.sampled_from(REQUESTS),
        on_active_window=st.sampled_from(["skip", "defer"]),
        patience=st.sampled_from([None, None, 200.0, 900.0]),
        trigger=triggers,
    )
    def ask(
        self,
        user: str,
        request: str | None,
        on_active_window: str,
        patience: float | None,
        trigger: Trigger,
    ) -> None:
        body: dict[str, object] = {"user_id": user, "on_active_window": on_active_window}
        if request is not None:
            # One request is for one user for ever, and nobody asks for it after a day, or the
            # table would have to remember for longer than a queue and a redrive.
            body["request_id"] = f"{request}-{user}-{self.world.now // 86_400:.0f}"
        if patience is not None:
            body["not_after"] = iso(self.world.now + patience)
        self.world.ask(body, trigger)

    @rule(trigger=st.sampled_from([Trigger.QUEUE, Trigger.INVOCATION]))
    def order(self, trigger: Trigger) -> None:
        """Ask for both users at once."""
        self.world.ask({"user_ids": list(USERS)}, trigger)

    @rule(
        user_id=st.sampled_from(USERS),
        max_invites=st.sampled_from([1, 3]),
        min_age_seconds=st.sampled_from([0.0, 3_600.0]),
    )
    def sweep(self, user_id: str, max_invites: int, min_age_seconds: float) -> None:
        self.world.sweep(user_id, SweepCriteria(max_invites, min_age_seconds))

    @precondition(lambda self: self.world.deliverable())
    @rule(pick=picks, offset=offsets)
    def deliver(self, pick: int, offset: float) -> None:
        self.world.deliver(_picked(self.world.deliverable(), pick), offset)

    @precondition(lambda self: self.world.deliverable())
    @rule(pick=picks, offset=offsets, answer=answers)
    def deliver_and_run(self, pick: int, offset: float, answer: ApiAnswer) -> None:
        self.world.deliver_and_run(_picked(self.world.deliverable(), pick), offset, answer)

    @precondition(lambda self: self.world.deliverable())
    @rule(
        pick=picks,
        offset=offsets,
        answer=answers,
        seconds=st.sampled_from([0.5, 10.0, 59.0]),
        port=ports,
        steps_to_live=st.sampled_from([None, None, 0, 1, 2, 3]),
    )
    def deliver_into_trouble(
        self,
        pick: int,
        offset: float,
        answer: ApiAnswer,
        seconds: float,
        port: str,
        steps_to_live: int | None,
    ) -> None:
        """The call is made late, and soon the execution dies, or something else goes down."""
        execution = self.world.deliver(_picked(self.world.deliverable(), pick), offset)
        if execution is None or not self.world.run_to(execution, "api.invite"):
            return
        self.world.advance(seconds)
        self.world.step(execution, answer=answer)
        if steps_to_live is None:
            self.world.down.add(port)
            self.world.run(execution)
        else:
            self.world.run(execution, steps=steps_to_live)
            self.world.kill(execution)

    @rule(
        user_id=st.sampled_from(USERS),
        seconds=st.sampled_from([0.5, 10.0, 59.0]),
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
        execution = self.execution_for(user_id, offset)
        if execution is not None and self.world.run_to(execution, "api.invite"):
            self.world.advance(seconds)
            self.world.step(execution, answer=answer)
            self.world.kill(execution)
        self.ask_when_the_window_ends(user_id, after, later_offset)

    @rule(user_id=st.sampled_from(USERS), offset=offsets, answer=answers)
    def ask_twice(self, user_id: str, offset: float, answer: ApiAnswer) -> None:
        """Whatever the first call was answered, the second request comes right after it."""
        self.wait_for_the_end_of(user_id, 3.0)
        for _ in range(2):
            self.world.ask({"user_id": user_id}, Trigger.QUEUE)
            self.world.deliver_and_run(self.world.deliveries[-1], offset, answer)

    @rule(
        user_id=st.sampled_from(USERS),
        steps=st.tuples(st.integers(1, 9), st.integers(1, 9)),
        offset=offsets,
        same=st.booleans(),
    )
    def race(self, user_id: str, steps: tuple[int, int], offset: float, same: bool) -> None:
        """Two executions begin for one user; each decides on what it has seen until then."""
        racing = []
        for number in range(2):
            if not (same and number):
                self.world.ask({"user_id": user_id}, Trigger.QUEUE)
            racing.append(self.world.deliver(self.world.deliveries[-1], offset))
        for execution, number in zip(racing, steps, strict=True):
            assert execution is not None
            self.world.run(execution, steps=number)
        for execution in racing:
            assert execution is not None
            self.world.run(execution)

    @rule(
        user_id=st.sampled_from(USERS),
        offset=offsets,
        answer=answers,
        step=st.sampled_from(["table.read_user", "table.limiter", "table.claim"]),
    )
    def stall(self, user_id: str, offset: float, answer: ApiAnswer, step: str) -> None:
        """A duplicate stalls while another execution ends the request."""
        stalled = self.execution_for(user_id, offset)
        if stalled is None or not self.world.run_to(stalled, step):
            return
        self.world.deliver_and_run(stalled.delivery, offset, answer)
        self.world.run(stalled)

    @rule(user_id=st.sampled_from(USERS), offset=offsets, answer=answers, later_answer=emails)
    def save_late(
        self, user_id: str, offset: float, answer: ApiAnswer, later_answer: ApiAnswer
    ) -> None:
        """The table takes no result until the claim is over; another execution died since."""
        execution = self.execution_for(user_id, offset)
        if execution is None or not self.world.run_to(execution, "api.invite"):
            return
        self.world.step(execution, answer=answer)
        self.world.down.add("table")
        self.world.run(execution)
        self.world.down.discard("table")
        later = self.execution_for(user_id, offset)
        if later is not None and self.world.run_to(later, "api.invite"):
            self.world.step(later, answer=later_answer)
            self.world.kill(later)
        for delivery in self.world.deliverable():
            self.world.deliver_and_run(delivery, offset)
        self.world.ask({"user_id": user_id}, Trigger.QUEUE)
        self.world.deliver_and_run(self.world.deliveries[-1], offset)

    @rule(user_id=st.sampled_from(USERS), offset=offsets, answer=answers)
    def save_soon(self, user_id: str, offset: float, answer: ApiAnswer) -> None:
        """The table takes no result; a duplicate comes, then what is due, for ten minutes."""
        execution = self.execution_for(user_id, offset)
        if execution is None or not self.world.run_to(execution, "api.invite"):
            return
        self.world.step(execution, answer=answer)
        self.world.down.add("table")
        self.world.run(execution)
        self.world.down.discard("table")
        self.world.deliver_and_run(execution.delivery, offset)
        until = self.world.now + 600
        while due := [each for each in self.waiting() if each.visible_at <= until]:
            self.world.advance(max(0.0, due[0].visible_at - self.world.now))
            self.world.deliver_and_run(due[0], offset)

    @rule(order=st.randoms(use_true_random=False), offset=offsets)
    def mend_and_catch_up(self, order: Random, offset: float) -> None:
        """Everything works again, and what is due is carried out in some order."""
        self.world.down.clear()
        due = self.world.deliverable()
        order.shuffle(due)
        for delivery in due:
            self.world.deliver_and_run(delivery, offset)

    @precondition(lambda self: self.world.repeatable())
    @rule(pick=picks, offset=offsets)
    def deliver_again(self, pick: int, offset: float) -> None:
        """A duplicate: of a message that is being carried out, or was long ago."""
        self.world.deliver(_picked(self.world.repeatable(), pick), offset)

    @precondition(lambda self: self.world.executions)
    @rule(pick=picks, fate=fates, answer=answers)
    def step(self, pick: int, fate: Fate, answer: ApiAnswer) -> None:
        executions = self.world.executions
        self.world.step(executions[pick % len(executions)], fate, answer)

    @precondition(lambda self: self.world.executions)
    @rule(pick=picks, answer=answers)
    def run_to_the_end(self, pick: int, answer: ApiAnswer) -> None:
        executions = self.world.executions
        self.world.run(executions[pick % len(executions)], answer)

    @rule(seconds=waits)
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule()
    def wait_for_a_message(self) -> None:
        for first in self.waiting()[:1]:
            self.world.advance(max(0.0, first.visible_at - self.world.now))

    @rule(user_id=st.sampled_from(USERS), seconds=edges)
    def wait_for_a_window(self, user_id: str, seconds: float) -> None:
        self.wait_for_the_end_of(user_id, seconds)

    @rule(
        user_id=st.sampled_from(USERS),
        seconds=edges,
        offset=offsets,
    )
    def ask_when_the_window_ends(self, user_id: str, seconds: float, offset: float) -> None:
        self.wait_for_the_end_of(user_id, seconds)
        self.world.ask({"user_id": user_id}, Trigger.QUEUE)
        self.world.deliver_and_run(self.world.deliveries[-1], offset)

    @rule(port=ports)
    def break_or_mend(self, port: str) -> None:
        self.world.down ^= {port}

    @precondition(lambda self: self.world.deliverable())
    @rule(offset=offsets)
    def pause_and_resume(self, offset: float) -> None:
        """An operator stops all calls for a while."""
        self.world.pause()
        before = len(self.world.calls)
        for delivery in self.world.deliverable():
            self.world.deliver_and_run(delivery, offset)
        assert len(self.world.calls) == before, "pause: a call was made"
        self.world.advance(901)
        self.world.resume()

    @rule()
    def rotate_key(self) -> None:
        self.world.rotate_key()

    @rule()
    def store_key(self) -> None:
        self.world.store_key()

    @rule(days=st.sampled_from([1, 13, 31]))
    def wait_for_days(self, days: int) -> None:
        self.world.advance(days * 86_400)

    @rule()
    def expire(self) -> None:
        self.world.expire()

    @precondition(lambda self: self.world.dead)
    @rule()
    def redrive(self) -> None:
        self.world.redrive()

    @invariant()
    def promises_hold(self) -> None:
        judge_history(self.world)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.heal()
            judge_end(self.world)

    def execution_for(self, user_id: str, offset: float) -> Running | None:
        """Begin a new request, as soon as the user's window is over."""
        self.wait_for_the_end_of(user_id, 3.0)
        self.world.ask({"user_id": user_id}, Trigger.QUEUE)
        return self.world.deliver(self.world.deliveries[-1], offset)

    def wait_for_the_end_of(self, user_id: str, seconds: float) -> None:
        ends_at = self.world.window_ends_at(user_id)
        self.world.advance(max(0.0, ends_at + seconds - self.world.now))

    def waiting(self) -> list[Delivery]:
        """What is still to be carried out; what is due first comes first."""
        waiting = [each for each in self.world.deliveries if not each.acknowledged]
        return sorted(waiting, key=lambda each: each.visible_at)


def _picked(deliveries: Sequence[Delivery], pick: int) -> Delivery:
    return deliveries[pick % len(deliveries)]
