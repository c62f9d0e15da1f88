"""The API key is replaced while requests flow, and stays in its one header."""

import time
from collections.abc import Iterator

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


def test_key_that_is_replaced_and_revoked_while_requests_flow_costs_none(stack: Outside) -> None:
    users: dict[str, str] = {}

    def ask_until(status: int, count: int = 1) -> None:
        """Ask for one user after another until so many calls had this answer."""
        before = len(stack.partoo.calls())

        def have_come() -> bool:
            user = stack.invited_user()
            users[stack.send({"user_id": user})] = user
            time.sleep(_PAUSE_SECONDS)
            calls = stack.partoo.calls()[before:]
            return [each.status for each in calls].count(status) >= count

        stack.wait(have_come)

    ask_until(200, _CALLS)
    stack.partoo.add_key(ApiKey(_NEW_KEY))
    stack.put_secret(_NEW_KEY)
    stack.partoo.set_key(_NEW_KEY)
    ask_until(401)
    ask_until(200, _CALLS)

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
