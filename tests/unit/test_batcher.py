"""What several threads ask for at the same time is done by one call."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from invitations.batcher import Batcher


class Service:
    """Answers with the items doubled; its first call lasts until it is told to end."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.at_once = self.most_at_once = 0
        self.first_began, self.may_end = threading.Event(), threading.Event()
        self.error: Exception | None = None

    def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.calls.append(list(items))
        self.first_began.set()
        assert self.may_end.wait(10)
        self.at_once -= 1
        if self.error is not None:
            raise self.error
        return [2 * item for item in items]


@pytest.fixture
def service() -> Service:
    return Service()


def ask_together(
    service: Service, batcher: Batcher[int, int], items: Sequence[int]
) -> list[Future[int]]:
    """Ask with the first item, and during its call with the others, a thread for each."""
    with ThreadPoolExecutor(len(items)) as threads:
        answers = [threads.submit(batcher.ask, items[0])]
        assert service.first_began.wait(10)
        answers += [threads.submit(batcher.ask, item) for item in items[1:]]
        waiting = threading.Event()
        while len(batcher._waiting) < len(items) - 1:
            waiting.wait(0.001)
        service.may_end.set()
    return answers


def test_lone_item_is_answered_by_call_of_its_own(service: Service) -> None:
    service.may_end.set()

    assert Batcher(service, size=10).ask(1) == 2
    assert service.calls == [[1]]


def test_items_of_threads_that_wait_share_one_call(service: Service) -> None:
    answers = ask_together(service, Batcher(service, size=10), range(8))

    assert [each.result() for each in answers] == [2 * item for item in range(8)]
    first, others = service.calls
    assert first == [0]
    assert sorted(others) == list(range(1, 8))


def test_call_takes_no_more_items_than_its_size(service: Service) -> None:
    answers = ask_together(service, Batcher(service, size=3), range(8))

    assert [each.result() for each in answers] == [2 * item for item in range(8)]
    assert [len(call) for call in service.calls] == [1, 3, 3, 1]


def test_calls_run_one_at_a_time(service: Service) -> None:
    ask_together(service, Batcher(service, size=2), range(8))

    assert service.most_at_once == 1


def test_failure_is_raised_for_every_item_of_its_call(service: Service) -> None:
    service.error = OSError("down")

    for answer in ask_together(service, Batcher(service, size=10), range(8)):
        with pytest.raises(OSError, match="down"):
            answer.result()
    # A slow failure is waited for twice at most, not once a thread.
    assert len(service.calls) == 2


def test_failure_leaves_next_items_alone(service: Service) -> None:
    service.may_end.set()
    batcher = Batcher(service, size=10)
    service.error = OSError("down")
    with pytest.raises(OSError, match="down"):
        batcher.ask(1)

    service.error = None
    assert batcher.ask(2) == 4
