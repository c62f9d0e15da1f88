"""The window and the quota, as the API measures them."""

from pathlib import Path

from local.aws import LocalAws
from local.partoo.control import Answer
from tests.e2e.conftest import API_TIMEOUT_SECONDS, SHORT_WINDOW_SECONDS, own_stack
from tests.e2e.outside import Outside

# Answers whose outcome is unknown, and the e-mails that the user has got in the end.
_UNKNOWN = (
    (Answer(drop="after"), 2),
    (Answer(drop="before"), 1),
    (Answer(status=200, delay_seconds=API_TIMEOUT_SECONDS + 2), 2),
    (Answer(status=500, email=True), 2),
)


def test_unknown_outcome_is_followed_by_another_call_after_the_window(brisk_stack: Outside) -> None:
    emails = {brisk_stack.invited_user(answer): count for answer, count in _UNKNOWN}
    requests = [brisk_stack.send({"user_id": user}) for user in emails]

    results = brisk_stack.results(requests)

    assert {(each["status"], each["attempts"]) for each in results.values()} == {("sent", 2)}
    assert {user: len(brisk_stack.partoo.emails(user)) for user in emails} == emails
    moments = [[call.received_at for call in brisk_stack.partoo.calls(user)] for user in emails]
    assert min(second - first for first, second in moments) >= SHORT_WINDOW_SECONDS


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
