"""The rows of `make tail`."""

import json

import pytest

from local.tail import row


def test_a_result_is_shown_with_its_request_and_its_user() -> None:
    result = {
        "occurred_at": "2026-11-24T10:00:00.000Z",
        "status": "sent",
        "reason": "invited",
        "request_id": "r1",
        "user_id": "u1",
        "sent_count": 1,
    }

    assert row(json.dumps(result)) == ["2026-11-24T10:00:00.000Z", "sent", "invited", "r1", "u1"]


def test_a_result_may_have_no_user() -> None:
    result = {"status": "invalid", "reason": "user_id_missing", "request_id": "r", "user_id": None}

    assert row(json.dumps(result)) == ["", "invalid", "user_id_missing", "r", ""]


def test_a_sweep_is_shown_with_its_counts() -> None:
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
def test_what_others_publish_is_shown_as_it_is(body: str) -> None:
    assert row(body) == ["", "foreign", "", "", body]
