"""What several threads ask for at the same time is done, or fails, by one call."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from invitations.batcher import Batcher

ITEMS = range(20)


@pytest.mark.parametrize("error", [None, OSError("down")])
def test_items_of_waiting_threads_share_calls_of_the_size_and_their_failure(
    error: OSError | None,
) -> None:
    calls, others = list[list[int]](), threading.Barrier(len(ITEMS))

    def call(items: Sequence[int]) -> list[int]:
        calls.append(list(items))
        if len(calls) == 1:
            others.wait(60)
            # From the barrier to the batcher there is one statement.
            threading.Event().wait(0.1)
        elif error is not None:
            raise error
        return [2 * item for item in items]

    batcher = Batcher(call, size=7)

    def ask(item: int) -> int:
        if item > 0:
            others.wait(60)
        return batcher.submit(item)

    with ThreadPoolExecutor(len(ITEMS)) as threads:
        answers = [threads.submit(ask, item) for item in ITEMS]

    assert answers[0].result() == 0
    assert {each.exception() for each in answers[1:]} == {error}
    assert sorted(item for each in calls for item in each) == list(ITEMS)
    assert max(map(len, calls)) <= 7 < len(ITEMS) > len(calls)
