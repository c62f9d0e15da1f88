"""The retry state on its way, and how long a message may wait."""

import json
import random

import pytest

from invitations.messages import (
    RetryState,
    StoredResult,
    backoff_seconds,
    delay_seconds,
)
from invitations.outcomes import Cause
from invitations.results import Reason, request_result
from tests.fakes import a_request

NOW = 1_800_000_000.25
RESULT = request_result(a_request(), Reason.INVITED, NOW, sent_count=2)
NEW = RetryState(NOW)
STATE = RetryState(
    asked_at=NOW,
    wait_until=NOW + 60,
    cause=Cause.QUOTA,
    has_appointment=True,
    failures=4,
    attempts=3,
    counted_attempts=2,
    unknown_outcomes=1,
    http_status=503,
    max_invites=3,
    min_age_seconds=259_200.5,
    unsaved=StoredResult(RESULT, NOW, "claim-1", NOW + 300, NOW),
)


def test_retry_state_survives_its_way_as_json_also_with_fields_of_a_newer_version() -> None:
    document = json.loads(STATE.to_json())
    for each in (document, document["unsaved"]):
        each["new"] = {"a": None}

    assert RetryState.from_json(NEW.to_json()) == NEW
    assert RetryState.from_json(json.dumps(document)) == STATE


@pytest.mark.parametrize(
    ("seconds", "least", "most"),
    [
        *[(-5, 0, 0), (0.1, 1, 1), (900, 900, 900)],
        # A longer wait is made of hops of different length.
        (900.1, 600, 900),
    ],
)
def test_wait_is_rounded_up_to_seconds_or_split_into_hops(
    seconds: float, least: int, most: int
) -> None:
    rng = random.Random(1)
    delays = {delay_seconds(seconds, rng) for _ in range(5_000)}

    assert delays == set(range(least, most + 1))


@pytest.mark.parametrize(("failures", "most"), [(0, 5), (3, 40), (10_000, 900)])
def test_backoff_doubles_with_each_failure_up_to_its_limit_with_jitter(
    failures: int, most: float
) -> None:
    rng = random.Random(1)
    waits = [backoff_seconds(failures, 900, rng) for _ in range(200)]

    assert most / 2 <= min(waits) < most * 0.55
    assert most * 0.95 < max(waits) <= most
