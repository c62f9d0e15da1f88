"""The shared quota, as the API sees it."""

from pathlib import Path

from local.aws import LocalAws
from tests.e2e.conftest import own_stack


def test_bulk_leaves_within_the_quota_and_lets_an_event_pass(
    aws: LocalAws, deployed_template: Path
) -> None:
    with own_stack(aws, deployed_template, "narrow", RequestsPerMinute="60") as stack:
        bulk = [stack.invited_user() for _ in range(20)]
        answer = stack.invoke({"user_ids": bulk})
        stack.wait(lambda: len(stack.partoo.calls()) >= 3)
        stack.result(stack.send({"user_id": stack.invited_user()}))
        made_before_the_event = len(stack.partoo.calls())

        results = stack.results(each["request_id"] for each in answer["results"])

        assert made_before_the_event < len(bulk)
        assert {result["status"] for result in results.values()} == {"sent"}
        moments = [call.received_at for call in stack.partoo.calls()]
        assert len(moments) == len(bulk) + 1
        # A full bucket has six tokens, and one comes each second.
        assert moments[-1] - moments[0] > len(bulk) - 2 - 6
