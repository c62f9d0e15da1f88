"""What several threads ask for at the same time is done by one call."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from invitations.batcher import Batcher

ITEMS = range(20)


class Service:
    """Answers with the items doubled; its first call lasts until all other threads have asked."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.at_once = self.most_at_once = 0
        self.others = threading.Barrier(len(ITEMS))
        self.error: Exception | None = None

    def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.calls.append(list(items))
        if len(self.calls) == 1:
            self.others.wait(10)
            # From the barrier to the batcher there is one statement.
            threading.Event().wait(0.1)
        self.at_once -= 1
        if self.error is not None:
            raise self.error
        return [2 * item for item in items]


@pytest.fixture
def service() -> Service:
    return Service()


def ask_together(service: Service, size: int) -> list[Future[int]]:
    """Ask with the first item, and during its call with the others, a thread for each."""
    batcher = Batcher(service, size)

    def ask(item: int) -> int:
        if item > 0:
            service.others.wait(10)
        return batcher.submit(item)

    with ThreadPoolExecutor(len(ITEMS)) as threads:
        return [threads.submit(ask, item) for item in ITEMS]


def test_items_of_threads_that_wait_share_calls_that_run_one_at_a_time(service: Service) -> None:
    answers = ask_together(service, size=100)

    assert [each.result() for each in answers] == [2 * item for item in ITEMS]
    assert service.calls[0] == [0]
    assert sorted(item for call in service.calls for item in call) == list(ITEMS)
    assert len(service.calls) < len(ITEMS) / 2
    assert service.most_at_once == 1


def test_call_takes_no_more_items_than_its_size(service: Service) -> None:
    answers = ask_together(service, size=3)

    assert [each.result() for each in answers] == [2 * item for item in ITEMS]
    assert max(len(call) for call in service.calls) == 3


def test_slow_failure_is_raised_for_every_item_of_its_call(service: Service) -> None:
    service.error = OSError("down")

    answers = ask_together(service, size=100)
    assert [str(each.exception()) for each in answers] == ["down"] * len(ITEMS)
    assert len(service.calls) < len(ITEMS) / 2


def test_failure_leaves_later_items_alone() -> None:
    errors = [OSError("down")]

    def call(items: Sequence[int]) -> Sequence[int]:
        for error in errors:
            raise error
        return items

    batcher = Batcher(call, size=10)
    with pytest.raises(OSError, match="down"):
        batcher.submit(1)
    errors.clear()
    assert batcher.submit(2) == 2
