"""The one result of each request: what it says, and that its id stays the same."""

import json
from dataclasses import asdict, replace

import jmespath

from invitations.messages import Message, RetryState
from invitations.requests import Request, read_message
from invitations.results import (
    ENDS,
    Reason,
    Result,
    Source,
    request_result,
)
from tests.fakes import START, a_request

STATE = RetryState(START - 60, attempts=2, http_status=200)
REQUEST = a_request(state=STATE, correlation_id="c1")
BODY = {"user_id": "u1", "request_id": "r1", "correlation_id": "c1", "not_after": "soon"}
MESSAGE = Message("m1", json.dumps(BODY), Source.SNS, RetryState(START))
SENT = request_result(REQUEST, Reason.INVITED, START, window_ends_at=START + 300, sent_count=3)


def invalid(message: Message) -> Result:
    result = read_message(message, jmespath.compile("detail.user_id"))
    assert isinstance(result, Result)
    return result


INVALID = invalid(MESSAGE)


REASONS = (Reason.INVITED, Reason.NOT_DUE, Reason.FORBIDDEN, Reason.DEADLINE_PASSED)
"""One for each status of a request."""


def id_of(reason: Reason, request: Request = REQUEST) -> str:
    return request_result(request, reason, request.state.asked_at).result_id


def test_result_repeats_the_request_and_says_when_window_and_invitation_end() -> None:
    expected = {
        "result_id": SENT.result_id,
        "request_id": "r1",
        "user_id": "u1",
        "correlation_id": "c1",
        "source": "sqs",
        "status": "sent",
        "reason": "invited",
        "detail": None,
        "http_status": 200,
        "attempts": 2,
        "occurred_at": "2027-01-15T08:00:00.000Z",
        "window_ends_at": "2027-01-15T08:05:00.000Z",
        "invitation_expires_at": "2027-01-18T08:00:00.000Z",
        "sent_count": 3,
        "schema_version": "1.1",
    }
    nothing = dict.fromkeys(("window_ends_at", "invitation_expires_at", "sent_count"))

    assert asdict(SENT) == expected
    assert asdict(INVALID) == expected | nothing | {
        "result_id": INVALID.result_id,
        "source": "sns",
        "status": "invalid",
        "reason": "not_after_malformed",
        "detail": INVALID.detail,
        "http_status": None,
        "attempts": 0,
    }


def test_every_reason_of_a_request_but_the_good_one_has_a_plain_sentence() -> None:
    of_requests = list(Reason)[: list(Reason).index(Reason.MALFORMED_JSON)]

    assert list(ENDS) == of_requests
    assert [each for _, each in ENDS.values() if each and not each.endswith(".")] == []
    assert [reason for reason, (_, detail) in ENDS.items() if not detail] == [Reason.INVITED]


def test_result_id_is_the_same_for_the_same_request_user_status_and_life_of_a_failure() -> None:
    later = RetryState(asked_at=START + 86_400, attempts=7)
    requests = [a_request(name, user) for name in ("r1", "r2") for user in ("u1", "u2")]
    travelled = RetryState.from_json(replace(STATE, asked_at=START + 0.123).to_json())
    first = a_request(state=replace(STATE, asked_at=START + 0.123))

    same = [each for each in REASONS if id_of(each, a_request(state=later)) == id_of(each)]
    assert same == [each for each in REASONS if each != Reason.DEADLINE_PASSED]
    assert len({id_of(reason, each) for each in requests for reason in REASONS}) == 4 * 4
    failed = Reason.DEADLINE_PASSED
    assert id_of(failed, a_request(state=travelled)) == id_of(failed, first)


def test_invalid_result_is_the_same_on_every_redelivery_and_another_for_another_message() -> None:
    other = invalid(replace(MESSAGE, message_id="m2"))

    assert invalid(replace(MESSAGE, receive_count=3)) == INVALID
    assert (other.request_id, other.result_id != INVALID.result_id) == ("r1", True)
