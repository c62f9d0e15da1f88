"""Group commit: one call carries out what several threads submit; batch calls of SNS and SQS."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from invitations.errors import DependencyUnavailableError

MOST_MESSAGES = 10
"""Messages in one call of SNS or SQS."""

Entry = Mapping[str, Any]
"""A message as such a call takes it, but for its `Id`."""

GATHER_SECONDS = 0.002
"""How long a thread waits for others: the threads of a batch submit at about the same time."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Answer]):
    """Runs one call at a time, for all items that were added meanwhile.

    `call` takes at most `size` items and returns an answer for each, in order. What it raises is
    raised for every item of that call, so that the threads wait for a slow failure together.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Item]], Sequence[Answer]],
        size: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._call = call
        self._size = size
        self._sleep = sleep
        self._running = threading.Lock()
        self._waiting: deque[tuple[Item, Future[Answer]]] = deque()

    def submit(self, item: Item) -> Answer:
        """Add an item, wait for the call that includes it, and return its answer."""
        future: Future[Answer] = Future()
        self._waiting.append((item, future))
        self._sleep(GATHER_SECONDS)
        with self._running:
            # Another thread's call may have taken the item along meanwhile.
            while not future.done():
                self._run()
        return future.result()

    def _run(self) -> None:
        number = min(self._size, len(self._waiting))
        together = [self._waiting.popleft() for _ in range(number)]
        try:
            answers = list(self._call([item for item, _ in together]))
            for (_, future), answer in zip(together, answers, strict=True):
                future.set_result(answer)
        except BaseException as error:  # noqa: BLE001  # each thread raises it for itself
            for _, future in together:
                if not future.done():
                    future.set_exception(error)


class BatchSender:
    """Sends messages to one queue or topic; threads send together.

    Both methods raise `error` when a message was not taken.
    """

    def __init__(
        self,
        call: Callable[[list[Any]], Mapping[str, Any]],
        error: type[DependencyUnavailableError],
    ) -> None:
        self._call = call
        self._error = error
        self._batcher: Batcher[Entry, str | None] = Batcher(self._send_batch, MOST_MESSAGES)

    def send(self, entry: Entry) -> None:
        self._raise_if(self._batcher.submit(entry))

    def send_all(self, entries: Sequence[Entry]) -> None:
        """Send any number of messages; some of them may have been taken when it raises."""
        for start in range(0, len(entries), MOST_MESSAGES):
            for refusal in self._send_batch(entries[start : start + MOST_MESSAGES]):
                self._raise_if(refusal)

    def _raise_if(self, refusal: str | None) -> None:
        if refusal is not None:
            raise self._error(f"a message was not taken: {refusal}")

    def _send_batch(self, entries: Sequence[Entry]) -> list[str | None]:
        """Send messages in one call; return for each why it was refused, or None."""
        numbered = [{**entry, "Id": str(index)} for index, entry in enumerate(entries)]
        try:
            answer = self._call(numbered)
        except (BotoCoreError, ClientError) as error:
            if len(entries) > 1 and "BatchRequestTooLong" in str(error):
                # Each message fits into a call of its own.
                return [refusal for entry in entries for refusal in self._send_batch([entry])]
            return [str(error)] * len(entries)
        refusals: dict[str, str | None] = {each["Id"]: "no error code" for each in numbered}
        refusals |= {each["Id"]: None for each in answer.get("Successful", [])}
        refusals |= {each["Id"]: each["Code"] for each in answer.get("Failed", [])}
        return list(refusals.values())


def text_attributes(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return message attributes as SNS and SQS take them."""
    return {name: {"DataType": "String", "StringValue": text} for name, text in texts.items()}
