"""The retry state on its way, and how long a message may wait."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from invitations.messages import (
    MAX_DELAY_SECONDS,
    Message,
    RetryState,
    StoredResult,
    SweepCriteria,
    delay_seconds,
)
from invitations.outcomes import Cause, Email, Outcome
from invitations.results import Reason, Source, Status, request_result
from tests.fakes import a_request

NOW = 1_800_000_000.25
RESULT = request_result(a_request(), Status.SENT, Reason.INVITED, NOW, sent_count=2)
STATE = RetryState(
    request_id="r1",
    source=Source.SWEEP,
    asked_at=NOW,
    wait_until=NOW + 60,
    cause=Cause.QUOTA,
    has_appointment=True,
    failures=4,
    attempts=3,
    counted_attempts=2,
    unknown_outcomes=1,
    http_status=503,
    criteria=SweepCriteria(max_invites=3, min_age_seconds=259_200.5),
    unsaved=StoredResult(RESULT, NOW, "claim-1", NOW + 300, NOW),
)
UNREADABLE = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)


def changed(*path: str, value: Any) -> str:
    """The state as JSON with another value somewhere in it."""
    document = json.loads(STATE.to_json())
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    "state",
    [
        STATE,
        RetryState("r1", Source.SQS, NOW),
        replace(STATE, unsaved=StoredResult(RESULT, NOW)),
        replace(STATE, criteria=None, unsaved=None),
    ],
)
def test_retry_state_survives_its_way_as_json(state: RetryState) -> None:
    assert RetryState.from_json(state.to_json()) == state


def test_retry_state_with_little_known_is_short() -> None:
    assert "null" not in RetryState("r1", Source.SQS, NOW).to_json()


@pytest.mark.parametrize("path", [("new",), ("criteria", "new"), ("unsaved", "new")])
def test_field_of_a_newer_version_is_left_out(path: tuple[str, ...]) -> None:
    assert RetryState.from_json(changed(*path, value={"a": None})) == STATE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "7",
        "[" * 100_000,
        '{"source": "sqs", "asked_at": 1}',
        STATE.to_json().replace(str(NOW), "NaN"),
        STATE.to_json().replace(str(NOW), "-Infinity"),
        changed("criteria", value="x"),
        changed("unsaved", value={}),
        changed("unsaved", "result", value=None),
        changed("unsaved", "result", value="{}"),
    ],
)
def test_text_that_is_no_state_is_unreadable(text: str) -> None:
    with pytest.raises(UNREADABLE):
        RetryState.from_json(text)


@pytest.mark.parametrize(
    ("outcome", "counted", "unknown"),
    [
        (Outcome(Email.YES, 200, counts=True), 3, 1),
        (Outcome(Email.NO, 401), 2, 1),
        (Outcome(Email.NO, 302, counts=True), 3, 1),
        (Outcome(Email.UNKNOWN, 500, counts=True), 3, 2),
        # No status of an earlier call is left.
        (Outcome(Email.UNKNOWN, counts=True), 3, 2),
    ],
)
def test_call_is_counted_as_its_outcome_says(outcome: Outcome, counted: int, unknown: int) -> None:
    after = STATE.with_call(outcome)

    assert (after.attempts, after.counted_attempts, after.unknown_outcomes) == (4, counted, unknown)
    assert after.http_status == outcome.http_status


def test_request_was_asked_for_when_its_first_message_was_sent() -> None:
    first = Message("m1", "{}", Source.SQS, sent_at=NOW, received_at=NOW + 1)
    copy = replace(first, sent_at=NOW + 900, retry_state=STATE)

    assert (first.asked_at, copy.asked_at) == (NOW, NOW)


@pytest.mark.parametrize(
    ("status", "asked_at", "answers"),
    [
        (Status.SENT, NOW + 1, True),
        (Status.REJECTED, NOW + 1, True),
        (Status.FAILED, NOW - 1, True),
        (Status.FAILED, NOW, True),
        (Status.FAILED, NOW + 1, False),
    ],
)
def test_failed_result_does_not_answer_a_request_that_was_asked_for_after_it(
    status: Status, asked_at: float, answers: bool
) -> None:
    assert StoredResult(replace(RESULT, status=status), NOW).answers(asked_at) is answers


@pytest.mark.parametrize(
    ("wait", "delay"), [(-5, 0), (0, 0), (0.1, 1), (59.9, 60), (899.5, 900), (900, 900)]
)
def test_wait_within_the_longest_delay_is_rounded_up_to_seconds(wait: float, delay: int) -> None:
    assert delay_seconds(wait, random.Random(1)) == delay


@pytest.mark.parametrize("wait", [900.1, 5_000, 1e9])
def test_longer_wait_is_made_of_hops_of_different_length(wait: float) -> None:
    rng = random.Random(1)
    hops = [delay_seconds(wait, rng) for _ in range(200)]

    assert 600 <= min(hops) < 650
    assert 850 < max(hops) <= MAX_DELAY_SECONDS
