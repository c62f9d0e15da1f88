"""The key goes into one header to the API, and nothing is lost while it is wrong."""

from collections.abc import Iterator

import pytest

from local.partoo.control import Answer
from tests.e2e.outside import Outside

WRONG_KEY = "e2e-brisk-key"
RIGHT_KEY = "e2e-replaced-key-7d1f"


@pytest.fixture
def refused_stack(brisk_stack: Outside) -> Iterator[Outside]:
    """A stack whose key the API no longer accepts."""
    brisk_stack.partoo.set_key(RIGHT_KEY)
    yield brisk_stack
    # A container that has not met the new key would make one more call when it does.
    brisk_stack.restart_function()


def test_requests_wait_for_the_right_key_and_then_are_sent(refused_stack: Outside) -> None:
    users = [refused_stack.invited_user() for _ in range(5)]
    requests = [refused_stack.send({"user_id": user}) for user in users]
    refused_stack.wait(lambda: bool(refused_stack.refused_calls()))

    refused_stack.put_secret(f'{{"api_key": "{RIGHT_KEY}"}}')

    results = refused_stack.results(requests)
    assert {result["status"] for result in results.values()} == {"sent"}
    assert [len(refused_stack.partoo.emails(user)) for user in users] == [1] * len(users)


def test_the_key_is_in_no_log_even_when_the_api_repeats_it(stack: Outside) -> None:
    user = stack.invited_user(Answer(status=403, echo_headers=True))
    stack.result(stack.send({"user_id": user}))

    logs = stack.logs()

    assert user in logs
    assert "e2e-default-key" not in logs
    assert WRONG_KEY not in logs
    assert RIGHT_KEY not in logs


def test_without_a_readable_key_requests_wait_and_no_call_is_made(stack: Outside) -> None:
    user = stack.invited_user()
    stack.put_secret('{"key": "under another name"}')
    stack.restart_function()

    answer = stack.invoke({"user_id": user, "request_id": "no-key"})
    stack.put_secret("e2e-default-key")

    assert answer["results"][0]["reason"] == "key_unavailable"
    assert stack.result("no-key")["status"] == "sent"
    assert len(stack.partoo.calls(user)) == 1
