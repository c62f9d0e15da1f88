"""What becomes of a request for each thing that the API, or the way to it, can do."""

import pytest

from local.partoo.control import Answer
from tests.e2e.conftest import MAX_ATTEMPTS
from tests.e2e.outside import Outside

REJECTIONS = {
    400: "bad_request",
    403: "forbidden",
    404: "user_not_found",
    415: "unsupported_media_type",
    422: "client_error",
}


def test_rejected_request_is_final_after_one_call(stack: Outside) -> None:
    users = {status: stack.invited_user(Answer(status=status)) for status in REJECTIONS}
    requests = {status: stack.send({"user_id": user}) for status, user in users.items()}

    results = stack.results(requests.values())

    found = {status: results[name] for status, name in requests.items()}
    assert {result["status"] for result in found.values()} == {"rejected"}
    assert {status: result["http_status"] for status, result in found.items()} == {
        status: status for status in REJECTIONS
    }
    assert {status: result["reason"] for status, result in found.items()} == REJECTIONS
    assert [len(stack.partoo.calls(user)) for user in users.values()] == [1] * len(users)


def test_rejected_call_releases_the_window(stack: Outside) -> None:
    user = stack.invited_user(Answer(status=403))
    stack.result(stack.send({"user_id": user}))

    result = stack.result(stack.send({"user_id": user}))

    assert result["status"] == "sent"


@pytest.mark.parametrize(
    ("answer", "emails"),
    [
        pytest.param(Answer(drop="after"), 2, id="answer lost after the e-mail"),
        pytest.param(Answer(drop="before"), 1, id="connection lost before the e-mail"),
        pytest.param(Answer(status=200, delay_seconds=3), 2, id="answer too late"),
        pytest.param(Answer(status=500, email=True), 2, id="500 after the e-mail"),
        pytest.param(Answer(status=503, email=False), 1, id="503 and no e-mail"),
        pytest.param(Answer(interim=[102, 103]), 2, id="interim answers before the final one"),
    ],
)
def test_unknown_outcome_is_followed_by_another_call_after_the_window(
    brisk_stack: Outside, answer: Answer, emails: int
) -> None:
    user = brisk_stack.invited_user(answer)

    result = brisk_stack.result(brisk_stack.send({"user_id": user}))

    assert (result["status"], result["attempts"]) == ("sent", 2)
    assert len(brisk_stack.partoo.emails(user)) == emails
    first, second = brisk_stack.partoo.calls(user)
    assert second.received_at - first.received_at >= brisk_stack.window_seconds


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(status=200, body_base64="/////w=="), id="unreadable body"),
        pytest.param(Answer(status=200, body_bytes=5_000_000), id="body of 5 MB"),
        pytest.param(Answer(status=200, body="<html>"), id="body of another kind"),
    ],
)
def test_200_is_sent_whatever_its_body(stack: Outside, answer: Answer) -> None:
    user = stack.invited_user(answer)

    result = stack.result(stack.send({"user_id": user}))

    assert (result["status"], result["attempts"]) == ("sent", 1)
    assert len(stack.partoo.emails(user)) == 1


def test_redirect_is_not_followed(brisk_stack: Outside, stack: Outside) -> None:
    elsewhere = stack.invited_user()
    location = f"{stack.partoo_url}/user/{elsewhere}/invite"
    user = brisk_stack.invited_user(Answer(status=307, headers={"Location": location}))

    result = brisk_stack.result(brisk_stack.send({"user_id": user}))

    assert (result["status"], result["attempts"]) == ("sent", 2)
    assert stack.partoo.calls(elsewhere) == []


def test_429_delays_the_request_until_retry_after(stack: Outside) -> None:
    user = stack.invited_user(Answer(status=429, headers={"Retry-After": "3"}))

    result = stack.result(stack.send({"user_id": user}))

    assert (result["status"], result["attempts"]) == ("sent", 2)
    first, second = stack.partoo.calls(user)
    assert second.received_at - first.received_at >= 3


def test_request_without_a_clear_answer_fails_and_goes_to_the_dead_letter_queue(
    brisk_stack: Outside,
) -> None:
    user = brisk_stack.invited_user(*[Answer(status=500)] * MAX_ATTEMPTS)
    body = f'{{"user_id": "{user}",   "note": "untouched"}}'
    request_id = brisk_stack.send(body)

    result = brisk_stack.result(request_id)

    assert (result["status"], result["reason"]) == ("failed", "attempts_exhausted")
    assert (result["http_status"], result["attempts"]) == (500, MAX_ATTEMPTS)
    parked = brisk_stack.dead_letters([body])[body]
    assert parked.attributes["reason"] == "attempts_exhausted"


def test_request_past_not_after_fails_without_a_call(stack: Outside) -> None:
    user = stack.invited_user()
    body = f'{{"user_id": "{user}", "not_after": "2020-02-20T20:20:20Z"}}'

    result = stack.result(stack.send(body))

    assert (result["status"], result["reason"]) == ("failed", "deadline_passed")
    assert stack.dead_letters([body])[body].attributes["reason"] == "deadline_passed"
    assert stack.partoo.calls(user) == []
