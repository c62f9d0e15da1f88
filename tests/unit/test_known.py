"""What a user's items say, and how `make status` shows it."""

import json
from typing import Any

import pytest

from invitations.models import CLOCK_SKEW_SECONDS
from invitations.models import iso as published_iso
from local.known import WINDOW_LATE_SECONDS, OpenRequest, known_user
from local.status import iso, request_rows, window_text

ENDS_AT = 1_764_000_000.0


def test_nothing_is_known_of_a_user_without_items() -> None:
    assert known_user([]) is None


def test_a_record_has_the_window_the_count_and_the_latest_result() -> None:
    known = known_user([_record(sent_count=2, last_sent_at=ENDS_AT - 300, result=_result("r1"))])

    assert known is not None
    assert (known.window_ends_at, known.sent_count) == (ENDS_AT, 2)
    assert (known.last_sent_at, known.latest) == (ENDS_AT - 300, _result("r1"))
    assert known.open_request is None


@pytest.mark.parametrize(
    ("fields", "is_held"), [({"claim_id": {"S": "c1"}}, True), ({}, False)], ids=["held", "waits"]
)
def test_a_request_without_a_result_is_open(fields: dict[str, Any], is_held: bool) -> None:
    known = known_user([_record(attempts=3) | fields])

    assert known is not None
    assert known.open_request == OpenRequest("r1", 3, is_held)
    assert [row[1:3] for row in request_rows(known)] == [
        ("open", "an execution has it" if is_held else "waits on the queue")
    ]


def test_results_come_with_the_newest_first_whichever_called_the_api_last() -> None:
    items = [_filed("r2", "2026-11-20"), _record(result=_result("r1")), _filed("r3", "2026-11-25")]

    known = known_user(items)

    assert known is not None
    assert [row[-1] for row in request_rows(known)] == ["r3", "r1", "r2"]


def test_a_request_is_found_among_all_results() -> None:
    known = known_user([_record(result=_result("r1")), _filed("r2", "2026-11-20")])

    assert known is not None
    assert known.result_of("r1") == _result("r1")
    assert known.result_of("r2") == _result("r2", "2026-11-20")
    assert known.result_of("r3") is None


def test_an_earlier_request_alone_is_something_that_is_known() -> None:
    known = known_user([_filed("r2", "2026-11-20")])

    assert known is not None
    assert (known.window_ends_at, known.sent_count, known.latest) == (None, 0, None)
    assert window_text(known, ENDS_AT) == "none"


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (ENDS_AT + WINDOW_LATE_SECONDS - 0.1, "active until 2025-11-24T16:00:00.000Z"),
        (ENDS_AT + WINDOW_LATE_SECONDS, "over since 2025-11-24T16:00:00.000Z"),
    ],
)
def test_a_window_is_active_for_as_long_as_the_functions_keep_to_it(now: float, text: str) -> None:
    known = known_user([_record()])

    assert known is not None
    assert window_text(known, now) == text


def test_clocks_and_times_are_those_of_the_functions() -> None:
    assert WINDOW_LATE_SECONDS == CLOCK_SKEW_SECONDS
    assert iso(ENDS_AT + 0.1234) == published_iso(ENDS_AT + 0.1234)


def _record(result: dict[str, Any] | None = None, **numbers: float) -> dict[str, Any]:
    item: dict[str, Any] = {
        "pk": {"S": "USER#u1"},
        "sk": {"S": "USER"},
        "request_id": {"S": "r1"},
        "window_ends_at": {"N": str(ENDS_AT)},
        **{name: {"N": str(number)} for name, number in numbers.items()},
    }
    return item if result is None else item | {"result": {"S": json.dumps(result)}}


def _filed(request_id: str, occurred_at: str) -> dict[str, Any]:
    result = json.dumps(_result(request_id, occurred_at))
    return {
        "pk": {"S": "USER#u1"},
        "sk": {"S": f"REQUEST#{request_id}"},
        "result": {"S": result},
    }


def _result(request_id: str, occurred_at: str = "2026-11-24") -> dict[str, Any]:
    return {
        "request_id": request_id,
        "occurred_at": occurred_at,
        "status": "sent",
        "reason": "invited",
        "http_status": 200,
        "attempts": 1,
    }
