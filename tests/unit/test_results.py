"""The one result of each request: what it says, and that its id stays the same."""

import json
from dataclasses import asdict, replace

import pytest

from invitations.messages import Message, RetryState
from invitations.requests import InvalidRequestError, Request
from invitations.results import (
    DETAILS,
    Reason,
    Result,
    Source,
    Status,
    derived_request_id,
    invalid_result,
    iso,
    request_result,
)
from tests.fakes import a_request

NOW = 1_800_000_000.0
STATE = RetryState("r1", Source.SQS, NOW - 60, attempts=2, http_status=200)
REQUEST = a_request(state=STATE, correlation_id="c1")
MESSAGE = Message("m1", "{}", Source.SQS, sent_at=NOW - 1, received_at=NOW)
ERROR = InvalidRequestError(Reason.USER_ID_EMPTY, "user_id is blank.", "r1", Source.SNS)


SENT = request_result(
    REQUEST, Status.SENT, Reason.INVITED, NOW, window_ends_at=NOW + 300, sent_count=3
)


def id_of(status: Status, request: Request = REQUEST) -> str:
    return request_result(request, status, Reason.INVITED, request.state.asked_at).result_id


def test_sent_result_repeats_the_request_and_says_when_window_and_invitation_end() -> None:
    assert asdict(SENT) | {"result_id": "any"} == {
        "result_id": "any",
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


@pytest.mark.parametrize("status", [each for each in Status if each != Status.SENT])
def test_result_without_an_invitation_names_no_expiry(status: Status) -> None:
    result = request_result(REQUEST, status, Reason.NOT_DUE, NOW)

    assert (result.invitation_expires_at, result.window_ends_at) == (None, None)


def test_every_reason_of_a_request_but_the_good_one_has_a_plain_sentence() -> None:
    of_requests = list(Reason)[: list(Reason).index(Reason.MALFORMED_JSON)]

    assert set(of_requests) - set(DETAILS) == {Reason.INVITED}
    assert [each for each in DETAILS.values() if not each.endswith(".")] == []


@pytest.mark.parametrize("status", [each for each in Status if each != Status.FAILED])
def test_result_id_is_the_same_for_the_same_request_user_and_status(status: Status) -> None:
    later = RetryState("r1", Source.SNS, asked_at=NOW + 86_400, attempts=7)

    assert id_of(status, a_request(state=later)) == id_of(status)


def test_result_id_differs_for_another_request_user_or_status() -> None:
    ids = {
        id_of(status, a_request(request_id, user_id))
        for request_id in ("r1", "r2")
        for user_id in ("u1", "u2")
        for status in Status
    }

    assert len(ids) == 4 * len(Status)


@pytest.mark.parametrize("asked_at", [NOW, NOW + 0.123, 1_790_000_000])
def test_failed_result_has_an_id_for_each_life_that_survives_the_retry_state(
    asked_at: float,
) -> None:
    state = replace(STATE, asked_at=asked_at)
    travelled = RetryState.from_json(state.to_json())
    redriven = replace(STATE, asked_at=asked_at + 60)
    first = id_of(Status.FAILED, a_request(state=state))

    assert id_of(Status.FAILED, a_request(state=travelled)) == first
    assert id_of(Status.FAILED, a_request(state=redriven)) != first


def test_result_survives_json_with_fields_of_a_newer_version() -> None:
    text = json.dumps({**json.loads(SENT.to_json()), "colour": {"red": []}})

    assert Result.from_json(SENT.to_json()) == Result.from_json(text) == SENT


def test_failed_and_invalid_results_alone_go_to_the_dead_letter_queue() -> None:
    kept = [each for each in Status if replace(SENT, status=each).goes_to_dead_letter_queue]

    assert kept == [Status.FAILED, Status.INVALID]


def test_invalid_result_says_what_was_wrong_and_names_whom_it_can() -> None:
    error = replace(ERROR, user_id="u1", correlation_id="c1")
    result = invalid_result(MESSAGE, error)

    assert (result.status, result.reason, result.detail) == (
        "invalid",
        "user_id_empty",
        "user_id is blank.",
    )
    assert (result.request_id, result.user_id, result.correlation_id) == ("r1", "u1", "c1")
    assert (result.source, result.attempts, result.http_status) == ("sns", 0, None)


def test_invalid_result_is_the_same_on_every_redelivery() -> None:
    again = replace(MESSAGE, receive_count=3)

    assert invalid_result(again, ERROR) == invalid_result(MESSAGE, ERROR)


def test_two_faulty_messages_with_one_request_id_have_results_of_their_own() -> None:
    one = invalid_result(MESSAGE, ERROR)
    other = invalid_result(replace(MESSAGE, message_id="m2"), ERROR)

    assert one.request_id == other.request_id
    assert one.result_id != other.result_id


def test_request_of_an_order_is_named_after_the_order_and_the_user() -> None:
    pairs: list[tuple[str, object]] = [
        ("order", "u1"),
        ("order", "u2"),
        ("another", "u1"),
        ("order", 1),
    ]
    names = [derived_request_id(*pair) for pair in pairs]

    assert names == [derived_request_id(*pair) for pair in pairs]
    assert len(set(names)) == len(pairs)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOW + 0.25, "2027-01-15T08:00:00.250Z"),
        (NOW + 0.0004, "2027-01-15T08:00:00.000Z"),
    ],
)
def test_time_is_written_in_utc_with_milliseconds(moment: float, text: str) -> None:
    assert iso(moment) == text
