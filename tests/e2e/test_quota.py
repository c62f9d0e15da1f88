"""The shared quota, as the API sees it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.aws import LocalAws
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

REQUESTS_PER_MINUTE = 60


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


def test_bulk_leaves_within_the_quota_and_lets_an_event_pass(narrow_stack: Outside) -> None:
    bulk = [narrow_stack.invited_user() for _ in range(REQUESTS_PER_MINUTE // 3)]
    answer = narrow_stack.invoke({"user_ids": bulk})
    narrow_stack.partoo.wait_for_calls(3)
    event = narrow_stack.send({"user_id": narrow_stack.invited_user()})
    narrow_stack.result(event)
    made_before_the_event = len(narrow_stack.partoo.calls())

    results = narrow_stack.results(each["request_id"] for each in answer["results"])

    assert made_before_the_event < len(bulk) // 2 + 3
    assert {result["status"] for result in results.values()} == {"sent"}
    moments = [call.received_at for call in narrow_stack.partoo.calls()]
    assert len(moments) == len(bulk) + 1
    # A tenth of a minute's calls in any tenth of it, but for the full bucket that it begins with.
    most = 2 * REQUESTS_PER_MINUTE // 10
    assert all(later - earlier > 6 for earlier, later in zip(moments, moments[most:], strict=False))
