"""Drives a world by chance, and judges it after every move."""

from collections.abc import Callable
from random import Random

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from invitations.models import iso
from tests.simulation.judges import judge_end, judge_history
from tests.simulation.world import ApiAnswer, Fate, Message, Trigger, World

HISTORY_STEPS = 50
"""Moves in one history."""

# Few, so that they meet.
USERS = ("ada", "bob")
REQUESTS = (None, "one", "two", "three")

# Most steps succeed, or nothing would ever get far enough to go wrong.
fates = st.sampled_from([Fate.PROCEED] * 6 + [Fate.FAIL, Fate.DIE])
answers = st.sampled_from([ApiAnswer.OK] * 3 + list(ApiAnswer))
offsets = st.sampled_from([-1.0, 0.0, 1.0])
waits = st.sampled_from([0.5, 4.0, 30.0, 61.0, 299.0, 301.0, 303.0, 361.0])
picks = st.integers(min_value=0, max_value=1_000)


class Simulation(RuleBasedStateMachine):
    """The service as it is; mutants replace `make_world`."""

    make_world: Callable[[], World] = World

    @initialize()
    def begin(self) -> None:
        self.world = self.make_world()

    @rule(
        user=st.sampled_from(USERS),
        request=st.sampled_from(REQUESTS),
        on_active_window=st.sampled_from(["skip", "defer"]),
        patience=st.sampled_from([None, None, 200.0, 900.0]),
        trigger=st.sampled_from(Trigger),
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
        port=st.sampled_from(["ledger", "topic", "queue", "secret"]),
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
        if execution is None or not self.world.run_to(execution, "api"):
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
    )
    def die_after_a_late_call(self, user_id: str, seconds: float, offset: float) -> None:
        """Nobody learns what became of the call; the next comes as soon as it may."""
        self.wait_for_the_end_of(user_id, 3.0)
        self.world.ask({"user_id": user_id}, Trigger.QUEUE)
        execution = self.world.deliver(self.world.messages[-1], offset)
        if execution is not None and self.world.run_to(execution, "api"):
            self.world.advance(seconds)
            self.world.step(execution)
            self.world.kill(execution)
        self.ask_when_the_window_ends(user_id, 3.0, offset)

    @rule(user_id=st.sampled_from(USERS), offset=offsets, answer=answers)
    def ask_twice(self, user_id: str, offset: float, answer: ApiAnswer) -> None:
        """Whatever the first call was answered, the second request comes right after it."""
        for _ in range(2):
            self.world.ask({"user_id": user_id}, Trigger.QUEUE)
            self.world.deliver_and_run(self.world.messages[-1], offset, answer)

    @rule(
        user_id=st.sampled_from(USERS),
        steps=st.tuples(st.integers(1, 5), st.integers(1, 5)),
        offset=offsets,
    )
    def race(self, user_id: str, steps: tuple[int, int], offset: float) -> None:
        """Two executions begin for one user; each decides on what it has seen until then."""
        racing = []
        for _ in steps:
            self.world.ask({"user_id": user_id}, Trigger.QUEUE)
            racing.append(self.world.deliver(self.world.messages[-1], offset))
        for execution, number in zip(racing, steps, strict=True):
            assert execution is not None
            self.world.run(execution, steps=number)
        for execution in racing:
            assert execution is not None
            self.world.run(execution)

    @precondition(lambda self: self.world.deliverable())
    @rule(pick=picks, offset=offsets)
    def record_late(self, pick: int, offset: float) -> None:
        """The table takes no answer until the claim is over, and another holds the window."""
        message = _picked(self.world.deliverable(), pick)
        execution = self.world.deliver(message, offset)
        if execution is None or not self.world.run_to(execution, "api"):
            return
        self.world.step(execution)
        self.world.down.add("ledger")
        self.world.run(execution)
        self.world.down.discard("ledger")
        for user_id in list(self.world.table.users):
            self.ask_when_the_window_ends(user_id, 3.0, offset)

    @rule(order=st.randoms(use_true_random=False), offset=offsets)
    def mend_and_catch_up(self, order: Random, offset: float) -> None:
        """Everything works again, and what is due is carried out in some order."""
        self.world.down.clear()
        due = self.world.deliverable()
        order.shuffle(due)
        for message in due:
            self.world.deliver_and_run(message, offset)

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
        due = [each.visible_at for each in self.world.messages if not each.acknowledged]
        self.world.advance(max(0.0, min(due, default=0.0) - self.world.now))

    @precondition(lambda self: self.world.table.users)
    @rule(pick=picks, seconds=st.sampled_from([-1.0, 0.0, 1.0]))
    def wait_for_a_window(self, pick: int, seconds: float) -> None:
        ends = [user.window_ends_at or 0 for user in self.world.table.users.values()]
        self.world.advance(max(0, ends[pick % len(ends)] + seconds - self.world.now))

    @rule(
        user_id=st.sampled_from(USERS),
        seconds=st.sampled_from([-1.0, 0.0, 1.0, 3.0]),
        offset=offsets,
    )
    def ask_when_the_window_ends(self, user_id: str, seconds: float, offset: float) -> None:
        self.wait_for_the_end_of(user_id, seconds)
        self.world.ask({"user_id": user_id}, Trigger.QUEUE)
        self.world.deliver_and_run(self.world.messages[-1], offset)

    def wait_for_the_end_of(self, user_id: str, seconds: float) -> None:
        ends_at = self.world.table.users[user_id].window_ends_at or 0
        self.world.advance(max(0, ends_at + seconds - self.world.now))

    @rule(port=st.sampled_from(["ledger", "topic", "queue", "secret"]))
    def break_or_mend(self, port: str) -> None:
        self.world.down ^= {port}

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
    def rules_hold(self) -> None:
        judge_history(self.world)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.heal()
            judge_end(self.world)


def _picked(messages: list[Message], pick: int) -> Message:
    return messages[pick % len(messages)]
