"""What becomes of a request for what the API, or the way to it, can do.

Unit tests show all outcomes, and the adapter's tests all ways in which a call can end.
"""

import json

from local.partoo.control import Answer
from tests.e2e.conftest import API_TIMEOUT_SECONDS, SHORT_WINDOW_SECONDS
from tests.e2e.outside import Outside
from tests.metrics import points

_PAUSE_SECONDS = 4
# Answers whose outcome is unknown, and the e-mails that the user has got in the end.
_UNKNOWN = (
    (Answer(drop="after"), 2),
    (Answer(drop="before"), 1),
    (Answer(status=200, delay_seconds=API_TIMEOUT_SECONDS + 2), 2),
    (Answer(status=500, email=True), 2),
    (Answer(interim=[102, 103]), 2),
)


def test_unknown_outcome_is_followed_by_another_call_after_the_window(brisk_stack: Outside) -> None:
    emails = {brisk_stack.invited_user(answer): count for answer, count in _UNKNOWN}
    requests = [brisk_stack.send({"user_id": user}) for user in emails]

    results = brisk_stack.results(requests)

    assert {(each["status"], each["attempts"]) for each in results.values()} == {("sent", 2)}
    assert {user: len(brisk_stack.partoo.emails(user)) for user in emails} == emails
    moments = [[call.received_at for call in brisk_stack.partoo.calls(user)] for user in emails]
    assert min(second - first for first, second in moments) >= SHORT_WINDOW_SECONDS


def test_429_pauses_every_request_until_retry_after(stack: Outside) -> None:
    before = len(stack.partoo.calls())
    first = stack.invited_user(Answer(status=429, headers={"Retry-After": str(_PAUSE_SECONDS)}))
    requests = [stack.send({"user_id": first})]
    stack.wait(lambda: bool(stack.partoo.calls(first)))
    requests += [stack.send({"user_id": stack.invited_user()}) for _ in range(9)]

    results = stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    refused, *others = stack.partoo.calls()[before:]
    assert len(others) == 10
    assert min(call.received_at for call in others) >= refused.received_at + _PAUSE_SECONDS


def test_message_that_no_queue_takes_returns_and_is_counted(brisk_stack: Outside) -> None:
    """Neither the dead-letter queue nor the retry queue admits anybody."""
    nobody = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    queues = [brisk_stack.stack.dead_letter_queue_url, brisk_stack.stack.retry_queue_url]
    before = {queue_url: _policy(brisk_stack, queue_url) for queue_url in queues}
    for queue_url in queues:
        _set_policy(brisk_stack, queue_url, json.dumps({"Statement": [nobody]}))

    brisk_stack.send("no JSON")

    brisk_stack.wait(lambda: "MessagesReturned" in _counted(brisk_stack))
    for queue_url, policy in before.items():
        _set_policy(brisk_stack, queue_url, policy)
    # It would come again only after minutes.
    brisk_stack.reset()


def _policy(stack: Outside, queue_url: str) -> str:
    names = ["Policy"]
    answer = stack.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    return str(answer["Attributes"]["Policy"])


def _set_policy(stack: Outside, queue_url: str, policy: str) -> None:
    stack.sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})


def _counted(stack: Outside) -> set[str]:
    written = points(stack.logs().splitlines())
    return {each.name for each in written if each.namespace == stack.stack.name and each.value}
