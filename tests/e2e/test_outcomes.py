"""What becomes of a request for what the API, or the way to it, can do.

Unit tests show all outcomes, and the adapter's tests all ways in which a call can end.
"""

import json

from local.partoo.control import Answer
from tests.e2e.outside import Outside

_PAUSE_SECONDS = 4
_WITHOUT_ANSWER = (
    Answer(drop="after"),
    Answer(drop="before"),
    Answer(status=200, delay_seconds=3),
    Answer(status=500, email=True),
    Answer(interim=[102, 103]),
)


def test_rejected_request_is_final_after_one_call(stack: Outside) -> None:
    user = stack.invited_user(Answer(status=403))

    result = stack.result(stack.send({"user_id": user}))

    assert (result["status"], result["reason"], result["http_status"]) == (
        "rejected",
        "forbidden",
        403,
    )
    assert len(stack.partoo.calls(user)) == 1


def test_unknown_outcome_is_followed_by_another_call_after_the_window(brisk_stack: Outside) -> None:
    users = [brisk_stack.invited_user(answer) for answer in _WITHOUT_ANSWER]
    requests = brisk_stack.send_together({"user_id": user} for user in users)

    results = brisk_stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    assert {result["attempts"] for result in results.values()} == {2}
    assert [len(brisk_stack.partoo.emails(user)) for user in users] == [2, 1, 2, 2, 2]
    moments = [[call.received_at for call in brisk_stack.partoo.calls(user)] for user in users]
    assert min(second - first for first, second in moments) >= brisk_stack.window_seconds


def test_429_pauses_every_request_until_retry_after(stack: Outside) -> None:
    before = len(stack.partoo.calls())
    first = stack.invited_user(Answer(status=429, headers={"Retry-After": str(_PAUSE_SECONDS)}))
    requests = [stack.send({"user_id": first})]
    refused = stack.partoo.wait_for_calls(1, first, 30)[0]
    requests += [stack.send({"user_id": stack.invited_user()}) for _ in range(9)]

    results = stack.results(requests)

    assert {result["status"] for result in results.values()} == {"sent"}
    calls = stack.partoo.calls()[before:]
    assert len(calls) == 11
    allowed_at = refused.received_at + _PAUSE_SECONDS
    assert min(call.received_at for call in calls[1:]) >= allowed_at


def test_malformed_messages_are_refused_kept_and_hold_nobody_up(stack: Outside) -> None:
    malformed = {
        "this is not JSON": "malformed_json",
        '[{"user_id": "a"}]': "unsupported_shape",
        json.dumps({"user_id": "x" * 5_000}): "user_id_too_long",
        '{"user_id": "\\ud800"}': "user_id_unsafe_character",
        '{"source": "crm", "detail-type": "user pending", "detail": {}}': "user_id_missing",
    }
    refused = dict(zip(malformed, map(stack.send, malformed), strict=True))
    good = stack.send({"user_id": stack.invited_user()})

    results = stack.results([*refused.values(), good])

    assert results[good]["status"] == "sent"
    assert {results[name]["status"] for name in refused.values()} == {"invalid"}
    assert {body: results[name]["reason"] for body, name in refused.items()} == malformed
    dead = stack.dead_letters(malformed)
    assert {body: dead[body].attributes["reason"] for body in malformed} == malformed
