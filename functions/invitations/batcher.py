"""Group commit: one call carries out what several threads submit at the same time."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Runs one call at a time, for all items that were added while the last one ran.

    `call` takes at most `size` items and returns an answer for each, in order. What it raises is
    raised for every item of that call, so that the threads wait for a slow failure together.
    """

    def __init__(self, call: Callable[[Sequence[Item]], Sequence[Answer]], size: int) -> None:
        self._call = call
        self._size = size
        self._running = threading.Lock()
        self._guard = threading.Lock()
        self._waiting: list[tuple[Item, Future[Answer]]] = []

    def submit(self, item: Item) -> Answer:
        """Add an item, wait for the call that includes it, and return its answer."""
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
            answers = list(self._call([item for item, _ in together]))
            for (_, future), answer in zip(together, answers, strict=True):
                future.set_result(answer)
        except BaseException as error:  # noqa: BLE001  # each thread raises it for itself
            for _, future in together:
                if not future.done():
                    future.set_exception(error)


def refusals_of(answer: Mapping[str, Any], count: int) -> list[str | None]:
    """Return for each entry of a batch, whose `Id` is its index, why it was refused, or None."""
    taken = {entry["Id"] for entry in answer.get("Successful", [])}
    codes = {entry["Id"]: entry["Code"] for entry in answer.get("Failed", [])}
    return [
        None if str(index) in taken else codes.get(str(index), "no error code returned")
        for index in range(count)
    ]
