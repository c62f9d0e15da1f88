"""The retry state on its way, and how long a message may wait."""

import json
import math
import random
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invitations.messages import (
    MAX_DELAY_SECONDS,
    Ending,
    Message,
    RetryState,
    SweepCriteria,
    delay_seconds,
)
from invitations.outcomes import Cause, Email, Outcome
from invitations.results import Reason, Result, Source, Status

NOW = 1_800_000_000.25
RESULT = Result(
    result_id="0f0a",
    request_id="r1",
    user_id="u1",
    correlation_id=None,
    source=Source.SWEEP,
    status=Status.SENT,
    reason=Reason.INVITED,
    detail=None,
    http_status=200,
    attempts=3,
    occurred_at="2027-01-15T08:00:00.000Z",
    window_ends_at="2027-01-15T08:05:00.000Z",
    sent_count=2,
)
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
    unsaved=Ending(RESULT, NOW, "claim-1", NOW + 300, NOW),
)
UNREADABLE = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)
HUGE = 10**400


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
        replace(STATE, unsaved=Ending(RESULT, NOW)),
        replace(STATE, criteria=None, unsaved=None),
    ],
)
def test_retry_state_survives_its_way_as_json(state: RetryState) -> None:
    assert RetryState.from_json(state.to_json()) == state


def test_retry_state_with_little_known_is_short() -> None:
    assert "null" not in RetryState("r1", Source.SQS, NOW).to_json()


@pytest.mark.parametrize(
    "path", [("new",), ("criteria", "new"), ("unsaved", "new"), ("unsaved", "result", "new")]
)
@pytest.mark.parametrize("value", [1, "x", None, [1], {"a": None}])
def test_field_of_a_newer_version_is_left_out(path: tuple[str, ...], value: object) -> None:
    assert RetryState.from_json(changed(*path, value=value)) == STATE


@pytest.mark.parametrize(
    "name", ["asked_at", "wait_until", "failures", "attempts", "http_status", "counted_attempts"]
)
@pytest.mark.parametrize(
    "value", [pytest.param(HUGE, id="huge"), float("nan"), float("inf"), "soon", [], {}]
)
def test_number_that_cannot_be_calculated_with_is_unreadable(name: str, value: object) -> None:
    with pytest.raises(UNREADABLE):
        RetryState.from_json(changed(name, value=value))


def test_number_beyond_a_float_is_unreadable() -> None:
    with pytest.raises(UNREADABLE):
        RetryState.from_json(STATE.to_json().replace(str(NOW), "1e999"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("request_id",), 7),
        (("request_id",), None),
        (("source",), None),
        (("source",), []),
        (("cause",), 7),
        (("has_appointment",), "yes"),
        (("criteria",), "x"),
        (("criteria",), []),
        (("criteria", "max_invites"), "3"),
        (("criteria", "max_invites"), None),
        pytest.param(("criteria", "min_age_seconds"), HUGE, id="huge age"),
        (("unsaved",), "x"),
        (("unsaved",), {}),
        (("unsaved", "ended_at"), "now"),
        (("unsaved", "ended_at"), float("inf")),
        pytest.param(("unsaved", "window_ends_at"), HUGE, id="huge window"),
        (("unsaved", "claim_id"), 7),
        (("unsaved", "result"), None),
        (("unsaved", "result"), {}),
        (("unsaved", "result", "status"), None),
        (("unsaved", "result", "attempts"), "3"),
    ],
)
def test_value_of_the_wrong_type_is_unreadable(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(UNREADABLE):
        RetryState.from_json(changed(*path, value=value))


@pytest.mark.parametrize("name", ["request_id", "source", "asked_at"])
def test_state_without_a_field_that_it_needs_is_unreadable(name: str) -> None:
    document = json.loads(STATE.to_json())
    del document[name]

    with pytest.raises(UNREADABLE):
        RetryState.from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"x"', "7", "{}", "[" * 100_000])
def test_text_that_is_no_state_is_unreadable(text: str) -> None:
    with pytest.raises(UNREADABLE):
        RetryState.from_json(text)


any_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.sampled_from(list(asdict(STATE))), any_json)
def test_any_state_that_is_read_can_be_calculated_with_and_written(name: str, value: Any) -> None:
    try:
        state = RetryState.from_json(changed(name, value=value))
    except UNREADABLE:
        return
    counts = state.attempts + state.failures + state.counted_attempts + state.unknown_outcomes
    assert math.isfinite(state.asked_at + state.wait_until + counts)
    assert RetryState.from_json(state.to_json()) == state


@pytest.mark.parametrize(
    ("outcome", "counted", "unknown"),
    [
        (Outcome(Email.YES, 200, counts=True), 3, 1),
        (Outcome(Email.NO, 401), 2, 1),
        (Outcome(Email.NO, 302, counts=True), 3, 1),
        (Outcome(Email.UNKNOWN, 500, counts=True), 3, 2),
    ],
)
def test_call_is_counted_as_its_outcome_says(outcome: Outcome, counted: int, unknown: int) -> None:
    after = STATE.counting(outcome)

    assert (after.attempts, after.counted_attempts, after.unknown_outcomes) == (4, counted, unknown)
    assert after.http_status == outcome.http_status


def test_call_without_an_answer_leaves_no_status_of_an_earlier_one() -> None:
    assert STATE.counting(Outcome(Email.UNKNOWN, counts=True)).http_status is None


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
    assert Ending(replace(RESULT, status=status), NOW).answers(asked_at) is answers


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
