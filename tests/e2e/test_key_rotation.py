"""The key is replaced while requests flow, and each of them sends its one e-mail."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.aws import LocalAws
from local.partoo.control import ApiKey
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

REQUESTS = 200
_REQUESTS_PER_MINUTE = 3_000
_PAUSE_SECONDS = 0.03


@pytest.fixture(scope="module")
def rotating_stack(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack with a quota that lets all requests through in seconds."""
    with own_stack(
        aws,
        deployed_template,
        "rotating",
        api_window_seconds=0,
        requests_per_minute=_REQUESTS_PER_MINUTE,
        RequestsPerMinute=str(_REQUESTS_PER_MINUTE),
    ) as rotating:
        yield rotating


@contextmanager
def _flow(stack: Outside, users: list[str]) -> Iterator[list[str]]:
    """Ask for one user after another, from before the block to after it; yields request ids."""
    requests: list[str] = []

    def ask() -> None:
        for user in users:
            requests.append(stack.send({"user_id": user}))
            time.sleep(_PAUSE_SECONDS)

    asking = threading.Thread(target=ask)
    asking.start()
    stack.wait(lambda: len(_sent(stack, users)) >= REQUESTS // 5)
    yield requests
    assert asking.is_alive(), "the key was not replaced while requests flowed"
    asking.join()


def _sent(stack: Outside, users: list[str]) -> Counter[str]:
    """How many calls of each user the API has taken."""
    wanted = set(users)
    calls = [call for call in stack.partoo.calls() if call.user_id in wanted]
    return Counter(call.user_id for call in calls if call.user_id and call.email_sent)


def _assert_each_was_sent_once(stack: Outside, users: list[str], requests: list[str]) -> None:
    results = stack.results(requests)
    assert Counter(result["status"] for result in results.values()) == {"sent": REQUESTS}
    assert _sent(stack, users) == dict.fromkeys(users, 1)


def test_a_key_that_is_replaced_and_then_revoked_costs_no_request(rotating_stack: Outside) -> None:
    stack = rotating_stack
    users = [stack.invited_user() for _ in range(REQUESTS)]

    with _flow(stack, users) as requests:
        stack.partoo.add_key(ApiKey("e2e-key-2"))
        stack.put_secret("e2e-key-2")
        stack.partoo.revoke_key("e2e-rotating-key")

    _assert_each_was_sent_once(stack, users, requests)
    assert stack.refused_calls()


def test_a_key_that_is_revoked_before_it_is_replaced_costs_no_request(
    rotating_stack: Outside,
) -> None:
    stack = rotating_stack
    users = [stack.invited_user() for _ in range(REQUESTS)]
    before = len(stack.refused_calls())

    with _flow(stack, users) as requests:
        stack.partoo.set_key("e2e-key-3")
        stack.wait(lambda: len(stack.refused_calls()) > before)
        stack.put_secret("e2e-key-3")

    _assert_each_was_sent_once(stack, users, requests)
