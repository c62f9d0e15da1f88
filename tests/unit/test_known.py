"""What `make status` reads from a user's items, and how it prints it."""

import json
from typing import Any

import pytest

from invitations.ledger import CLOCK_SKEW_SECONDS as SKEW_OF_THE_FUNCTIONS
from invitations.results import iso as published_iso
from ops.known import CLOCK_SKEW_SECONDS, OpenClaim, known_user
from ops.status import iso, label_rows, request_rows, window_text

ENDS_AT = 1_764_000_000.0


def test_user_without_items_is_unknown() -> None:
    assert known_user([]) is None


def test_user_item_has_window_counts_and_times() -> None:
    item = _user_item(sent_count=2, maybe_sent_count=1, invited_at=[ENDS_AT - 900, ENDS_AT - 300])

    known = known_user([item])

    assert known is not None
    assert (known.window_ends_at, known.sent_count, known.maybe_sent_count) == (ENDS_AT, 2, 1)
    assert known.invited_at == [ENDS_AT - 900, ENDS_AT - 300]
    assert known.open_claim is None
    assert dict(label_rows(known, ENDS_AT)) == {
        "window": f"active until {iso(ENDS_AT)}",
        "sent_count": "2",
        "maybe_sent_count": "1",
        "last_invited_at": iso(ENDS_AT - 300),
    }


def test_claim_is_shown_as_an_open_request() -> None:
    claim = {
        "claim_id": {"S": "c1"},
        "claim_request_id": {"S": "r1"},
        "claimed_at": {"N": str(ENDS_AT)},
    }

    known = known_user([_user_item() | claim])

    assert known is not None
    assert known.open_claim == OpenClaim("r1", ENDS_AT)
    assert list(request_rows(known)) == [(iso(ENDS_AT), "open", "claimed", "", "", "r1")]


def test_results_are_shown_with_the_latest_first() -> None:
    items = [
        _request_item("r2", 20),
        _user_item(),
        _request_item("r1", 10),
        _request_item("r3", 30),
    ]

    known = known_user(items)

    assert known is not None
    assert [row[-1] for row in request_rows(known)] == ["r3", "r2", "r1"]


def test_result_is_found_by_its_request() -> None:
    known = known_user([_user_item(), _request_item("r1", 10), _request_item("r2", 20)])

    assert known is not None
    assert known.result_of("r1") == _result("r1")
    assert known.result_of("r3") is None


def test_user_without_a_user_item_has_no_window_and_no_counts() -> None:
    known = known_user([_request_item("r2", 20)])

    assert known is not None
    assert (known.window_ends_at, known.sent_count, known.invited_at) == (None, 0, [])
    assert window_text(known, ENDS_AT) == "none"
    assert dict(label_rows(known, ENDS_AT))["last_invited_at"] == "never"


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (ENDS_AT + CLOCK_SKEW_SECONDS - 0.1, "active until 2025-11-24T16:00:00.000Z"),
        (ENDS_AT + CLOCK_SKEW_SECONDS, "over since 2025-11-24T16:00:00.000Z"),
    ],
)
def test_window_is_active_as_long_as_for_the_functions(now: float, text: str) -> None:
    known = known_user([_user_item()])

    assert known is not None
    assert window_text(known, now) == text


def test_clock_skew_and_time_format_are_those_of_the_functions() -> None:
    assert CLOCK_SKEW_SECONDS == SKEW_OF_THE_FUNCTIONS
    assert iso(ENDS_AT + 0.1234) == published_iso(ENDS_AT + 0.1234)


def _user_item(invited_at: list[float] | None = None, **numbers: float) -> dict[str, Any]:
    return {
        "pk": {"S": "USER#u1"},
        "sk": {"S": "USER"},
        "window_ends_at": {"N": str(ENDS_AT)},
        "invited_at": {"L": [{"N": str(moment)} for moment in invited_at or []]},
        **{name: {"N": str(number)} for name, number in numbers.items()},
    }


def _request_item(request_id: str, ended_at: float) -> dict[str, Any]:
    return {
        "pk": {"S": "USER#u1"},
        "sk": {"S": f"REQUEST#{request_id}"},
        "result": {"S": json.dumps(_result(request_id))},
        "ended_at": {"N": str(ended_at)},
    }


def _result(request_id: str) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "occurred_at": "2026-11-24T10:00:00.000Z",
        "status": "sent",
        "reason": "invited",
        "http_status": 200,
        "attempts": 1,
    }
