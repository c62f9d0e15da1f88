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
SENT = StoredResult(
    request_result(
        a_request("r1", USER_ID, correlation_id="zażółć 🎉"), Status.SENT, Reason.INVITED, START
    ),
    START + 1.25,
    "claim-1",
    START + 301.25,
    START + 1.25,
)
REJECTED = replace(SENT, result=replace(SENT.result, status=Status.REJECTED))


@pytest.fixture
def ledger(table: Table) -> Ledger:
    return Ledger(table, 30, lambda: START)


def claim(ledger: Ledger, claim_id: str = "claim-1") -> UserRecord | None:
    """Claim on what the table says now."""
    seen = ledger.read(USER_ID, "r1").user
    return ledger.claim(USER_ID, seen.claimed("r1", claim_id, START + 0.125, START + 420))


def test_user_and_result_are_read_as_they_were_written(ledger: Ledger) -> None:
    claimed = claim(ledger)
    assert claimed is not None
    assert ledger.read(USER_ID, "r1").user == claimed

    ledger.save(USER_ID, SENT, START, {})
    known = ledger.read(USER_ID, "r1")
    assert known.stored == ledger.read_result(USER_ID, "r1")[0] == SENT
    # The result ends its claim, whichever request of the user is asked for.
    assert known.user == ledger.read(USER_ID, "r2").user == claimed.ended(SENT.claim_end)


def test_one_of_twenty_executions_at_once_gets_the_claim(ledger: Ledger) -> None:
    start = threading.Barrier(20)

    def race(number: int) -> UserRecord | None:
        seen = ledger.read(USER_ID, "r1").user
        start.wait(timeout=60)
        return ledger.claim(USER_ID, seen.claimed("r1", f"claim-{number}", START, START + 420))

    with ThreadPoolExecutor(20) as threads:
        claimed = [each for each in threads.map(race, range(20)) if each is not None]
    assert claimed == [ledger.read(USER_ID, "r1").user]


def test_claim_is_ended_once_however_many_end_it(ledger: Ledger) -> None:
    claimed = claim(ledger)
    end = ClaimEnd(START + 300, START, sent=True)

    with ThreadPoolExecutor(20) as threads:
        list(
            threads.map(
                lambda seen: ledger.end_claim(USER_ID, "claim-1", seen, end), [None, claimed] * 10
            )
        )

    user = ledger.read(USER_ID, "r1").user
    assert (user.sent_count, user.invited_at) == (1, (START,))


def test_known_sent_survives_a_race_of_saves(ledger: Ledger) -> None:
    with ThreadPoolExecutor(12) as threads:
        results = [REJECTED, REJECTED, SENT, REJECTED] * 3
        list(threads.map(lambda each: ledger.save(USER_ID, each, START, {}), results))

    assert ledger.read_result(USER_ID, "r1")[0] == SENT
