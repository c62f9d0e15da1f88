"""The rows of `make tail`."""

import json

import pytest

from ops.tail import row


def test_result_has_its_request_and_its_user() -> None:
    result = {
        "occurred_at": "2026-11-24T10:00:00.000Z",
        "status": "sent",
        "reason": "invited",
        "request_id": "r1",
        "user_id": "u1",
        "sent_count": 1,
    }

    assert row(json.dumps(result)) == ["2026-11-24T10:00:00.000Z", "sent", "invited", "r1", "u1"]


def test_result_without_a_user_has_an_empty_cell() -> None:
    result = {"status": "invalid", "reason": "user_id_missing", "request_id": "r", "user_id": None}

    assert row(json.dumps(result)) == ["", "invalid", "user_id_missing", "r", ""]


def test_sweep_summary_has_its_counts() -> None:
    summary = {
        "occurred_at": "2026-11-24T10:00:00.000Z",
        "status": "swept",
        "reason": "completed",
        "sweep_id": "s1",
        "found": 12,
        "due": 3,
        "queued": 0,
    }

    assert row(json.dumps(summary))[-2:] == ["s1", "found 12, due 3, queued 0"]


@pytest.mark.parametrize("body", ["", "{", "[]", '"text"'])
def test_message_in_another_format_is_printed_unchanged(body: str) -> None:
    assert row(body) == ["", "foreign", "", "", body]
