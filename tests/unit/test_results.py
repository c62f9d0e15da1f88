"""The one result of each request: what it says, and that its id stays the same."""

import json
from dataclasses import replace

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

NOW = 1_800_000_000.0
REQUEST = Request("r1", "u1", Source.SQS, correlation_id="c1")
STATE = RetryState("r1", Source.SQS, NOW - 60, attempts=2, http_status=200)
MESSAGE = Message("m1", "{}", Source.SQS, sent_at=NOW - 1, received_at=NOW)
ERROR = InvalidRequestError(Reason.USER_ID_EMPTY, "user_id is blank.", "r1", Source.SNS)


def result_with(
    status: Status,
    request: Request = REQUEST,
    state: RetryState = STATE,
    occurred_at: float = NOW,
) -> Result:
    return request_result(request, state, status, Reason.INVITED, occurred_at)


def sent_result() -> Result:
    return request_result(
        REQUEST, STATE, Status.SENT, Reason.INVITED, NOW, window_ends_at=NOW + 300, sent_count=3
    )


def test_sent_result_says_when_window_and_invitation_end() -> None:
    result = sent_result()

    assert result.occurred_at == "2027-01-15T08:00:00.000Z"
    assert result.window_ends_at == "2027-01-15T08:05:00.000Z"
    assert result.invitation_expires_at == "2027-01-18T08:00:00.000Z"
    assert result.sent_count == 3


def test_result_repeats_what_the_request_brought_and_what_its_calls_came_to() -> None:
    result = sent_result()

    assert (result.request_id, result.user_id) == ("r1", "u1")
    assert (result.correlation_id, result.source) == ("c1", "sqs")
    assert (result.attempts, result.http_status) == (2, 200)
    assert (result.status, result.reason, result.detail) == ("sent", "invited", None)
    assert result.schema_version == "1.1"


@pytest.mark.parametrize("status", [each for each in Status if each != Status.SENT])
def test_result_without_an_invitation_names_no_expiry(status: Status) -> None:
    result = result_with(status)

    assert (result.invitation_expires_at, result.window_ends_at) == (None, None)


@pytest.mark.parametrize("reason", DETAILS)
def test_reason_that_does_not_depend_on_the_input_has_one_plain_sentence(reason: Reason) -> None:
    result = request_result(REQUEST, STATE, Status.SKIPPED, reason, NOW)

    assert result.detail is not None
    assert result.detail.endswith(".")


def test_every_reason_of_a_request_but_the_good_one_has_a_detail() -> None:
    of_requests = list(Reason)[: list(Reason).index(Reason.MALFORMED_JSON)]

    assert set(of_requests) - set(DETAILS) == {Reason.INVITED}


@pytest.mark.parametrize("status", [each for each in Status if each != Status.FAILED])
def test_result_id_is_the_same_for_the_same_request_user_and_status(status: Status) -> None:
    later = result_with(
        status,
        replace(REQUEST, correlation_id=None, source=Source.SNS),
        replace(STATE, asked_at=NOW + 86_400, attempts=7),
        NOW + 86_400,
    )

    assert later.result_id == result_with(status).result_id


def test_result_id_differs_for_another_request_user_or_status() -> None:
    ids = {
        result_with(status, replace(REQUEST, request_id=request_id, user_id=user_id)).result_id
        for request_id in ("r1", "r2")
        for user_id in ("u1", "u2")
        for status in Status
    }

    assert len(ids) == 4 * len(Status)


def test_failed_result_of_a_redriven_request_has_an_id_of_its_own() -> None:
    first = result_with(Status.FAILED)
    again = result_with(Status.FAILED, occurred_at=NOW + 5)
    redriven = result_with(Status.FAILED, state=replace(STATE, asked_at=NOW + 60))

    assert first.result_id == again.result_id
    assert first.result_id != redriven.result_id


@pytest.mark.parametrize("asked_at", [NOW, NOW + 0.123, 1_790_000_000.5, 1_790_000_000])
def test_failed_results_id_survives_the_way_of_the_retry_state(asked_at: float) -> None:
    state = replace(STATE, asked_at=asked_at)
    travelled = RetryState.from_json(state.to_json())

    assert (
        result_with(Status.FAILED, state=state).result_id
        == result_with(Status.FAILED, state=travelled).result_id
    )


def test_result_survives_json() -> None:
    assert Result.from_json(sent_result().to_json()) == sent_result()


def test_fields_of_a_newer_version_are_left_out() -> None:
    text = json.dumps({**json.loads(sent_result().to_json()), "colour": {"red": []}})

    assert Result.from_json(text) == sent_result()


@pytest.mark.parametrize(
    "change", [{"status": None}, {"attempts": "2"}, {"attempts": 10**400}, {"http_status": 2.5}]
)
def test_stored_result_with_a_value_of_the_wrong_type_raises(change: dict[str, object]) -> None:
    with pytest.raises((TypeError, OverflowError)):
        Result.from_json(json.dumps({**json.loads(sent_result().to_json()), **change}))


@pytest.mark.parametrize(
    ("status", "rests"),
    [
        (Status.SENT, False),
        (Status.SKIPPED, False),
        (Status.REJECTED, False),
        (Status.FAILED, True),
        (Status.INVALID, True),
    ],
)
def test_failed_and_invalid_results_alone_go_to_the_dead_letter_queue(
    status: Status, rests: bool
) -> None:
    assert replace(sent_result(), status=status).goes_to_dead_letter_queue is rests


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


def test_request_of_an_order_has_the_same_name_for_the_same_order_and_user() -> None:
    assert derived_request_id("order", "u1") == derived_request_id("order", "u1")


@pytest.mark.parametrize(
    ("order_id", "user_id"), [("order", "u2"), ("another", "u1"), ("order", 1)]
)
def test_request_of_another_order_or_user_has_another_name(order_id: str, user_id: object) -> None:
    assert derived_request_id(order_id, user_id) != derived_request_id("order", "u1")


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
