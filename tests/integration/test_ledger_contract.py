"""One contract for the ledger, kept by the fake of the unit tests and by the table."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from invitations.adapters.dynamodb import DynamoDbTable
from invitations.errors import LedgerUnavailableError
from invitations.ledger import (
    AlreadyAnswered,
    AttemptsBehind,
    Change,
    ClaimRefusal,
    ConclusionRefusal,
    Filed,
    InProgress,
    Ledger,
    Standing,
    Subject,
    Table,
    UserRecord,
    WindowActive,
)
from invitations.models import (
    Claim,
    Request,
    Result,
    Source,
    Status,
    Tally,
    answer_request,
)
from local.aws import LocalAws
from local.processes import free_port
from tests.fakes import START, InMemoryTable

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
REJECTED = SENT._replace(status=Status.REJECTED, reason="user_not_found", window_ends_at=None)
FAILED = REJECTED._replace(status=Status.FAILED, reason="attempts_exhausted", result_id="failed")

SKIPPED = REJECTED._replace(status=Status.SKIPPED, reason="window_active", result_id="skipped")

NEVER_SEEN = Standing(Subject("u1", "r1"))

OUTAGES = [
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "InternalServerError",
    "ResourceNotFoundException",
    "AccessDeniedException",
]


@dataclass(frozen=True)
class Bench:
    """A table, and the steps of an execution with what mostly does not matter filled in."""

    table: Table

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.table, pause=time.sleep)

    def claim(
        self,
        claim: Claim = FIRST,
        seen: Standing | None = None,
        *,
        life_id: str = "life-1",
        attempts: int = 0,
        now: float = START,
        hold_until: float = HOLD_UNTIL,
    ) -> ClaimRefusal | None:
        """Why the claim was refused, or None."""
        standing = self.ledger.claim(
            claim, seen, life_id=life_id, tally=Tally(attempts), now=now, hold_until=hold_until
        )
        return None if isinstance(standing, Standing) else standing

    def finish(
        self,
        result: Result = SENT,
        claim: Claim = FIRST,
        seen: Standing | None = None,
        *,
        answered_at: float = ANSWERED_AT,
        window_ends_at: float | None = WINDOW_ENDS_AT,
    ) -> Result:
        return self.ledger.finish(
            claim,
            seen,
            result,
            life_id="life-1",
            answered_at=answered_at,
            window_ends_at=window_ends_at,
        )

    def release(self, claim: Claim = FIRST, *, tally: Tally, window_ends_at: float | None) -> None:
        self.ledger.release(claim, None, tally=tally, window_ends_at=window_ends_at)

    def conclude(
        self,
        result: Result = FAILED,
        user_id: str = "u1",
        seen: Standing | None = None,
        *,
        life_id: str = "life-1",
        now: float = START,
    ) -> ConclusionRefusal | None:
        """Why the conclusion was refused, or None."""
        standing = self.ledger.conclude(
            result, Subject(user_id, result.request_id), seen, life_id=life_id, now=now
        )
        return None if isinstance(standing, Standing) else standing

    def look_up(self, user_id: str = "u1", request_id: str = "r1") -> Standing:
        (standing,) = self.table.read([Subject(user_id, request_id)])
        return standing

    def sent(self, user_id: str) -> tuple[int, float | None]:
        """How often a user was invited, and when last."""
        user = self.look_up(user_id).user
        return user.sent_count, user.last_sent_at


@pytest.fixture
def in_memory() -> Bench:
    return Bench(InMemoryTable())


@pytest.fixture
def dynamodb(aws: LocalAws, name: str) -> Bench:
    aws.create_table(name, "pk", "sk")
    return Bench(DynamoDbTable(aws.client("dynamodb"), name, history_days=90, clock=lambda: START))


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
        bench.release(tally=Tally(1), window_ends_at=None)

        assert bench.claim(SECOND, attempts=0) is None

    def test_is_refused_as_in_progress_while_the_same_request_holds_the_window(
        self, bench: Bench
    ) -> None:
        bench.claim()

        refusal = bench.claim(FIRST._replace(claim_id="claim-2"))

        assert refusal == InProgress(HOLD_UNTIL, Tally(1))

    def test_in_progress_tells_a_message_that_knows_all_attempts_the_same(
        self, bench: Bench
    ) -> None:
        bench.claim()

        refusal = bench.claim(FIRST._replace(claim_id="claim-2"), attempts=1)

        assert refusal == InProgress(HOLD_UNTIL, Tally(1))

    def test_is_refused_when_the_message_knows_of_too_few_attempts(self, bench: Bench) -> None:
        bench.claim()
        bench.release(tally=Tally(2), window_ends_at=None)

        assert bench.claim(attempts=0) == AttemptsBehind(Tally(2))

    def test_succeeds_when_the_message_knows_of_more_attempts(self, bench: Bench) -> None:
        bench.claim()
        bench.release(tally=Tally(1), window_ends_at=None)

        assert bench.claim(attempts=2) is None

    def test_tells_of_the_pardons_on_record(self, bench: Bench) -> None:
        bench.claim()
        bench.release(tally=Tally(2, 1), window_ends_at=None)

        assert bench.claim(attempts=0) == AttemptsBehind(Tally(2, 1))

    def test_with_the_attempts_on_record_succeeds(self, bench: Bench) -> None:
        bench.claim()
        bench.release(tally=Tally(1), window_ends_at=None)

        assert bench.claim(attempts=1) is None

    @pytest.mark.parametrize("result", [SENT, REJECTED], ids=lambda result: result.status)
    @pytest.mark.parametrize("life_id", ["life-1", "life-2"])
    def test_of_an_answered_request_is_refused_with_its_result_in_any_life(
        self, bench: Bench, result: Result, life_id: str
    ) -> None:
        bench.claim()
        bench.finish(result)

        refusal = bench.claim(FIRST._replace(claim_id="claim-2"), life_id=life_id)

        assert refusal == AlreadyAnswered(result)

    def test_of_an_answered_request_is_refused_after_its_window_too(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT)

        refusal = bench.claim(FIRST._replace(claim_id="claim-2"), now=WINDOW_ENDS_AT + 14 * 86_400)

        assert refusal == AlreadyAnswered(SENT)

    def test_of_a_failed_request_is_refused_in_the_same_life(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(FAILED, window_ends_at=None)

        refusal = bench.claim(FIRST._replace(claim_id="claim-2"))

        assert refusal == AlreadyAnswered(FAILED)

    def test_of_a_failed_request_starts_anew_in_another_life(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(FAILED, window_ends_at=None)

        assert bench.claim(FIRST._replace(claim_id="claim-2"), life_id="life-2") is None

    def test_in_another_life_counts_attempts_from_the_start(self, bench: Bench) -> None:
        bench.conclude(FAILED._replace(attempts=8))
        bench.claim(life_id="life-2")

        refusal = bench.claim(FIRST._replace(claim_id="claim-2"), life_id="life-2")

        assert refusal == InProgress(HOLD_UNTIL, Tally(1))

    def test_in_another_life_waits_for_the_window_that_the_failed_call_holds(
        self, bench: Bench
    ) -> None:
        bench.claim()
        bench.finish(FAILED, window_ends_at=WINDOW_ENDS_AT)

        refusal = bench.claim(FIRST._replace(claim_id="claim-2"), life_id="life-2")

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
        bench.finish(SENT._replace(request_id="r2"), SECOND, answered_at=HOLD_UNTIL + 1)

        assert bench.sent("u1") == (2, HOLD_UNTIL + 1)

    def test_counts_no_rejection(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT)
        bench.claim(SECOND, now=HOLD_UNTIL)
        bench.finish(REJECTED._replace(request_id="r2"), SECOND, answered_at=HOLD_UNTIL + 1)

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

        assert bench.claim(FIRST._replace(claim_id="claim-3")) == AlreadyAnswered(SENT)

    def test_after_the_window_passed_to_another_claim_still_counts(self, bench: Bench) -> None:
        bench.claim()
        bench.claim(SECOND, now=HOLD_UNTIL + SKEW)
        bench.finish(SENT)

        assert bench.sent("u1") == (1, ANSWERED_AT)

    def test_that_comes_late_leaves_the_time_of_a_later_invitation(self, bench: Bench) -> None:
        bench.claim()
        bench.claim(SECOND, now=HOLD_UNTIL + SKEW)
        bench.finish(SENT._replace(request_id="r2"), SECOND, answered_at=HOLD_UNTIL + 3)
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
        bench.release(tally=Tally(1), window_ends_at=WINDOW_ENDS_AT)

        assert bench.claim(SECOND) == WindowActive(WINDOW_ENDS_AT)

    def test_held_lets_the_request_itself_wait(self, bench: Bench) -> None:
        bench.claim()
        bench.release(tally=Tally(1), window_ends_at=WINDOW_ENDS_AT)

        refusal = bench.claim(FIRST._replace(claim_id="claim-2"), attempts=1)

        assert refusal == InProgress(WINDOW_ENDS_AT, Tally(1))

    def test_freed_opens_the_window_at_once(self, bench: Bench) -> None:
        bench.claim()
        bench.release(tally=Tally(1), window_ends_at=None)

        assert bench.claim(SECOND) is None

    def test_by_an_earlier_claim_leaves_the_window_of_a_later_one(self, bench: Bench) -> None:
        bench.claim()
        bench.claim(SECOND, now=HOLD_UNTIL + SKEW, hold_until=HOLD_UNTIL + WINDOW)
        bench.release(tally=Tally(1), window_ends_at=None)

        refusal = bench.claim(Claim("claim-3", "r3", "u1"), now=HOLD_UNTIL + SKEW)

        assert refusal == WindowActive(HOLD_UNTIL + WINDOW)

    def test_by_an_earlier_claim_of_the_same_request_changes_nothing(self, bench: Bench) -> None:
        again = FIRST._replace(claim_id="claim-2")
        bench.claim()
        bench.claim(again, attempts=1, now=HOLD_UNTIL + SKEW, hold_until=HOLD_UNTIL + WINDOW)
        bench.release(tally=Tally(7), window_ends_at=None)

        refusal = bench.claim(FIRST._replace(claim_id="claim-3"), now=HOLD_UNTIL + SKEW)

        assert refusal == InProgress(HOLD_UNTIL + WINDOW, Tally(2))

    def test_after_the_result_changes_nothing(self, bench: Bench) -> None:
        bench.claim()
        bench.finish(SENT)
        bench.release(tally=Tally(7), window_ends_at=None)

        assert bench.claim(SECOND) == WindowActive(WINDOW_ENDS_AT)

    def test_after_its_request_was_concluded_changes_nothing(self, bench: Bench) -> None:
        bench.claim()
        bench.conclude(now=HOLD_UNTIL + SKEW)
        bench.release(tally=Tally(7), window_ends_at=None)

        assert bench.claim(SECOND) == WindowActive(HOLD_UNTIL)

    def test_without_a_claim_changes_nothing(self, bench: Bench) -> None:
        bench.release(tally=Tally(7), window_ends_at=WINDOW_ENDS_AT)

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
        bench.release(tally=Tally(1), window_ends_at=window_ends_at)

        assert bench.conclude() is None
        assert bench.claim() == AlreadyAnswered(FAILED)

    def test_of_a_released_request_leaves_the_window_held(self, bench: Bench) -> None:
        bench.claim()
        bench.release(tally=Tally(1), window_ends_at=WINDOW_ENDS_AT)
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

        refusal = bench.conclude(FAILED._replace(reason="deadline_passed"))

        assert refusal == AlreadyAnswered(FAILED)

    def test_of_a_failed_request_records_the_new_end_of_another_life(self, bench: Bench) -> None:
        later = FAILED._replace(reason="deadline_passed")
        bench.conclude()

        assert bench.conclude(later, life_id="life-2") is None
        assert bench.claim(life_id="life-2") == AlreadyAnswered(later)


class TestWhatWasSeenIsOutOfDate:
    """An execution looks up early and decides late; others go on meanwhile."""

    def test_a_claim_of_a_request_that_was_answered_since_is_refused(self, bench: Bench) -> None:
        seen = bench.look_up()
        bench.claim()
        bench.finish(REJECTED, window_ends_at=None)

        refusal = bench.claim(FIRST._replace(claim_id="claim-2"), seen)

        assert refusal == AlreadyAnswered(REJECTED)

    def test_a_claim_of_a_request_that_was_answered_and_filed_since_is_refused(
        self, bench: Bench
    ) -> None:
        seen = bench.look_up()
        bench.claim()
        bench.finish(REJECTED, window_ends_at=None)
        bench.claim(SECOND)
        bench.finish(REJECTED._replace(request_id="r2"), SECOND, window_ends_at=None)

        refusal = bench.claim(FIRST._replace(claim_id="claim-3"), seen)

        assert refusal == AlreadyAnswered(REJECTED)

    def test_a_claim_of_a_request_that_was_concluded_since_is_refused(self, bench: Bench) -> None:
        bench.claim(SECOND)
        bench.finish(REJECTED._replace(request_id="r2"), SECOND, window_ends_at=None)
        seen = bench.look_up()
        bench.conclude(SKIPPED)

        assert bench.claim(FIRST, seen) == AlreadyAnswered(SKIPPED)

    def test_a_claim_of_a_user_whose_window_was_taken_since_is_refused(self, bench: Bench) -> None:
        seen = bench.look_up()
        bench.claim(SECOND)

        assert bench.claim(FIRST, seen) == WindowActive(HOLD_UNTIL)

    def test_a_claim_is_made_when_the_window_was_freed_since(self, bench: Bench) -> None:
        seen = bench.look_up()
        bench.claim(SECOND)
        bench.finish(REJECTED._replace(request_id="r2"), SECOND, window_ends_at=None)

        assert bench.claim(FIRST, seen) is None

    def test_a_conclusion_of_a_request_that_was_claimed_since_is_refused(
        self, bench: Bench
    ) -> None:
        seen = bench.look_up()
        bench.claim()

        assert bench.conclude(SKIPPED, seen=seen) == InProgress(HOLD_UNTIL, Tally(1))

    def test_a_conclusion_of_a_request_that_was_concluded_since_is_refused(
        self, bench: Bench
    ) -> None:
        seen = bench.look_up()
        bench.conclude(SKIPPED)
        later = SKIPPED._replace(occurred_at="later")

        assert bench.conclude(later, seen=seen) == AlreadyAnswered(SKIPPED)

    def test_a_conclusion_in_another_life_that_was_concluded_since_is_refused(
        self, bench: Bench
    ) -> None:
        bench.conclude(FAILED)
        seen = bench.look_up()
        later = FAILED._replace(occurred_at="later")
        bench.conclude(later, life_id="life-2")

        refusal = bench.conclude(FAILED._replace(reason="other"), seen=seen, life_id="life-2")

        assert refusal == AlreadyAnswered(later)

    def test_a_result_is_recorded_whatever_was_filed_since(self, bench: Bench) -> None:
        bench.claim()
        seen = bench.look_up()
        bench.conclude(SKIPPED._replace(request_id="r2"))

        assert bench.finish(SENT, seen=seen) == SENT
        assert bench.claim(FIRST._replace(claim_id="claim-3")) == AlreadyAnswered(SENT)


class TestTable:
    """The writing itself."""

    CHANGE = Change(UserRecord(window_ends_at=START + 0.125, request_id="r1", claim_id="claim-1"))

    @pytest.mark.parametrize(
        "change",
        [
            CHANGE,
            Change(
                UserRecord(
                    START,
                    "r1",
                    "life",
                    "claim",
                    Tally(3, 1),
                    SENT,
                    sent_count=2,
                    last_sent_at=START,
                )
            ),
            Change(
                UserRecord(request_id="r1"), files=Filed(SENT._replace(request_id="r0"), "life")
            ),
        ],
    )
    def test_what_is_written_is_read(self, bench: Bench, change: Change) -> None:
        written = bench.table.write(bench.look_up(), change)

        assert written == bench.look_up()
        assert written == Standing(Subject("u1", "r1"), 1, change.user or UserRecord())

    def test_an_answer_is_filed_without_a_record_of_the_user(self, bench: Bench) -> None:
        filed = Filed(SENT, "life-1")
        bench.table.write(bench.look_up(), Change(None, files=filed))

        assert bench.look_up() == Standing(Subject("u1", "r1"), 1, filed=filed)

    def test_an_answer_that_is_filed_is_read_for_its_request_only(self, bench: Bench) -> None:
        bench.table.write(bench.look_up(), Change(None, files=Filed(SENT, "life-1")))

        assert bench.look_up(request_id="r2").filed is None

    @pytest.mark.parametrize("files", [None, Filed(SENT._replace(request_id="r0"), "life")])
    def test_a_change_on_an_older_version_is_not_written(
        self, bench: Bench, files: Filed | None
    ) -> None:
        seen = bench.look_up()
        bench.table.write(seen, self.CHANGE)

        assert bench.table.write(seen, Change(UserRecord(request_id="r2"), files)) is None
        assert bench.look_up().user == self.CHANGE.user

    @pytest.mark.parametrize("files", [None, Filed(SENT._replace(request_id="r0"), "life")])
    def test_a_write_that_was_repeated_after_its_reply_was_lost_is_written(
        self, bench: Bench, files: Filed | None
    ) -> None:
        seen = bench.look_up()
        change = self.CHANGE._replace(files=files)
        written = bench.table.write(seen, change)

        assert bench.table.write(seen, change) == written == bench.look_up()

    def test_many_are_read_at_once_in_their_order(self, bench: Bench) -> None:
        bench.claim()
        bench.claim(Claim("claim-2", "r2", "u2"))
        bench.conclude(SKIPPED._replace(request_id="r3"))
        subjects = [
            Subject("u2", "r2"),
            *(Subject(f"user {number}", "r") for number in range(150)),
            Subject("u1", "r3"),
            Subject("u1", "r1"),
        ]

        standings = bench.table.read(subjects)

        assert [each.subject for each in standings] == subjects
        assert standings[0].user.claim_id == "claim-2"
        assert standings[-2].filed == Filed(SKIPPED._replace(request_id="r3"), "life-1")
        assert standings[-1].is_latest

    def test_users_and_requests_with_odd_names_are_told_apart(self, bench: Bench) -> None:
        bench.claim(Claim("claim-1", "b#c", "a"))

        assert bench.claim(Claim("claim-2", "c", "a#b")) is None


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
    def table(self, client: "DynamoDBClient", pauses: list[float]) -> DynamoDbTable:
        return DynamoDbTable(client, "table", history_days=90, pause=pauses.append)

    @pytest.mark.parametrize(
        "code", ["ConditionalCheckFailedException", "TransactionConflictException"]
    )
    def test_a_write_that_meets_another_is_not_written(
        self, table: DynamoDbTable, replies: Stubber, code: str
    ) -> None:
        replies.add_client_error("put_item", code)

        with replies:
            assert table.write(NEVER_SEEN, TestTable.CHANGE) is None

    def test_a_transaction_that_meets_another_is_not_written(
        self, table: DynamoDbTable, replies: Stubber
    ) -> None:
        _add_cancellation(replies, "TransactionConflict", "None")

        with replies:
            assert table.write(NEVER_SEEN, Change(None, files=Filed(SENT, "life-1"))) is None

    @pytest.mark.parametrize("change", [TestTable.CHANGE, Change(None, files=Filed(SENT, "life"))])
    @pytest.mark.parametrize("code", OUTAGES)
    def test_an_error_of_the_table_is_an_outage_of_the_write(
        self, table: DynamoDbTable, replies: Stubber, code: str, change: Change
    ) -> None:
        replies.add_client_error("put_item" if change.user else "transact_write_items", code)

        with replies, pytest.raises(LedgerUnavailableError, match=code):
            table.write(NEVER_SEEN, change)

    @pytest.mark.parametrize("code", OUTAGES)
    def test_an_error_of_the_table_is_an_outage_of_the_read(
        self, table: DynamoDbTable, replies: Stubber, code: str
    ) -> None:
        replies.add_client_error("batch_get_item", code)

        with replies, pytest.raises(LedgerUnavailableError, match=code):
            table.read([NEVER_SEEN.subject])

    def test_a_throttled_action_of_a_transaction_is_an_outage(
        self, table: DynamoDbTable, replies: Stubber
    ) -> None:
        _add_cancellation(replies, "None", "ThrottlingError")

        with replies, pytest.raises(LedgerUnavailableError):
            table.write(NEVER_SEEN, Change(None, files=Filed(SENT, "life-1")))

    def test_keys_that_the_table_left_unread_are_read_again(
        self, table: DynamoDbTable, replies: Stubber, pauses: list[float]
    ) -> None:
        key = {"pk": {"S": "USER#u1"}, "sk": {"S": "USER"}}
        replies.add_response(
            "batch_get_item", {"Responses": {}, "UnprocessedKeys": {"table": {"Keys": [key]}}}
        )
        replies.add_response(
            "batch_get_item", {"Responses": {"table": [{**key, "version": {"N": "7"}}]}}
        )
        replies.add_response("batch_get_item", {"Responses": {}})

        with replies:
            assert table.read([NEVER_SEEN.subject]) == [NEVER_SEEN._replace(version=7)]
        assert len(pauses) == 1

    def test_keys_that_are_never_read_are_an_outage(
        self, table: DynamoDbTable, replies: Stubber
    ) -> None:
        key = {"pk": {"S": "USER#u1"}, "sk": {"S": "USER"}}
        left: dict[str, Any] = {"Responses": {}, "UnprocessedKeys": {"table": {"Keys": [key]}}}
        for _ in range(4):
            replies.add_response("batch_get_item", left)

        with replies, pytest.raises(LedgerUnavailableError, match="unread"):
            table.read([NEVER_SEEN.subject])

    def test_no_connection_is_an_outage(self) -> None:
        nobody = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
        unreachable = DynamoDbTable(nobody.client("dynamodb"), "table", history_days=90)

        with pytest.raises(LedgerUnavailableError, match="Could not connect"):
            unreachable.write(NEVER_SEEN, TestTable.CHANGE)

    def test_a_record_that_others_change_all_the_time_is_an_outage(self) -> None:
        class BusyTable(InMemoryTable):
            def write(self, seen: Standing, change: Change) -> Standing | None:
                return None

        with pytest.raises(LedgerUnavailableError, match="all the time"):
            Bench(BusyTable()).claim()

    def test_items_expire_when_the_history_is_over(self, aws: LocalAws, name: str) -> None:
        aws.create_table(name, "pk", "sk")
        client: DynamoDBClient = aws.client("dynamodb")
        table = DynamoDbTable(client, name, history_days=90, clock=lambda: START)
        table.write(NEVER_SEEN, Change(UserRecord(request_id="r1"), Filed(SENT, "life")))
        table.write(NEVER_SEEN._replace(subject=Subject("u2", "r")), Change(None, Filed(SENT, "l")))

        items = client.scan(TableName=name)["Items"]

        assert {item["expires_at"]["N"] for item in items} == {str(int(START) + 90 * 86_400)}
        assert len(items) == 4


def _add_cancellation(replies: Stubber, *codes: str) -> None:
    replies.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        f"Transaction cancelled: {codes}",
        modeled_fields={"CancellationReasons": [{"Code": code} for code in codes]},
    )
