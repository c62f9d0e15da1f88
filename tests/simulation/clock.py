"""A simulated clock: processes that wait for moments, and for each other, without any waiting."""

import heapq
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Steps: TypeAlias = Generator["float | Sequence[Task]", None, T]
"""Yields seconds to wait, or tasks to wait for; returns what came of it."""
Process: TypeAlias = Steps[Any]


@dataclass
class Task:
    process: Process
    done: bool = False
    waiting_for: int = 0
    followers: list["Task"] = field(default_factory=list)


class Clock:
    """Runs processes in the order of their moments; those of one moment in the order of asking."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Task]] = []
        self._numbers = count()

    def start(self, process: Process) -> Task:
        task = Task(process)
        self._wake(task, 0)
        return task

    def run(self) -> None:
        """Run until no process waits any more."""
        while self._due:
            self.now, _, task = heapq.heappop(self._due)
            self._advance(task)

    def _wake(self, task: Task, seconds: float) -> None:
        heapq.heappush(self._due, (self.now + max(seconds, 0), next(self._numbers), task))

    def _advance(self, task: Task) -> None:
        try:
            wanted = next(task.process)
        except StopIteration:
            task.done = True
            for follower in task.followers:
                follower.waiting_for -= 1
                if not follower.waiting_for:
                    self._wake(follower, 0)
            return
        if isinstance(wanted, float | int):
            self._wake(task, wanted)
            return
        others = [other for other in wanted if not other.done]
        task.waiting_for = len(others)
        for other in others:
            other.followers.append(task)
        if not others:
            self._wake(task, 0)
