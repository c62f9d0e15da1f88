"""Pauses and the shared quota, as the API sees them."""

import time
from collections.abc import Callable, Iterator
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

import pytest

from local.aws import LocalAws
from local.partoo.control import Answer
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

REQUESTS_PER_MINUTE = 60
_PAUSE_SECONDS = 4
# Long enough for more calls, if they were made.
_WRONG_KEY_SECONDS = 20.0


@pytest.fixture(scope="module")
def narrow_stack(aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    """A stack whose API allows few requests, and counts them."""
    with own_stack(
        aws,
        deployed_template,
        "narrow",
        requests_per_minute=REQUESTS_PER_MINUTE,
        RequestsPerMinute=str(REQUESTS_PER_MINUTE),
    ) as narrow:
        yield narrow


@pytest.mark.parametrize(
    "retry_after",
    [
        pytest.param(lambda: str(_PAUSE_SECONDS), id="seconds"),
        pytest.param(lambda: formatdate(time.time() + 2 * _PAUSE_SECONDS, usegmt=True), id="date"),
    ],
)
def test_429_pauses_every_request_until_retry_after(
    stack: Outside, retry_after: Callable[[], str]
) -> None:
    before = len(stack.partoo.calls())
    wait = retry_after()
    first = stack.invited_user(Answer(status=429, headers={"Retry-After": wait}))
    requests = [stack.send({"user_id": first})]
    refused = stack.partoo.wait_for_calls(1, first, 30)[0]
    requests += [stack.send({"user_id": stack.invited_user()}) for _ in range(9)]

    results = stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    calls = stack.partoo.calls()[before:]
    assert len(calls) == 11
    allowed_at = (
        refused.received_at + _PAUSE_SECONDS
        if wait.isdigit()
        else parsedate_to_datetime(wait).timestamp()
    )
    assert min(call.received_at for call in calls[1:]) >= allowed_at


def test_backlog_leaves_within_the_quota(narrow_stack: Outside) -> None:
    users = [narrow_stack.invited_user() for _ in range(REQUESTS_PER_MINUTE // 2)]
    requests = [narrow_stack.send({"user_id": user}) for user in users]

    results = narrow_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    moments = [call.received_at for call in narrow_stack.partoo.calls()]
    assert len(moments) == len(users)
    # A tenth of a minute's calls in any tenth of it, but for the full bucket that it begins with.
    most = 2 * REQUESTS_PER_MINUTE // 10
    assert all(later - earlier > 6 for earlier, later in zip(moments, moments[most:], strict=False))


def test_event_is_called_before_bulk_that_waits(narrow_stack: Outside) -> None:
    before = len(narrow_stack.partoo.calls())
    bulk = [narrow_stack.invited_user() for _ in range(REQUESTS_PER_MINUTE)]
    narrow_stack.invoke({"user_ids": bulk})
    narrow_stack.wait(lambda: len(narrow_stack.partoo.calls()) > before + 2)

    narrow_stack.result(narrow_stack.send({"user_id": narrow_stack.invited_user()}))

    assert len(narrow_stack.partoo.calls()) - before < len(bulk) // 2


def test_refused_key_is_tried_seldom(narrow_stack: Outside) -> None:
    before = len(narrow_stack.partoo.calls())
    narrow_stack.partoo.set_key("another")
    requests = [narrow_stack.send({"user_id": narrow_stack.invited_user()}) for _ in range(3)]
    time.sleep(_WRONG_KEY_SECONDS)
    tried = narrow_stack.partoo.calls()[before:]
    narrow_stack.put_secret("another")

    results = narrow_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert 1 <= len(tried) <= 3
