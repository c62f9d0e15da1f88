"""The API key is replaced while requests flow, and stays in its one header."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local.partoo.control import Answer, ApiKey
from tests.e2e.outside import Outside

_KEY, _NEW_KEY = "e2e-brisk-key", "e2e-key-2"
_CALLS = 5
# Less than the quota's five calls a second.
_PAUSE_SECONDS = 0.3


@pytest.fixture
def stack(brisk_stack: Outside) -> Iterator[Outside]:
    """The stack, whose API afterwards accepts the first key again, and that key alone."""
    yield brisk_stack
    brisk_stack.partoo.set_key(_KEY)
    brisk_stack.put_secret(_KEY)
    brisk_stack.restart_function()
    brisk_stack.reset()


@contextmanager
def _flow(stack: Outside) -> Iterator[dict[str, str]]:
    """Ask for one user after another during the block; yields the users by request id."""
    users: dict[str, str] = {}
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.wait(_PAUSE_SECONDS):
            user = stack.invited_user()
            users[stack.send({"user_id": user})] = user

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield users
    finally:
        stopped.set()
        asking.join()


def test_key_that_is_replaced_and_revoked_while_requests_flow_costs_none(stack: Outside) -> None:
    def more_calls(status: int, count: int = 1) -> None:
        before = len(stack.partoo.calls())
        stack.wait(
            lambda: [each.status for each in stack.partoo.calls()[before:]].count(status) >= count
        )

    with _flow(stack) as users:
        more_calls(200, _CALLS)
        stack.partoo.add_key(ApiKey(_NEW_KEY))
        stack.put_secret(_NEW_KEY)
        stack.partoo.set_key(_NEW_KEY)
        more_calls(401)
        more_calls(200, _CALLS)

    results = stack.results(users)
    assert {result["status"] for result in results.values()} == {"sent"}
    assert {len(stack.partoo.emails(user)) for user in users.values()} == {1}


def test_check_after_a_rotation_uses_the_new_key(stack: Outside) -> None:
    stack.check_key()
    stack.put_secret("mistyped")

    assert stack.check_key()["reason"] == "unauthorized"


def test_key_is_in_no_log_even_when_the_api_repeats_it(stack: Outside) -> None:
    user = stack.invited_user(Answer(status=403, body=f'{{"x-APIKey": "{_KEY}"}}'))
    stack.result(stack.send({"user_id": user}))
    stack.check_key()

    logs = stack.logs()

    assert user in logs
    assert [key for key in (_KEY, _NEW_KEY) if key in logs] == []
