"""Group commit: one call carries out what several threads submit; batch calls of SNS and SQS."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

MOST_MESSAGES = 10
"""Messages in one call of SNS or SQS."""

Entry = Mapping[str, Any]
"""A message as such a call takes it, but for its `Id`."""

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


def send_batch(
    call: Callable[[list[Any]], Mapping[str, Any]], entries: Sequence[Entry]
) -> list[str | None]:
    """Send messages in one call of SNS or SQS; return for each why it was refused, or None."""
    numbered = [{**entry, "Id": str(index)} for index, entry in enumerate(entries)]
    try:
        answer = call(numbered)
    except (BotoCoreError, ClientError) as error:
        return [str(error)] * len(entries)
    refusals: dict[str, str | None] = {each["Id"]: "no error code returned" for each in numbered}
    refusals |= {each["Id"]: None for each in answer.get("Successful", [])}
    refusals |= {each["Id"]: each["Code"] for each in answer.get("Failed", [])}
    return list(refusals.values())


def text_attributes(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return message attributes as SNS and SQS take them."""
    return {name: {"DataType": "String", "StringValue": text} for name, text in texts.items()}
