"""What `make status` reads from a user's items, and how it prints it."""

import json
from typing import Any

import pytest

from invitations.ledger import CLOCK_SKEW_SECONDS as SKEW_OF_THE_FUNCTIONS
from invitations.results import iso as published_iso
from ops.known import CLOCK_SKEW_SECONDS, known_user
from ops.status import iso, label_rows, request_rows, window_text

ENDS_AT = 1_764_000_000.0


def test_user_item_has_window_counts_and_times() -> None:
    item = _user_item(sent_count=2, maybe_sent_count=1, invited_at=[ENDS_AT - 900, ENDS_AT - 300])

    known = known_user([item])

    assert known is not None
    assert dict(label_rows(known, ENDS_AT)) == {
        "window": f"active until {iso(ENDS_AT)}",
        "sent_count": "2",
        "maybe_sent_count": "1",
        "last_invited_at": iso(ENDS_AT - 300),
    }


def test_open_claim_and_results_are_shown_with_the_latest_first() -> None:
    claim = {
        "claim_id": {"S": "c1"},
        "window_request_id": {"S": "r4"},
        "claimed_at": {"N": str(ENDS_AT)},
    }
    items = [_request_item("r2", 20), _user_item() | claim, _request_item("r3", 30)]

    known = known_user(items)

    assert known is not None
    assert [(row[1], row[-1]) for row in request_rows(known)] == [
        ("open", "r4"),
        ("sent", "r3"),
        ("sent", "r2"),
    ]
    assert (known.result_of("r2"), known.result_of("r9")) == (_result("r2"), None)


def test_user_without_a_user_item_has_no_window_and_no_counts() -> None:
    known = known_user([_request_item("r2", 20)])

    assert known is not None
    assert dict(label_rows(known, ENDS_AT)) == {
        "window": "none",
        "sent_count": "0",
        "maybe_sent_count": "0",
        "last_invited_at": "never",
    }


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
