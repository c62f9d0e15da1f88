"""Input that is no request is refused with a reason, kept, and holds nobody up."""

import json

from tests.e2e.outside import Outside

MALFORMED = {
    "this is not JSON": "malformed_json",
    '{"user_id": "unfinished': "malformed_json",
    "null": "not_an_object",
    "17": "not_an_object",
    '"a string"': "unsupported_shape",
    '[{"user_id": "a"}]': "unsupported_shape",
    '{"user_id": "a", "user_id": "b"}': "duplicate_key",
    '{"userId": "a"}': "field_misspelt",
    '{"user_id": "a", "dry_run": true}': "dry_run_not_supported",
    '["a", "list"]': "not_an_object",
    "{}": "user_id_missing",
    '{"user_id": null}': "user_id_missing",
    '{"id": "misnamed"}': "user_id_missing",
    '{"user_id": ""}': "user_id_empty",
    '{"user_id": "   "}': "user_id_empty",
    '{"user_id": 42}': "user_id_not_a_string",
    '{"user_id": ["a"]}': "user_id_not_a_string",
    json.dumps({"user_id": "x" * 5_000}): "user_id_too_long",
    '{"user_id": "."}': "user_id_dot_segment",
    '{"user_id": ".."}': "user_id_dot_segment",
    '{"user_id": "a\\r\\nx-APIKey: b"}': "user_id_unsafe_character",
    '{"user_id": "\\ud800"}': "user_id_unsafe_character",
    '{"user_id": "a", "on_active_window": "perhaps"}': "on_active_window_unknown",
    '{"user_id": "a", "not_after": "tomorrow"}': "not_after_malformed",
    '{"user_id": "a", "request_id": true}': "request_id_malformed",
    '{"user_id": "a", "correlation_id": {}}': "correlation_id_malformed",
    '{"source": "crm", "detail-type": "user pending", "detail": {}}': "user_id_missing",
    '{"user_ids": []}': "user_ids_malformed",
    '{"user_ids": ["a"], "user_id": "b"}': "user_ids_malformed",
}


def test_malformed_messages_are_refused_kept_and_hold_nobody_up(stack: Outside) -> None:
    refused, good = {}, []
    for body in MALFORMED:
        refused[body] = stack.send(body)
        good.append(stack.send({"user_id": stack.invited_user()}))

    results = stack.results([*refused.values(), *good])

    assert {results[name]["status"] for name in good} == {"sent"}
    assert {results[name]["status"] for name in refused.values()} == {"invalid"}
    assert {body: results[name]["reason"] for body, name in refused.items()} == MALFORMED
    parked = stack.dead_letters(MALFORMED)
    assert {body: parked[body].attributes["reason"] for body in MALFORMED} == MALFORMED


def test_a_malformed_invocation_is_answered_and_kept(stack: Outside) -> None:
    answer = stack.invoke({"user_id": 42, "request_id": "faulty-call"})

    (result,) = answer["results"]
    assert (result["status"], result["reason"]) == ("invalid", "user_id_not_a_string")
    assert stack.result("faulty-call") == result
    stack.dead_letters(['{"user_id": 42, "request_id": "faulty-call"}'])


def test_a_user_id_reaches_the_api_as_one_segment_whatever_its_characters(stack: Outside) -> None:
    user = stack.invited_user_named("../../admin?x=1#y/%2e%2e/é")

    result = stack.result(stack.send({"user_id": user}))

    assert result["status"] == "sent"
    (call,) = stack.partoo.calls(user)
    assert call.path == "/v2/user/..%2F..%2Fadmin%3Fx%3D1%23y%2F%252e%252e%2F%C3%A9/invite"
