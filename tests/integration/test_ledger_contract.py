"""The ledger holds one claim and one result, over the table of the unit tests and over DynamoDB.

tests/unit/test_ledger.py has the rules.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from invitations.ledger import Ledger, UserRecord
from invitations.messages import ClaimEnd, StoredResult
from invitations.results import Reason, Status, request_result
from invitations.table import Table
from tests.fakes import START, a_request

USER_ID = "zażółć"
CLAIMED_UNTIL = START + 420
SENT = StoredResult(
    request_result(a_request("r1", USER_ID, correlation_id="zażółć 🎉"), Reason.INVITED, START),
    START + 1.25,
    "claim-1",
    START + 301.25,
    START + 1.25,
)
REJECTED = replace(SENT, result=replace(SENT.result, status=Status.REJECTED))


@pytest.fixture
def ledger(table: Table) -> Ledger:
    return Ledger(table, 30, lambda: START)


def claim(ledger: Ledger) -> str | None:
    """Claim on what the table says now; return the claim's id."""
    return ledger.claim(USER_ID, ledger.read(USER_ID, "r1").user, "r1", CLAIMED_UNTIL)


def test_user_and_result_are_read_as_they_were_written(ledger: Ledger) -> None:
    claim_id = claim(ledger)
    claimed = ledger.read(USER_ID, "r1").user
    assert claimed == UserRecord(CLAIMED_UNTIL, "r1", claim_id, START)

    sent = replace(SENT, claim_id=claim_id)
    ledger.save(USER_ID, sent, START)
    known = ledger.read(USER_ID, "r1")
    assert known.stored == ledger.read_result(USER_ID, "r1") == sent
    # The result ends its claim, whichever request of the user is asked for.
    assert known.user == ledger.read(USER_ID, "r2").user == claimed.ended(claim_id, sent.claim_end)


def test_one_of_twenty_executions_at_once_gets_the_claim(ledger: Ledger) -> None:
    start = threading.Barrier(20)

    def race(_: int) -> str | None:
        seen = ledger.read(USER_ID, "r1").user
        start.wait(timeout=60)
        return ledger.claim(USER_ID, seen, "r1", CLAIMED_UNTIL)

    with ThreadPoolExecutor(20) as threads:
        claims = [each for each in threads.map(race, range(20)) if each is not None]
    assert claims == [ledger.read(USER_ID, "r1").user.claim_id]


def test_claim_is_ended_once_however_many_end_it(ledger: Ledger) -> None:
    claim_id = claim(ledger)
    end = ClaimEnd(START + 300, START, sent=True)

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: ledger.end_claim(USER_ID, claim_id, end), range(20)))

    user = ledger.read(USER_ID, "r1").user
    assert (user.sent_count, user.invited_at) == (1, (START,))


def test_known_sent_survives_a_race_of_saves(ledger: Ledger) -> None:
    with ThreadPoolExecutor(12) as threads:
        results = [REJECTED, REJECTED, SENT, REJECTED] * 3
        list(threads.map(lambda each: ledger.save(USER_ID, each, START), results))

    assert ledger.read_result(USER_ID, "r1") == SENT
