"""Group commit: what several threads ask for at the same time is done by one call."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Runs one call at a time, for all items that were added while the last one ran.

    `call` takes at most `size` items and returns an answer for each, in order. What it raises is
    raised for every item of that call: a slow failure is waited for once, not once a thread.
    """

    def __init__(self, call: Callable[[Sequence[Item]], Sequence[Answer]], size: int) -> None:
        self._call = call
        self._size = size
        self._running = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: list[tuple[Item, Future[Answer]]] = []

    def ask(self, item: Item) -> Answer:
        """The answer for one item; waits for the call that it is part of."""
        future: Future[Answer] = Future()
        with self._guard:
            self._waiting.append((item, future))
        with self._running:
            # Another thread's call may have taken the item along meanwhile.
            while not future.done():
                self._run()
        return future.result()

    def _run(self) -> None:
        with self._guard:
            together = self._waiting[: self._size]
            del self._waiting[: self._size]
        try:
            answers = self._call([item for item, _ in together])
        except BaseException as error:  # noqa: BLE001  # each thread raises it for itself
            for _, future in together:
                future.set_exception(error)
        else:
            for (_, future), answer in zip(together, answers, strict=True):
                future.set_result(answer)
