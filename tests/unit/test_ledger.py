"""The rules of windows, claims and counts, and which result of a request stays.

tests/integration/test_ledger_contract.py holds them against DynamoDB.
"""

import json
from dataclasses import replace

import pytest

from invitations.errors import TableUnavailableError
from invitations.ledger import Ledger, UserRecord
from invitations.messages import ClaimEnd, StoredResult
from invitations.results import Reason, Status, request_result
from invitations.table import ConflictError, Item, Key
from tests.fakes import HISTORY_DAYS, START, a_request
from tests.memory_table import InMemoryTable

CLAIMED_UNTIL = START + 420
ENDED_AT = START + 1.25
SKEW = 2.0
USER = ("USER#u1", "USER")
REQUEST = ("USER#u1", "REQUEST#r1")

FREED = ClaimEnd()
EMAIL = ClaimEnd(ENDED_AT + 300, ENDED_AT, sent=True)
NO_ANSWER = ClaimEnd(ENDED_AT + 360, ENDED_AT)


def stored_result(status: Status, reason: Reason) -> StoredResult:
    return StoredResult(request_result(a_request(), status, reason, ENDED_AT), ENDED_AT)


SENT = stored_result(Status.SENT, Reason.INVITED)
REJECTED = stored_result(Status.REJECTED, Reason.FORBIDDEN)
SKIPPED = stored_result(Status.SKIPPED, Reason.WINDOW_ACTIVE)
FAILED = stored_result(Status.FAILED, Reason.DEADLINE_PASSED)
CLAIMED = UserRecord().claimed("r1", "claim-1", START, CLAIMED_UNTIL)


@pytest.fixture
def table() -> InMemoryTable:
    return InMemoryTable()


@pytest.fixture
def ledger(table: InMemoryTable) -> Ledger:
    return Ledger(table, HISTORY_DAYS, lambda: START)


def user_of(ledger: Ledger) -> UserRecord:
    return ledger.read("u1", "none").user


def claim(ledger: Ledger, request_id: str = "r1", claim_id: str = "claim-1") -> UserRecord:
    """Claim on what the table says now."""
    seen = user_of(ledger)
    claimed = ledger.claim("u1", seen.claimed(request_id, claim_id, START, CLAIMED_UNTIL))
    assert claimed is not None
    return claimed


def test_claim_holds_the_window_for_its_request() -> None:
    assert (CLAIMED.has_claim_of("r1"), CLAIMED.has_claim_of("r2")) == (True, False)
    assert not CLAIMED.ended(EMAIL).has_claim_of("r1")


@pytest.mark.parametrize(
    ("now", "ends_at"),
    [(CLAIMED_UNTIL + SKEW - 0.001, CLAIMED_UNTIL), (CLAIMED_UNTIL + SKEW, None)],
)
def test_window_is_over_by_a_clock_two_seconds_behind(now: float, ends_at: float | None) -> None:
    assert CLAIMED.active_window(now) == ends_at


@pytest.mark.parametrize(
    ("end", "sent_count", "maybe_sent_count", "invited_at"),
    [(FREED, 0, 0, ()), (EMAIL, 1, 0, (ENDED_AT,)), (NO_ANSWER, 0, 1, (ENDED_AT,))],
)
def test_end_of_claim_sets_the_window_and_counts_what_may_have_been_sent(
    end: ClaimEnd, sent_count: int, maybe_sent_count: int, invited_at: tuple[float, ...]
) -> None:
    user = CLAIMED.ended(end)

    assert (user.claim_id, user.claimed_at, user.window_request_id) == (None, None, "r1")
    assert user.window_ends_at == end.window_ends_at
    assert (user.sent_count, user.maybe_sent_count) == (sent_count, maybe_sent_count)
    assert user.invited_at == invited_at


def test_claim_that_nobody_ended_is_counted_by_the_next() -> None:
    later = CLAIMED.claimed("r2", "claim-2", START + 1_000, START + 1_420)

    assert (later.claim_id, later.window_ends_at) == ("claim-2", START + 1_420)
    assert (later.sent_count, later.maybe_sent_count, later.invited_at) == (0, 1, (START,))


def test_hundred_latest_times_are_kept() -> None:
    invited_at = tuple(START + number for number in range(100))
    user = replace(CLAIMED, invited_at=invited_at).ended(ClaimEnd(None, START + 100, sent=True))

    assert (len(user.invited_at), user.invited_at[0], user.invited_at[-1]) == (
        100,
        START + 1,
        START + 100,
    )


@pytest.mark.parametrize(
    ("user", "now", "look_again_at"),
    [
        # During a call: when the call has ended.
        (CLAIMED, START + 21.9, START + 22),
        (CLAIMED, START + 22, CLAIMED_UNTIL + SKEW),
        (CLAIMED.ended(EMAIL), START + 2, ENDED_AT + 300 + SKEW),
    ],
)
def test_request_that_finds_the_window_active_looks_again_after_call_or_window(
    user: UserRecord, now: float, look_again_at: float
) -> None:
    assert user.look_again_at(now, call_seconds=22) == look_again_at


def test_claim_on_a_record_that_was_claimed_and_freed_since_is_refused(ledger: Ledger) -> None:
    seen = user_of(ledger)
    ledger.end_claim("u1", "claim-1", claim(ledger), FREED)

    assert ledger.claim("u1", seen.claimed("r2", "claim-2", START, CLAIMED_UNTIL)) is None


def test_claim_is_ended_by_an_execution_that_has_not_read_it(ledger: Ledger) -> None:
    claim(ledger)
    ledger.end_claim("u1", "claim-1", None, EMAIL)

    assert (user_of(ledger).claim_id, user_of(ledger).sent_count) == (None, 1)


@pytest.mark.parametrize("reads", [True, False])
def test_claim_of_another_execution_is_not_ended(ledger: Ledger, reads: bool) -> None:
    old = claim(ledger)
    later = claim(ledger, "r2", "claim-2")
    ledger.end_claim("u1", "claim-1", None if reads else old, EMAIL)

    assert user_of(ledger) == later


@pytest.mark.parametrize(
    ("stored", "late", "asked_at", "counts"),
    [
        (SENT, REJECTED, START, SENT),
        (SENT, FAILED, START, SENT),
        (SENT, SKIPPED, ENDED_AT + 1, SENT),
        (REJECTED, SKIPPED, START, REJECTED),
        (SKIPPED, REJECTED, START, SKIPPED),
        (SKIPPED, SENT, START, SENT),
        (FAILED, SENT, START, SENT),
        (FAILED, SKIPPED, ENDED_AT, FAILED),
        # The request was redriven.
        (FAILED, SKIPPED, ENDED_AT + 1, SKIPPED),
    ],
)
@pytest.mark.parametrize("reads", [True, False])
def test_save_keeps_the_first_result_but_for_a_known_sent_and_a_redriven_request(
    ledger: Ledger,
    stored: StoredResult,
    late: StoredResult,
    asked_at: float,
    counts: StoredResult,
    reads: bool,
) -> None:
    ledger.save("u1", stored, START, {})
    seen = ledger.read_result("u1", "r1")[1] if reads else {}

    assert ledger.save("u1", late, asked_at, seen) == counts
    assert ledger.read_result("u1", "r1")[0] == counts


def test_users_and_requests_are_read_in_their_order(ledger: Ledger) -> None:
    ledger.save("u1", SENT, START, {})
    claim(ledger)
    known = ledger.read_many([("u2", "r1"), ("u1", "r2"), ("u1", "r1")])

    assert [each.stored for each in known] == [None, None, SENT]
    assert [each.user.claim_id for each in known] == [None, "claim-1", "claim-1"]


def test_items_expire_after_history_days(ledger: Ledger, table: InMemoryTable) -> None:
    claim(ledger)
    ledger.save("u1", SENT, START, {})

    user, request = table.read([USER, REQUEST])
    assert user["expires_at"] == request["expires_at"] == START + HISTORY_DAYS * 86_400


def test_items_of_a_newer_version_are_read(ledger: Ledger, table: InMemoryTable) -> None:
    claim(ledger)
    ledger.save("u1", SENT, START, {})
    user, request = table.read([USER, REQUEST])
    newer = {**json.loads(request["result"]), "colour": "red", "schema_version": "1.2"}
    table.write(USER, {**user, "colour": ["red", 1.5]}, user)
    table.write(REQUEST, {**request, "result": json.dumps(newer), "colour": 1}, request)
    known = ledger.read("u1", "r1")

    assert known.user.claim_id == "claim-1"
    assert known.stored is not None
    assert known.stored.result == replace(SENT.result, schema_version="1.2")


class ContendedTable(InMemoryTable):
    """Another execution changes each item before each write."""

    def write(self, key: Key, item: Item, seen: Item) -> Item:
        raise ConflictError({})


def test_conflicts_without_end_are_an_outage_of_the_table() -> None:
    ledger = Ledger(ContendedTable(), HISTORY_DAYS, lambda: START)

    with pytest.raises(TableUnavailableError, match="all the time"):
        ledger.save("u1", SENT, START, {})


def test_claim_that_another_execution_has_replaced_meanwhile_is_left_alone() -> None:
    ledger = Ledger(ContendedTable(), HISTORY_DAYS, lambda: START)

    ledger.end_claim("u1", "claim-1", CLAIMED, EMAIL)
