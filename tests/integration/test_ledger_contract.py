"""One contract for the ledger, kept by the fake of the unit tests and by the table."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from invitations.adapters.dynamodb import DynamoDbLedger
from invitations.errors import LedgerUnavailableError
from invitations.models import (
    AlreadyAnswered,
    AttemptsBehind,
    Claim,
    ClaimRefusal,
    ConclusionRefusal,
    InProgress,
    Request,
    RequestIdReused,
    Result,
    Source,
    Status,
    Tally,
    WindowActive,
    answer_request,
)
from invitations.ports import Ledger
from local.aws import LocalAws
from local.processes import free_port
from tests.fakes import START, InMemoryLedger

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

WINDOW = 300.0
HOLD_UNTIL = START + 60 + WINDOW
ANSWERED_AT = START + 1
WINDOW_ENDS_AT = ANSWERED_AT + WINDOW
SKEW = 2

FIRST = Claim("claim-1", "r1", "u1")
SECOND = Claim("claim-2", "r2", "u1")
"""Of another request for the same user."""

SENT = answer_request(
    Request("r1", "u1", Source.SQS, correlation_id="zażółć"),
    Status.SENT,
    "invited",
    occurred_at=ANSWERED_AT,
    attempts=1,
    http_status=200,
    window_ends_at=WINDOW_ENDS_AT,
)
REJECTED = replace(SENT, status=Status.REJECTED, reason="user_not_found", window_ends_at=None)
FAILED = replace(REJECTED, status=Status.FAILED, reason="attempts_exhausted", result_id="failed")


@dataclass(frozen=True)
class Bench:
    """A ledger, and the steps of an execution with what mostly does not matter filled in."""

    ledger: Ledger
    sent: Callable[[str], tuple[int, float | None]]
    """How often a user was invited, and when last."""

    def claim(
        self,
        claim: Claim = FIRST,
        *,
        life_id: str = "life-1",
        attempts: int = 0,
        now: float = START,
        hold_until: float = HOLD_UNTIL,
    ) -> ClaimRefusal | None:
        return self.ledger.claim(
            claim, life_id=life_id, tally=Tally(attempts), now=now, hold_until=hold_until
        )

    def finish(
        self,
        result: Result = SENT,
        claim: Claim = FIRST,
        *,
        answered_at: float = ANSWERED_AT,
        window_ends_at: float | None = WINDOW_ENDS_AT,
    ) -> Result:
        return self.ledger.finish(
            claim,
            result,
            life_id="life-1",
            answered_at=answered_at,
            window_ends_at=window_ends_at,
        )

    def conclude(
        self,
        result: Result = FAILED,
        user_id: str = "u1",
        *,
        life_id: str = "life-1",
        now: float = START,
    ) -> ConclusionRefusal | None:
        return self.ledger.conclude(result, user_id, life_id=life_id, now=now)


def create_table(aws: LocalAws, name: str) -> "DynamoDBClient":
    client: DynamoDBClient = aws.client("dynamodb")
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    return client


@pytest.fixture
def in_memory() -> Bench:
    ledger = InMemoryLedger()

    def sent(user_id: str) -> tuple[int, float | None]:
        user = ledger.users[user_id]
        return user.sent_count, user.last_sent_at

    return Bench(ledger, sent)


@pytest.fixture
def dynamodb(aws: LocalAws, name: str) -> Bench:
    client = create_table(aws, name)

    def sent(user_id: str) -> tuple[int, float | None]:
        item = client.get_item(TableName=name, Key={"pk": {"S": f"USER#{user_id}"}})["Item"]
        return int(item["sent_count"]["N"]), float(item["last_sent_at"]["N"])

    return Bench(DynamoDbLedger(client, name, history_days=90), sent)


@pytest.fixture(params=["in_memory", "dynamodb"])
def bench(request: pytest.FixtureRequest) -> Bench:
    bench: Bench = request.getfixturevalue(request.param)
    return bench


class TestClaim:
    def test_takes_the_window_of_a_user_never_seen(self, bench: Bench) -> None:
        assert bench.claim() is None

    def test_leaves_other_users_alone(self, bench: Bench) -> None:
        bench.claim()

        assert bench.claim(Claim("claim-2", "r2", "u2")) is None

    def test_is_refused_while_another_request_holds_the_window(self, bench: Bench) -> None:
        bench.claim()

        assert bench.claim(SECOND) == WindowActive(HOLD_UNTIL)

    def test_refused_leaves_no_trace_of_the_request(self, bench: Bench) -> None:
        bench.claim()
        bench.claim(SECOND)
        bench.ledger.release(FIRST, tally=Tally(1), window_ends_at=None)

        assert bench.claim(SECOND, attempts=0) is None

    def test_is_refused_as_in_progress_while_the_same_request_holds_the_window(
        self, bench: Bench
    ) -> None:
        bench.claim()

        refusal = bench.claim(replace(FIRST, claim_id="claim-2"))

        assert refusal == InProgress(HOLD_UNTIL, Tally(1))

    def test_in_progress_tells_a_message_that_knows_all_attempts_the_same(
        self, bench: Bench
    ) -> None:
        bench.claim()

        refusal = bench.claim(replace(FIRST, claim_id="claim-2"), attempts=1)

        assert refusal == InProgress(HOLD_UNTIL, Tally(1))

    def test_succeeds_again_when_only_its_reply_was_lost(self, bench: Bench) -> None:
        bench.claim()

        assert bench.claim() is None

    def test_repeated_after_a_lost_reply_counts_one_attempt(self, bench: Bench) -> None:
        bench.claim()
        bench.claim()

        refusal = bench.claim(replace(FIRST, claim_id="claim-2"))

        assert refusal == InProgress(HOLD_UNTIL, Tally(1))

    def test_is_refused_when_the_message_knows_of_too_few_attempts(self, bench: Bench) -> None:
        bench.claim()
        bench.ledger.release(FIRST, tally=Tally(2), window_ends_at=None)

        assert bench.claim(attempts=0) == AttemptsBehind(Tally(2))

    def test_succeeds_when_the_message_knows_of_more_attempts(self, bench: Bench) -> None:
        bench.claim()
        bench.ledger.release(FIRST, tally=Tally(1), window_ends_at=None)

        assert bench.claim(attempts=2) is None

    def test_tells_of_the_pardons_on_record(self, bench: Bench) -> None:
        bench.claim()
        bench.ledger.release(FIRST, tally=Tally(2, 1), window_ends_at=None)

        assert bench.claim(attempts=0) == AttemptsBehind(Tally(2, 1))

    def test_with_the_attempts_on_record_succeeds(self, bench: Bench) -> None:
        bench.claim()
        bench.ledger.release(FIRST, tally=Tally(1), window_ends_at=None)

        assert bench.claim(attempts=1) is None

    def test_is_refused_when_the_request_id_belongs_to_another_user(self, bench: Bench) -> None:
        bench.claim()

        assert bench.claim(Claim("claim-2", "r1", "u2")) == RequestIdReused()

    def test_tells_a_reused_request_id_from_an_active_window(self, bench: Bench) -> None:
        bench.claim()
        bench.claim(Claim("claim-2", "r2", "u2"))

        assert bench.claim(Claim("claim-3", "r1", "u2")) == RequestIdReused()

    def test_of_a_reused_request_id_takes_no_window(self, bench: Bench) -> None:
        bench.claim()
        bench.claim(Claim("claim-2", "r1", "u2"))

        assert bench.claim(Claim("claim-3", "r3", "u2")) is None

    @pytest.mark.parametrize("result", [SENT, REJECTED], ids=lambda result: result.status)
    @pytest.mark.parametrize("life_id", ["life-1", "life-2"])
    def test_of_an_answered_request_is_refused_with_its_result_in_any_life(
        self, bench: Bench, result: Result, life_id: str
    ) -> None:
        bench.claim()
        bench.finish(result)

        refusal = bench.claim(replace(FIRST, claim_id="claim-2"), life_id=life_id)

        assert refusal == AlreadyAnswered(result)

    def test_of_an_answered_request_is_refused_after_its_window_too(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT)

        refusal = bench.claim(replace(FIRST, claim_id="claim-2"), now=WINDOW_ENDS_AT + 14 * 86_400)

        assert refusal == AlreadyAnswered(SENT)

    def test_of_a_failed_request_is_refused_in_the_same_life(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(FAILED, window_ends_at=None)

        refusal = bench.claim(replace(FIRST, claim_id="claim-2"))

        assert refusal == AlreadyAnswered(FAILED)

    def test_of_a_failed_request_starts_anew_in_another_life(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(FAILED, window_ends_at=None)

        assert bench.claim(replace(FIRST, claim_id="claim-2"), life_id="life-2") is None

    def test_in_another_life_counts_attempts_from_the_start(self, bench: Bench) -> None:
        bench.conclude(replace(FAILED, attempts=8))
        bench.claim(life_id="life-2")

        refusal = bench.claim(replace(FIRST, claim_id="claim-2"), life_id="life-2")

        assert refusal == InProgress(HOLD_UNTIL, Tally(1))

    def test_in_another_life_waits_for_the_window_that_the_failed_call_holds(
        self, bench: Bench
    ) -> None:
        bench.claim()
        bench.finish(FAILED, window_ends_at=WINDOW_ENDS_AT)

        refusal = bench.claim(replace(FIRST, claim_id="claim-2"), life_id="life-2")

        assert refusal == InProgress(WINDOW_ENDS_AT, Tally(0))

    def test_is_refused_until_the_window_is_over_on_a_clock_that_runs_behind(
        self, bench: Bench
    ) -> None:
        bench.claim()

        refusal = bench.claim(SECOND, now=HOLD_UNTIL + SKEW - 0.001)

        assert refusal == WindowActive(HOLD_UNTIL)

    def test_succeeds_once_the_window_is_over_on_every_clock(self, bench: Bench) -> None:
        bench.claim()

        assert bench.claim(SECOND, now=HOLD_UNTIL + SKEW) is None

    def test_is_won_by_exactly_one_of_fifty_requests_for_a_user(self, bench: Bench) -> None:
        together = threading.Barrier(50)

        def race(number: int) -> ClaimRefusal | None:
            together.wait()
            return bench.claim(Claim(f"claim-{number}", f"r{number}", "u1"))

        with ThreadPoolExecutor(50) as executor:
            refusals = list(executor.map(race, range(50)))

        assert (refusals.count(None), refusals.count(WindowActive(HOLD_UNTIL))) == (1, 49)

    def test_is_won_by_exactly_one_of_fifty_deliveries_of_a_request(self, bench: Bench) -> None:
        together = threading.Barrier(50)

        def race(number: int) -> ClaimRefusal | None:
            together.wait()
            return bench.claim(Claim(f"claim-{number}", "r1", "u1"))

        with ThreadPoolExecutor(50) as executor:
            refusals = list(executor.map(race, range(50)))

        assert (refusals.count(None), refusals.count(InProgress(HOLD_UNTIL, Tally(1)))) == (1, 49)


class TestFinish:
    def test_returns_the_result_that_it_records(self, bench: Bench) -> None:
        bench.claim()

        assert bench.finish(SENT) == SENT

    def test_lets_the_window_end_when_it_is_told_to(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT, window_ends_at=WINDOW_ENDS_AT)

        assert bench.claim(SECOND) == WindowActive(WINDOW_ENDS_AT)

    def test_without_a_window_frees_it(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(REJECTED, window_ends_at=None)

        assert bench.claim(SECOND) is None

    def test_counts_an_invitation_and_notes_its_time(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT)

        assert bench.sent("u1") == (1, ANSWERED_AT)

    def test_counts_on_from_earlier_invitations(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT)
        bench.claim(SECOND, now=HOLD_UNTIL)
        bench.finish(replace(SENT, request_id="r2"), SECOND, answered_at=HOLD_UNTIL + 1)

        assert bench.sent("u1") == (2, HOLD_UNTIL + 1)

    def test_counts_no_rejection(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT)
        bench.claim(SECOND, now=HOLD_UNTIL)
        bench.finish(replace(REJECTED, request_id="r2"), SECOND, answered_at=HOLD_UNTIL + 1)

        assert bench.sent("u1") == (1, ANSWERED_AT)

    def test_repeated_returns_the_result_on_record(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT)

        assert bench.finish(FAILED) == SENT

    def test_repeated_counts_one_invitation(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT)
        bench.finish(SENT)

        assert bench.sent("u1") == (1, ANSWERED_AT)

    def test_repeated_leaves_the_window_of_a_later_claim_alone(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT)
        bench.claim(SECOND, now=HOLD_UNTIL, hold_until=HOLD_UNTIL + WINDOW)
        bench.finish(SENT)

        refusal = bench.claim(Claim("claim-3", "r3", "u1"), now=HOLD_UNTIL)

        assert refusal == WindowActive(HOLD_UNTIL + WINDOW)

    def test_after_the_window_passed_to_another_claim_still_records(self, bench: Bench) -> None:
        bench.claim()
        bench.claim(SECOND, now=HOLD_UNTIL + SKEW)
        bench.finish(SENT)

        assert bench.claim(replace(FIRST, claim_id="claim-3")) == AlreadyAnswered(SENT)

    def test_after_the_window_passed_to_another_claim_still_counts(self, bench: Bench) -> None:
        bench.claim()
        bench.claim(SECOND, now=HOLD_UNTIL + SKEW)
        bench.finish(SENT)

        assert bench.sent("u1") == (1, ANSWERED_AT)

    def test_that_comes_late_leaves_the_time_of_a_later_invitation(self, bench: Bench) -> None:
        bench.claim()
        bench.claim(SECOND, now=HOLD_UNTIL + SKEW)
        bench.finish(replace(SENT, request_id="r2"), SECOND, answered_at=HOLD_UNTIL + 3)
        bench.finish(SENT)

        assert bench.sent("u1") == (2, HOLD_UNTIL + 3)

    @pytest.mark.parametrize("result", [SENT, REJECTED], ids=lambda result: result.status)
    def test_after_the_window_passed_to_another_claim_leaves_it_alone(
        self, bench: Bench, result: Result
    ) -> None:
        bench.claim()
        bench.claim(SECOND, now=HOLD_UNTIL + SKEW, hold_until=HOLD_UNTIL + WINDOW)
        bench.finish(result, window_ends_at=None)

        refusal = bench.claim(Claim("claim-3", "r3", "u1"), now=HOLD_UNTIL + SKEW)

        assert refusal == WindowActive(HOLD_UNTIL + WINDOW)

    def test_ends_the_claim(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(FAILED, window_ends_at=None)

        assert bench.conclude(FAILED, life_id="life-2") is None


class TestRelease:
    def test_held_keeps_the_window_for_the_request(self, bench: Bench) -> None:
        bench.claim()
        bench.ledger.release(FIRST, tally=Tally(1), window_ends_at=WINDOW_ENDS_AT)

        assert bench.claim(SECOND) == WindowActive(WINDOW_ENDS_AT)

    def test_held_lets_the_request_itself_wait(self, bench: Bench) -> None:
        bench.claim()
        bench.ledger.release(FIRST, tally=Tally(1), window_ends_at=WINDOW_ENDS_AT)

        refusal = bench.claim(replace(FIRST, claim_id="claim-2"), attempts=1)

        assert refusal == InProgress(WINDOW_ENDS_AT, Tally(1))

    def test_freed_opens_the_window_at_once(self, bench: Bench) -> None:
        bench.claim()
        bench.ledger.release(FIRST, tally=Tally(1), window_ends_at=None)

        assert bench.claim(SECOND) is None

    def test_by_an_earlier_claim_leaves_the_window_of_a_later_one(self, bench: Bench) -> None:
        bench.claim()
        bench.claim(SECOND, now=HOLD_UNTIL + SKEW, hold_until=HOLD_UNTIL + WINDOW)
        bench.ledger.release(FIRST, tally=Tally(1), window_ends_at=None)

        refusal = bench.claim(Claim("claim-3", "r3", "u1"), now=HOLD_UNTIL + SKEW)

        assert refusal == WindowActive(HOLD_UNTIL + WINDOW)

    def test_by_an_earlier_claim_of_the_same_request_changes_nothing(self, bench: Bench) -> None:
        again = replace(FIRST, claim_id="claim-2")
        bench.claim()
        bench.claim(again, attempts=1, now=HOLD_UNTIL + SKEW, hold_until=HOLD_UNTIL + WINDOW)
        bench.ledger.release(FIRST, tally=Tally(7), window_ends_at=None)

        refusal = bench.claim(replace(FIRST, claim_id="claim-3"), now=HOLD_UNTIL + SKEW)

        assert refusal == InProgress(HOLD_UNTIL + WINDOW, Tally(2))

    def test_after_the_result_changes_nothing(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT)
        bench.ledger.release(FIRST, tally=Tally(7), window_ends_at=None)

        assert bench.claim(SECOND) == WindowActive(WINDOW_ENDS_AT)

    def test_after_its_request_was_concluded_changes_nothing(self, bench: Bench) -> None:
        bench.claim()
        bench.conclude(now=HOLD_UNTIL + SKEW)
        bench.ledger.release(FIRST, tally=Tally(7), window_ends_at=None)

        assert bench.claim(SECOND) == WindowActive(HOLD_UNTIL)

    def test_without_a_claim_changes_nothing(self, bench: Bench) -> None:
        bench.ledger.release(FIRST, tally=Tally(7), window_ends_at=WINDOW_ENDS_AT)

        assert bench.claim(attempts=0) is None


class TestConclude:
    def test_records_the_result_of_a_request_never_seen(self, bench: Bench) -> None:
        assert bench.conclude() is None
        assert bench.claim() == AlreadyAnswered(FAILED)

    def test_takes_no_window(self, bench: Bench) -> None:
        bench.conclude()

        assert bench.claim(SECOND) is None

    @pytest.mark.parametrize("window_ends_at", [None, WINDOW_ENDS_AT], ids=["freed", "held"])
    def test_records_the_result_of_a_released_request(
        self, bench: Bench, window_ends_at: float | None
    ) -> None:
        bench.claim()
        bench.ledger.release(FIRST, tally=Tally(1), window_ends_at=window_ends_at)

        assert bench.conclude() is None
        assert bench.claim() == AlreadyAnswered(FAILED)

    def test_of_a_released_request_leaves_the_window_held(self, bench: Bench) -> None:
        bench.claim()
        bench.ledger.release(FIRST, tally=Tally(1), window_ends_at=WINDOW_ENDS_AT)
        bench.conclude()

        assert bench.claim(SECOND) == WindowActive(WINDOW_ENDS_AT)

    def test_is_refused_while_a_claim_may_be_alive(self, bench: Bench) -> None:
        bench.claim()

        refusal = bench.conclude(now=HOLD_UNTIL + SKEW - 0.001)

        assert refusal == InProgress(HOLD_UNTIL, Tally(1))

    def test_records_the_result_once_the_claim_is_dead(self, bench: Bench) -> None:
        bench.claim()

        assert bench.conclude(now=HOLD_UNTIL + SKEW) is None
        assert bench.claim() == AlreadyAnswered(FAILED)

    @pytest.mark.parametrize("life_id", ["life-1", "life-2"])
    def test_of_an_answered_request_is_refused_with_its_result_in_any_life(
        self, bench: Bench, life_id: str
    ) -> None:
        bench.claim()
        bench.finish(SENT)

        assert bench.conclude(life_id=life_id) == AlreadyAnswered(SENT)

    def test_of_a_failed_request_is_refused_in_the_same_life(self, bench: Bench) -> None:
        bench.conclude()

        refusal = bench.conclude(replace(FAILED, reason="deadline_passed"))

        assert refusal == AlreadyAnswered(FAILED)

    def test_of_a_failed_request_records_the_new_end_of_another_life(self, bench: Bench) -> None:
        later = replace(FAILED, reason="deadline_passed")
        bench.conclude()

        assert bench.conclude(later, life_id="life-2") is None
        assert bench.claim(life_id="life-2") == AlreadyAnswered(later)

    def test_is_refused_when_the_request_id_belongs_to_another_user(self, bench: Bench) -> None:
        bench.conclude()

        assert bench.conclude(user_id="u2") == RequestIdReused()

    def test_is_refused_when_another_user_claimed_the_request_id(self, bench: Bench) -> None:
        bench.claim()

        assert bench.conclude(user_id="u2") == RequestIdReused()


class TestTableInTrouble:
    """What only a real table can do."""

    @pytest.fixture
    def client(self, aws: LocalAws) -> "DynamoDBClient":
        client: DynamoDBClient = aws.client("dynamodb")
        return client

    @pytest.fixture
    def replies(self, client: "DynamoDBClient") -> Stubber:
        return Stubber(client)

    @pytest.fixture
    def pauses(self) -> list[float]:
        return []

    @pytest.fixture
    def ledger(self, client: "DynamoDBClient", pauses: list[float]) -> DynamoDbLedger:
        return DynamoDbLedger(client, "table", history_days=90, pause=pauses.append)

    def claim(self, ledger: DynamoDbLedger) -> ClaimRefusal | None:
        return ledger.claim(
            FIRST, life_id="life-1", tally=Tally(), now=START, hold_until=HOLD_UNTIL
        )

    def test_a_conflict_with_another_transaction_is_tried_again(
        self, ledger: DynamoDbLedger, replies: Stubber, pauses: list[float]
    ) -> None:
        _add_conflicts(replies, 1)
        replies.add_response("transact_write_items", {})

        with replies:
            assert self.claim(ledger) is None
        assert len(pauses) == 1

    def test_conflicts_without_end_are_an_outage(
        self, ledger: DynamoDbLedger, replies: Stubber, pauses: list[float]
    ) -> None:
        _add_conflicts(replies, 5)

        with replies, pytest.raises(LedgerUnavailableError, match="TransactionConflict"):
            self.claim(ledger)
        assert len(pauses) == 4

    @pytest.mark.parametrize(
        "code",
        [
            "ProvisionedThroughputExceededException",
            "ThrottlingException",
            "InternalServerError",
            "ResourceNotFoundException",
            "AccessDeniedException",
        ],
    )
    def test_an_error_of_the_table_is_an_outage(
        self, ledger: DynamoDbLedger, replies: Stubber, code: str
    ) -> None:
        replies.add_client_error("transact_write_items", code)

        with replies, pytest.raises(LedgerUnavailableError, match=code):
            self.claim(ledger)

    def test_a_result_recorded_while_the_window_was_found_lost_is_the_one_on_record(
        self, ledger: DynamoDbLedger, replies: Stubber
    ) -> None:
        lost = {"Code": "ConditionalCheckFailed", "Item": {"claim_id": {"S": "claim-9"}}}
        answered = {"status": {"S": "failed"}, "result": {"S": FAILED.to_json()}}
        _add_cancellation(replies, {"Code": "None"}, lost)
        _add_cancellation(
            replies, {"Code": "ConditionalCheckFailed", "Item": answered}, {"Code": "None"}
        )

        with replies:
            on_record = ledger.finish(
                FIRST,
                SENT,
                life_id="life-1",
                answered_at=ANSWERED_AT,
                window_ends_at=WINDOW_ENDS_AT,
            )
        assert on_record == FAILED

    def test_a_throttled_action_of_a_transaction_is_an_outage(
        self, ledger: DynamoDbLedger, replies: Stubber
    ) -> None:
        _add_cancellation(replies, {"Code": "None"}, {"Code": "ThrottlingError"})

        with replies, pytest.raises(LedgerUnavailableError):
            self.claim(ledger)

    def test_no_connection_is_an_outage(self, ledger: DynamoDbLedger, name: str) -> None:
        nobody = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
        unreachable = replace(ledger, client=nobody.client("dynamodb"))

        with pytest.raises(LedgerUnavailableError, match="Could not connect"):
            self.claim(unreachable)


def _add_conflicts(replies: Stubber, times: int) -> None:
    for _ in range(times):
        _add_cancellation(replies, {"Code": "TransactionConflict"}, {"Code": "None"})


def _add_cancellation(replies: Stubber, *reasons: dict[str, Any]) -> None:
    replies.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        f"Transaction cancelled: {[reason['Code'] for reason in reasons]}",
        modeled_fields={"CancellationReasons": list(reasons)},
    )
