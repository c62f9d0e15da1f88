"""What several threads ask for at the same time is done, or fails, by one call."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from invitations.batcher import Batcher

ITEMS = range(20)


@pytest.mark.parametrize("error", [None, OSError("down")])
def test_items_of_threads_that_submit_together_share_calls_of_the_size_and_their_failure(
    error: OSError | None,
) -> None:
    calls, everybody = list[list[int]](), threading.Barrier(len(ITEMS))

    def call(items: Sequence[int]) -> list[int]:
        calls.append(list(items))
        if error is not None and 0 not in items:
            raise error
        return [2 * item for item in items]

    def wait_for_everybody(_: float) -> None:
        everybody.wait(60)

    batcher = Batcher(call, 7, wait_for_everybody)
    with ThreadPoolExecutor(len(ITEMS)) as threads:
        answers = [threads.submit(batcher.submit, item) for item in ITEMS]

    assert sorted(map(len, calls)) == [6, 7, 7]
    assert sorted(item for each in calls for item in each) == list(ITEMS)
    (first,) = [each for each in calls if 0 in each]
    assert [answers[item].result() for item in first] == [2 * item for item in first]
    assert {answers[item].exception() for item in ITEMS if item not in first} == {error}
