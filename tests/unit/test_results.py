"""The one result of each request: what it says, and that its id stays the same."""

from dataclasses import asdict, replace

from invitations.messages import Message, RetryState
from invitations.requests import InvalidRequestError, Request
from invitations.results import (
    DETAILS,
    Reason,
    Source,
    Status,
    invalid_result,
    request_result,
)
from tests.fakes import START, a_request

STATE = RetryState("r1", Source.SQS, START - 60, attempts=2, http_status=200)
REQUEST = a_request(state=STATE, correlation_id="c1")
MESSAGE = Message("m1", "{}", Source.SQS, sent_at=START - 1, received_at=START)
ERROR = InvalidRequestError(Reason.USER_ID_EMPTY, "user_id is blank.", "r1", Source.SNS, "u1", "c1")
SENT = request_result(
    REQUEST, Status.SENT, Reason.INVITED, START, window_ends_at=START + 300, sent_count=3
)
INVALID = invalid_result(MESSAGE, ERROR)


def id_of(status: Status, request: Request = REQUEST) -> str:
    return request_result(request, status, Reason.INVITED, request.state.asked_at).result_id


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
        "reason": "user_id_empty",
        "detail": "user_id is blank.",
        "http_status": None,
        "attempts": 0,
    }


def test_every_reason_of_a_request_but_the_good_one_has_a_plain_sentence() -> None:
    of_requests = list(Reason)[: list(Reason).index(Reason.MALFORMED_JSON)]

    assert set(of_requests) - set(DETAILS) == {Reason.INVITED}
    assert [each for each in DETAILS.values() if not each.endswith(".")] == []


def test_result_id_is_the_same_for_the_same_request_user_status_and_life_of_a_failure() -> None:
    later = RetryState("r1", Source.SNS, asked_at=START + 86_400, attempts=7)
    requests = [a_request(name, user) for name in ("r1", "r2") for user in ("u1", "u2")]
    travelled = RetryState.from_json(replace(STATE, asked_at=START + 0.123).to_json())
    first = a_request(state=replace(STATE, asked_at=START + 0.123))

    same = [each for each in Status if id_of(each, a_request(state=later)) == id_of(each)]
    assert same == [each for each in Status if each != Status.FAILED]
    assert len({id_of(status, each) for each in requests for status in Status}) == 4 * len(Status)
    assert id_of(Status.FAILED, a_request(state=travelled)) == id_of(Status.FAILED, first)


def test_invalid_result_is_the_same_on_every_redelivery_and_another_for_another_message() -> None:
    other = invalid_result(replace(MESSAGE, message_id="m2"), ERROR)

    assert invalid_result(replace(MESSAGE, receive_count=3), ERROR) == INVALID
    assert (other.request_id, other.result_id != INVALID.result_id) == ("r1", True)
