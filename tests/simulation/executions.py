"""Executions as greenlets, which stop before and after the effect of each call to the outside.

Between two stops anything may happen: another execution runs, time passes, the call fails, its
reply is lost, the execution dies. Nothing happens by chance: the machine decides.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet

from invitations.partoo import PartooApi
from invitations.reinvite import Reinviter
from invitations.table import Item, Key
from tests.fakes import EXECUTION_SECONDS, START, FakeTable, FaultError, Outside, Settings
from tests.simulation.api import OK, ApiAnswer


class Fate(Enum):
    """What comes of the step that an execution is about to take."""

    PROCEED = "proceed"
    FAIL = "fail"
    DIE = "die"


class _DiedError(BaseException):
    """No line of the functions may catch it."""


class _Table(FakeTable):
    """DynamoDB reads the keys of one call one after another, in any order.

    While `replication` is down, a read that is not consistent lacks the latest write of each item.
    """

    def __init__(self, executions: "Executions") -> None:
        super().__init__(executions)
        self._down = executions.down

    def read(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item]:
        is_stale = "replication" in self._down and not consistent
        return [self._read_one(key, is_stale=is_stale) for key in reversed(keys)][::-1]

    def _read_one(self, key: Key, *, is_stale: bool) -> Item:
        (item,) = super().read([key])
        return self.replaced.get(key, {}) if is_stale else item


@dataclass
class Container:
    """Lives until an execution dies in it; its clock is off by `offset`."""

    reinviter: Reinviter
    offset: float


@dataclass
class Running:
    """An execution."""

    ends_at: float
    container: Container
    greenlet: greenlet
    at: str = "start"
    answer: ApiAnswer = OK


class Executions(Outside):
    """Times are true epoch seconds; containers read clocks that are up to a second off."""

    api: PartooApi

    def __init__(self, settings: Settings) -> None:
        super().__init__(self, lambda: self.now)
        self.now = START
        self.down = set[str]()
        self.table = _Table(self)
        self.executions: list[Running] = []
        self._settings = settings
        self._idle: dict[float, list[Container]] = defaultdict(list)
        self._running: dict[Any, Running] = {}
        self._numbers: dict[str, count[int]] = defaultdict(lambda: count(1))

    @property
    def running(self) -> Running:
        """The execution that asks."""
        return self._running[getcurrent()]

    def start(self, work: Callable[[Reinviter], None], offset: float) -> Running:
        """Start an execution in an idle container or a new one; it stops before its first call."""
        container = self._idle[offset].pop() if self._idle[offset] else self._container(offset)

        def carry_out() -> None:
            try:
                work(container.reinviter)
            except _DiedError:
                return
            self._idle[offset].append(container)

        running = Running(self.now + EXECUTION_SECONDS, container, greenlet(carry_out))
        self.executions.append(running)
        self._running[running.greenlet] = running
        running.greenlet.switch()
        self._forget_ended()
        return running

    def step(self, execution: Running, fate: Fate = Fate.PROCEED, answer: ApiAnswer = OK) -> None:
        """Let an execution go on to its next stop, or end."""
        if fate is Fate.PROCEED and execution.at.split(".")[0] in self.down:
            fate = Fate.FAIL
        execution.answer = answer
        if fate is Fate.DIE:
            execution.greenlet.throw(_DiedError)
        else:
            execution.greenlet.switch(fate)
        self._forget_ended()

    def run(self, execution: Running, answer: ApiAnswer = OK, steps: int | None = None) -> None:
        """Let an execution go on undisturbed, for so many steps or to its end."""
        while execution in self.executions and steps != 0:
            self.step(execution, answer=answer)
            steps = None if steps is None else steps - 1

    def kill(self, execution: Running) -> None:
        if execution in self.executions:
            self.step(execution, Fate.DIE)

    def run_to(self, execution: Running, step: str) -> bool:
        """Let an execution go on until it is about to take a step; whether it ever is."""
        while execution in self.executions and execution.at != step:
            self.step(execution)
        return execution in self.executions

    # Steps, as an execution takes them.

    def fails_at(self, step: str) -> bool:
        """Stop before a step; return whether it fails."""
        current = getcurrent()
        self._running[current].at = step
        assert current.parent is not None
        return current.parent.switch() is Fate.FAIL

    def before(self, step: str) -> None:
        if self.fails_at(step):
            raise FaultError

    def after(self, step: str) -> None:
        self.before(step)

    def sleep(self, seconds: float) -> None:
        wakes_at = self.now + seconds
        self.fails_at("sleep")
        self.now = max(self.now, wakes_at)

    def _container(self, offset: float) -> Container:
        reinviter = self.make_reinviter(
            self.api,
            self._settings,
            clock=lambda: self.now + offset,
            sleep=self.sleep,
            seed=next(self._numbers["container"]),
        )
        return Container(reinviter, offset)

    def _forget_ended(self) -> None:
        for execution in [each for each in self.executions if each.greenlet.dead]:
            self.executions.remove(execution)
            del self._running[execution.greenlet]

    def new_name(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers[kind])}"
