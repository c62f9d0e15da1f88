"""The rules of windows, claims and counts, and which result of a request stays.

tests/integration/test_ledger_contract.py holds them against DynamoDB.
"""

import json
from dataclasses import replace

import pytest

from invitations.ledger import Ledger, UserRecord
from invitations.messages import StoredResult
from invitations.results import Reason, Status, request_result
from tests.fakes import HISTORY_DAYS, START, a_request
from tests.memory_table import InMemoryTable

CLAIMED_UNTIL = START + 420
ENDED_AT = START + 1.25
SKEW = 2.0
USER, REQUEST = ("USER#u1", "USER"), ("USER#u1", "REQUEST#r1")

SENT, REJECTED, SKIPPED, FAILED = (
    StoredResult(request_result(a_request(), status, Reason.INVITED, ENDED_AT), ENDED_AT)
    for status in (Status.SENT, Status.REJECTED, Status.SKIPPED, Status.FAILED)
)
CLAIMED = UserRecord().claimed("r1", "claim-1", START, CLAIMED_UNTIL)


def test_window_is_over_by_a_clock_two_seconds_behind() -> None:
    assert CLAIMED.active_window(CLAIMED_UNTIL + SKEW - 0.001) == CLAIMED_UNTIL
    assert CLAIMED.active_window(CLAIMED_UNTIL + SKEW) is None


@pytest.mark.parametrize(
    ("stored", "late", "asked_at", "counts"),
    [
        (SENT, REJECTED, START, SENT),
        (SENT, SKIPPED, ENDED_AT + 1, SENT),
        (REJECTED, SKIPPED, START, REJECTED),
        (SKIPPED, SENT, START, SENT),
        (FAILED, SENT, START, SENT),
        (FAILED, SKIPPED, ENDED_AT, FAILED),
        # The request was redriven.
        (FAILED, SKIPPED, ENDED_AT + 1, SKIPPED),
    ],
)
def test_save_keeps_the_first_result_but_for_a_known_sent_and_a_redriven_request(
    stored: StoredResult, late: StoredResult, asked_at: float, counts: StoredResult
) -> None:
    ledger = Ledger(InMemoryTable(), HISTORY_DAYS, lambda: START)
    ledger.save("u1", stored, START, {})

    assert ledger.save("u1", late, asked_at, {}) == counts
    assert ledger.read_result("u1", "r1")[0] == counts


def test_claim_stays_ended_when_the_result_that_ended_it_is_replaced() -> None:
    ledger = Ledger(InMemoryTable(), HISTORY_DAYS, lambda: START)
    ledger.claim("u1", CLAIMED)
    ledger.save("u1", replace(FAILED, claim_id="claim-1"), START, {})
    user = ledger.read("u1", "r1").user
    assert (user.claim_id, user.window_ends_at) == (None, None)

    ledger.save("u1", SKIPPED, ENDED_AT + 1, {})
    assert ledger.read("u1", "r1").user == user


def test_claim_of_a_redriven_request_stays_open_beside_its_earlier_result() -> None:
    ledger = Ledger(InMemoryTable(), HISTORY_DAYS, lambda: START)
    ledger.save("u1", replace(FAILED, claim_id="claim-0"), START, {})
    ledger.claim("u1", CLAIMED)

    assert ledger.read("u1", "r1").user.claim_id == "claim-1"


def test_claim_of_another_request_stays_open_when_a_result_is_replaced() -> None:
    ledger = Ledger(InMemoryTable(), HISTORY_DAYS, lambda: START)
    ledger.save("u1", replace(FAILED, claim_id="claim-1"), START, {})
    other = ledger.claim("u1", UserRecord().claimed("r2", "claim-2", START, CLAIMED_UNTIL))

    ledger.save("u1", SKIPPED, ENDED_AT + 1, {})
    assert ledger.read("u1", "r1").user == other


def test_items_expire_after_history_days_and_may_have_fields_of_a_newer_version() -> None:
    table = InMemoryTable()
    ledger = Ledger(table, HISTORY_DAYS, lambda: START)
    ledger.claim("u1", CLAIMED)
    ledger.save("u1", SENT, START, {})
    user, request = table.read([USER, REQUEST])
    assert user["expires_at"] == request["expires_at"] == START + HISTORY_DAYS * 86_400

    newer = {**json.loads(request["result"]), "colour": "red", "schema_version": "1.2"}
    table.write(USER, {**user, "colour": ["red", 1.5]}, user)
    table.write(REQUEST, {**request, "result": json.dumps(newer), "colour": 1}, request)
    known = ledger.read("u1", "r1")
    assert known.user.claim_id == "claim-1"
    assert known.stored == replace(SENT, result=replace(SENT.result, schema_version="1.2"))
