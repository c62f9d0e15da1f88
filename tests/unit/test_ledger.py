"""The rules of windows, claims and counts, and which result of a request stays.

tests/integration/test_ledger_contract.py holds them against DynamoDB.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from invitations.ledger import Ledger, UserRecord
from invitations.messages import StoredResult
from invitations.results import Reason, request_result
from invitations.table import Item, Key
from tests.fakes import HISTORY_DAYS, START, a_request
from tests.memory_table import InMemoryTable

CLAIMED_UNTIL = START + 420
ENDED_AT = START + 1.25
SKEW = 2.0
USER, REQUEST = ("USER#u1", "USER"), ("USER#u1", "REQUEST#r1")

SENT, REJECTED, SKIPPED, FAILED = (
    StoredResult(request_result(a_request(), reason, ENDED_AT), ENDED_AT)
    for reason in (
        Reason.INVITED,
        Reason.FORBIDDEN,
        Reason.NOT_DUE,
        Reason.ATTEMPTS_EXHAUSTED,
    )
)


class OnceUnreadable(InMemoryTable):
    """A table with an item, read together with others, that nobody can read."""

    reads = 0

    def read(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item]:
        self.reads += 1
        if self.reads == 1:
            raise TypeError
        return super().read(keys, consistent=consistent)


def test_unreadable_item_fails_no_request_that_is_read_with_it() -> None:
    ledger = Ledger(OnceUnreadable(), HISTORY_DAYS, lambda: START)

    assert ledger.read("u1", "r1") == (UserRecord(), None)


def test_window_is_over_by_a_clock_two_seconds_behind() -> None:
    claimed = UserRecord(CLAIMED_UNTIL)

    assert claimed.active_window(CLAIMED_UNTIL + SKEW - 0.001) == CLAIMED_UNTIL
    assert claimed.active_window(CLAIMED_UNTIL + SKEW) is None


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
    ledger.save("u1", stored, START)

    assert ledger.save("u1", late, asked_at) == counts
    assert ledger.read_result("u1", "r1") == counts


def test_claim_stays_ended_when_the_result_that_ended_it_is_replaced() -> None:
    ledger = Ledger(InMemoryTable(), HISTORY_DAYS, lambda: START)
    claim_id = ledger.claim("u1", UserRecord(), "r1", CLAIMED_UNTIL)
    ledger.save("u1", replace(FAILED, claim_id=claim_id), START)
    user = ledger.read("u1", "r1").user
    assert (user.claim_id, user.window_ends_at) == (None, None)

    ledger.save("u1", SKIPPED, ENDED_AT + 1)
    assert ledger.read("u1", "r1").user == user


def test_claim_of_a_redriven_request_stays_open_beside_its_earlier_result() -> None:
    ledger = Ledger(InMemoryTable(), HISTORY_DAYS, lambda: START)
    ledger.save("u1", replace(FAILED, claim_id="claim-0"), START)
    claim_id = ledger.claim("u1", UserRecord(), "r1", CLAIMED_UNTIL)

    assert ledger.read("u1", "r1").user.claim_id == claim_id


def test_claim_of_another_request_stays_open_when_a_result_is_replaced() -> None:
    ledger = Ledger(InMemoryTable(), HISTORY_DAYS, lambda: START)
    ledger.save("u1", replace(FAILED, claim_id="claim-1"), START)
    claim_id = ledger.claim("u1", UserRecord(), "r2", CLAIMED_UNTIL)

    ledger.save("u1", SKIPPED, ENDED_AT + 1)
    assert ledger.read("u1", "r1").user.claim_id == claim_id


def test_items_expire_after_history_days_and_may_have_fields_of_a_newer_version() -> None:
    table = InMemoryTable()
    ledger = Ledger(table, HISTORY_DAYS, lambda: START)
    claim_id = ledger.claim("u1", UserRecord(), "r1", CLAIMED_UNTIL)
    ledger.save("u1", SENT, START)
    user, request = table.read([USER, REQUEST])
    assert user["expires_at"] == request["expires_at"] == START + HISTORY_DAYS * 86_400

    newer = {**json.loads(request["result"]), "colour": "red", "schema_version": "1.2"}
    table.write(USER, {**user, "colour": ["red", 1.5]}, user)
    table.write(REQUEST, {**request, "result": json.dumps(newer), "colour": 1}, request)
    known = ledger.read("u1", "r1")
    assert known.user.claim_id == claim_id
    assert known.stored == replace(SENT, result=replace(SENT.result, schema_version="1.2"))
