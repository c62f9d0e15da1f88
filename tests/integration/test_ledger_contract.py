"""One contract for the ledger, kept over the table of the unit tests and over DynamoDB."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from invitations.errors import TableUnavailableError
from invitations.ledger import Claim, Ledger, UserRecord
from invitations.messages import Ending, RetryState, SweepCriteria
from invitations.requests import Request
from invitations.results import Reason, Result, Status, request_result
from invitations.table import MOST_KEYS_AT_ONCE, ConflictError, DynamoDbTable, Table
from local.aws import LocalAws
from local.processes import free_port
from tests.fakes import START, FakeTable, ScriptedSteps
from tests.memory_table import InMemoryTable

WINDOW = 300.0
HOLD_UNTIL = START + 420
ANSWERED_AT = START + 1.25
WINDOW_ENDS_AT = ANSWERED_AT + WINDOW
SKEW = 2.0
DAY = 86_400.0
HISTORY_DAYS = 30

FIRST = Claim("claim-1", "r1", START + 0.125)
SECOND = Claim("claim-2", "r2", START + 1_000)
USER = ("USER#zażółć", "USER")
USER_ID = "zażółć"


def result_of(status: Status, reason: Reason, request_id: str = "r1") -> Result:
    request = Request(request_id, USER_ID, "sqs", correlation_id="zażółć 🎉")
    state = RetryState(request_id, "sqs", START)
    return request_result(request, state, status, reason, ANSWERED_AT, sent_count=None)


SENT = Ending(
    result_of(Status.SENT, Reason.INVITED), ANSWERED_AT, "claim-1", WINDOW_ENDS_AT, ANSWERED_AT
)
REJECTED = Ending(result_of(Status.REJECTED, Reason.FORBIDDEN), ANSWERED_AT, "claim-1")
SKIPPED = Ending(result_of(Status.SKIPPED, Reason.WINDOW_ACTIVE), ANSWERED_AT)
FAILED = Ending(result_of(Status.FAILED, Reason.DEADLINE_PASSED), ANSWERED_AT)


@pytest.fixture
def in_memory() -> Table:
    return InMemoryTable()


@pytest.fixture
def dynamodb(aws: LocalAws, name: str) -> Table:
    aws.create_table(name, "pk", "sk")
    return DynamoDbTable(aws.client("dynamodb"), name)


@pytest.fixture(params=["in_memory", "dynamodb"])
def table(request: pytest.FixtureRequest) -> Table:
    table: Table = request.getfixturevalue(request.param)
    return table


@pytest.fixture
def ledger(table: Table) -> Ledger:
    return Ledger(table, HISTORY_DAYS, lambda: START)


def user_of(ledger: Ledger) -> UserRecord:
    return ledger.read(USER_ID, "none").user


def claim(ledger: Ledger, claim: Claim = FIRST, hold_until: float = HOLD_UNTIL) -> UserRecord:
    """Claim on what the table says now."""
    claimed = ledger.claim(USER_ID, user_of(ledger), claim, hold_until)
    assert claimed is not None
    return claimed


def end_claim(
    ledger: Ledger,
    claim_id: str = "claim-1",
    claimed: UserRecord | None = None,
    window_ends_at: float | None = WINDOW_ENDS_AT,
    *,
    sent: bool = True,
) -> None:
    invited_at = None if window_ends_at is None else ANSWERED_AT
    ledger.end_claim(USER_ID, claim_id, claimed, window_ends_at, invited_at, sent=sent)


def test_unknown_user_has_no_window_no_claim_and_no_count(ledger: Ledger) -> None:
    known = ledger.read(USER_ID, "r1")

    assert known.user == UserRecord()
    assert known.ending is None


def test_claim_holds_window_and_names_request(ledger: Ledger) -> None:
    claimed = claim(ledger)

    user = user_of(ledger)
    assert user == claimed
    assert (user.claim, user.window_ends_at) == (FIRST, HOLD_UNTIL)
    assert (user.claim_of("r1"), user.claim_of("r2")) == (FIRST, None)
    assert user.window_request_id == "r1"


def test_window_is_over_by_a_clock_two_seconds_behind(ledger: Ledger) -> None:
    claim(ledger)

    user = user_of(ledger)
    assert user.active_window(HOLD_UNTIL + SKEW - 0.001) == HOLD_UNTIL
    assert user.active_window(HOLD_UNTIL + SKEW) is None


def test_claim_on_changed_record_is_refused(ledger: Ledger) -> None:
    seen = user_of(ledger)
    claim(ledger)

    assert ledger.claim(USER_ID, seen, SECOND, HOLD_UNTIL) is None
    assert user_of(ledger).claim == FIRST


def test_claim_on_record_whose_claim_was_ended_since_is_refused(ledger: Ledger) -> None:
    seen = user_of(ledger)
    end_claim(ledger, claimed=claim(ledger), window_ends_at=None, sent=False)

    assert ledger.claim(USER_ID, seen, SECOND, HOLD_UNTIL) is None


def test_claim_of_one_user_does_not_concern_another(ledger: Ledger) -> None:
    claim(ledger)

    assert ledger.read("u2", "r1").user == UserRecord()


def test_fifty_executions_race_and_one_gets_the_claim(ledger: Ledger) -> None:
    seen = user_of(ledger)

    def race(number: int) -> UserRecord | None:
        return ledger.claim(USER_ID, seen, Claim(f"claim-{number}", "r1", START), HOLD_UNTIL)

    with ThreadPoolExecutor(50) as threads:
        claimed = [each for each in threads.map(race, range(50)) if each is not None]

    assert len(claimed) == 1
    assert user_of(ledger).claim == claimed[0].claim


def test_race_of_claims_that_each_read_first_leaves_one_claim_open(ledger: Ledger) -> None:
    start = threading.Barrier(20)

    def race(number: int) -> UserRecord | None:
        start.wait(timeout=10)
        seen = user_of(ledger)
        if seen.active_window(START) is not None:
            return None
        return ledger.claim(USER_ID, seen, Claim(f"claim-{number}", "r1", START), HOLD_UNTIL)

    with ThreadPoolExecutor(20) as threads:
        claimed = [each for each in threads.map(race, range(20)) if each is not None]

    assert len(claimed) == 1


def test_ended_claim_leaves_window_and_count(ledger: Ledger) -> None:
    end_claim(ledger, claimed=claim(ledger))

    user = user_of(ledger)
    assert (user.claim, user.window_ends_at) == (None, WINDOW_ENDS_AT)
    assert (user.sent_count, user.maybe_sent_count) == (1, 0)
    assert user.invited_at == (ANSWERED_AT,)
    assert user.window_request_id == "r1"


def test_ended_claim_of_unknown_outcome_counts_invitation_that_may_have_been_sent(
    ledger: Ledger,
) -> None:
    end_claim(ledger, claimed=claim(ledger), sent=False)

    user = user_of(ledger)
    assert (user.sent_count, user.maybe_sent_count) == (0, 1)
    assert user.invited_at == (ANSWERED_AT,)


def test_ended_claim_without_email_frees_window_and_counts_nothing(ledger: Ledger) -> None:
    end_claim(ledger, claimed=claim(ledger), window_ends_at=None, sent=False)

    user = user_of(ledger)
    assert (user.claim, user.active_window(START)) == (None, None)
    assert (user.sent_count, user.maybe_sent_count, user.invited_at) == (0, 0, ())


def test_claim_is_ended_by_an_execution_that_has_not_read_it(ledger: Ledger) -> None:
    claim(ledger)
    end_claim(ledger)

    assert (user_of(ledger).claim, user_of(ledger).sent_count) == (None, 1)


@pytest.mark.parametrize("reads", [True, False])
def test_claim_of_another_execution_is_not_ended(ledger: Ledger, reads: bool) -> None:
    old = claim(ledger)
    later = claim(ledger, SECOND, HOLD_UNTIL + 1_000)
    end_claim(ledger, "claim-1", None if reads else old)

    assert user_of(ledger) == later


def test_claim_is_ended_once_however_many_end_it(ledger: Ledger) -> None:
    claim(ledger)

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: end_claim(ledger), range(20)))

    assert (user_of(ledger).sent_count, user_of(ledger).invited_at) == (1, (ANSWERED_AT,))


def test_unended_claim_is_counted_by_the_next(ledger: Ledger) -> None:
    claim(ledger)
    later = claim(ledger, SECOND, HOLD_UNTIL + 1_000)

    assert (later.sent_count, later.maybe_sent_count) == (0, 1)
    assert later.invited_at == (FIRST.claimed_at,)
    assert user_of(ledger) == later


def test_hundred_latest_times_are_kept(ledger: Ledger) -> None:
    user = user_of(ledger)
    for number in range(101):
        user = user.invited(START + number, sent=True)
    claimed = ledger.claim(USER_ID, user, FIRST, HOLD_UNTIL)

    assert claimed is not None
    kept = user_of(ledger)
    assert (len(kept.invited_at), kept.invited_at[0], kept.sent_count) == (100, START + 1, 101)


def test_daily_limit_counts_the_last_24_hours(ledger: Ledger) -> None:
    end_claim(ledger, claimed=claim(ledger))
    end_claim(ledger, "claim-2", claim(ledger, SECOND), sent=False)
    user = user_of(ledger)

    assert user.exceeds(2, ANSWERED_AT + DAY - 1)
    assert not user.exceeds(2, ANSWERED_AT + DAY)
    assert not user.exceeds(3, ANSWERED_AT)
    assert not user.exceeds(0, ANSWERED_AT)


def test_criteria_of_sweep_count_what_may_have_been_sent(ledger: Ledger) -> None:
    end_claim(ledger, claimed=claim(ledger), sent=False)
    user = user_of(ledger)

    assert user.not_due(SweepCriteria(1, 0), ANSWERED_AT + DAY) == "max_invites_reached"
    assert user.not_due(SweepCriteria(2, 3_600), ANSWERED_AT + 3_599) == "asked_recently"
    assert user.not_due(SweepCriteria(2, 3_600), ANSWERED_AT + 3_600) is None


@pytest.mark.parametrize("ending", [SENT, REJECTED, SKIPPED, FAILED])
def test_saved_end_is_read_as_it_was(ledger: Ledger, ending: Ending) -> None:
    assert ledger.save(USER_ID, ending, START, {}) == ending

    assert ledger.read(USER_ID, "r1").ending == ending
    assert ledger.read_ending(USER_ID, "r1").ending == ending
    assert ledger.read("u2", "r1").ending is None
    assert ledger.read(USER_ID, "r2").ending is None


@pytest.mark.parametrize(
    ("stored", "late", "asked_at", "counts"),
    [
        (SENT, REJECTED, START, SENT),
        (SENT, FAILED, START, SENT),
        (SENT, SENT, START, SENT),
        (SENT, SKIPPED, ANSWERED_AT + 1, SENT),
        (REJECTED, SKIPPED, START, REJECTED),
        (SKIPPED, REJECTED, START, SKIPPED),
        (SKIPPED, SENT, START, SENT),
        (REJECTED, SENT, START, SENT),
        (FAILED, SENT, START, SENT),
        (FAILED, SKIPPED, ANSWERED_AT, FAILED),
        (FAILED, SKIPPED, ANSWERED_AT + 1, SKIPPED),
    ],
)
@pytest.mark.parametrize("reads", [True, False])
def test_save_keeps_the_end_that_counts(
    ledger: Ledger, stored: Ending, late: Ending, asked_at: float, counts: Ending, reads: bool
) -> None:
    ledger.save(USER_ID, stored, START, {})
    seen = ledger.read_ending(USER_ID, "r1").item if reads else {}

    assert ledger.save(USER_ID, late, asked_at, seen) == counts
    assert ledger.read_ending(USER_ID, "r1").ending == counts


def test_sent_survives_a_race_of_saves(ledger: Ledger) -> None:
    endings = [SKIPPED, FAILED, SENT, REJECTED] * 3

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda ending: ledger.save(USER_ID, ending, START, {}), endings))

    assert ledger.read_ending(USER_ID, "r1").ending == SENT


def test_first_of_equal_ends_survives_a_race_of_saves(ledger: Ledger) -> None:
    endings = [
        replace(REJECTED, result=replace(REJECTED.result, occurred_at=str(number)))
        for number in range(12)
    ]

    with ThreadPoolExecutor(12) as threads:
        saved = list(threads.map(lambda each: ledger.save(USER_ID, each, START, {}), endings))

    assert len(set(saved)) == 1


def test_many_are_read_in_their_order(ledger: Ledger) -> None:
    ledger.save(USER_ID, SENT, START, {})
    claim(ledger)
    pairs = [("u2", "r1"), (USER_ID, "r2"), (USER_ID, "r1")]
    pairs += [(f"user-{number}", "r1") for number in range(MOST_KEYS_AT_ONCE)]
    known = ledger.read_many(pairs)

    assert [each.ending for each in known[:3]] == [None, None, SENT]
    assert [each.user.claim for each in known[:3]] == [None, FIRST, FIRST]
    assert len(known) == len(pairs)


def test_items_expire_after_history_days(ledger: Ledger, table: Table) -> None:
    claim(ledger)
    ledger.save(USER_ID, SENT, START, {})

    user, request = table.read([USER, (USER[0], "REQUEST#r1")])
    assert user["expires_at"] == request["expires_at"] == START + HISTORY_DAYS * DAY


def test_expired_user_is_unknown_again(ledger: Ledger, table: Table) -> None:
    claim(ledger)
    item = table.read([USER])[0]

    with pytest.raises(ConflictError):
        table.write(USER, {"window_ends_at": 1.0}, {})
    with pytest.raises(ConflictError):
        table.write(("USER#u2", "USER"), {"window_ends_at": 1.0}, item)


def test_stored_items_of_a_newer_version_are_read(ledger: Ledger, table: Table) -> None:
    claim(ledger)
    ledger.save(USER_ID, SENT, START, {})
    key = (USER[0], "REQUEST#r1")
    user, request = table.read([USER, key])
    newer = {**json.loads(request["result"]), "colour": "red", "schema_version": "1.2"}
    table.write(USER, {**user, "colour": ["red", 1.5]}, user)
    table.write(key, {**request, "result": json.dumps(newer), "colour": 1}, request)
    known = ledger.read(USER_ID, "r1")

    assert known.user.claim == FIRST
    assert known.ending is not None
    assert known.ending.result == replace(SENT.result, schema_version="1.2")
    end_claim(ledger, claimed=known.user)
    assert user_of(ledger).sent_count == 1


def test_conflict_shows_what_the_other_writer_wrote(table: Table) -> None:
    written = table.write(USER, {"sent_count": 1, "invited_at": [1.5], "note": None}, {})

    with pytest.raises(ConflictError) as conflict:
        table.write(USER, {"sent_count": 2}, {})
    stored = table.read([USER])[0]
    assert conflict.value.item == stored
    assert written["revision"] == stored["revision"]
    assert (stored["sent_count"], stored["invited_at"], "note" in stored) == (1, [1.5], False)


class LosingClient:
    """A client of DynamoDB that loses the reply to a write."""

    def __init__(self, client: Any, *, repeats: bool) -> None:
        self._client = client
        self._repeats = repeats

    def put_item(self, **call: Any) -> Any:
        self._client.put_item(**call)
        if not self._repeats:
            raise ReadTimeoutError(endpoint_url="table")
        # As the SDK does by itself.
        return self._client.put_item(**call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.fixture
def losing(aws: LocalAws, name: str) -> Callable[[bool], Ledger]:
    aws.create_table(name, "pk", "sk")

    def make(repeats: bool) -> Ledger:
        client: Any = LosingClient(aws.client("dynamodb"), repeats=repeats)
        return Ledger(DynamoDbTable(client, name), HISTORY_DAYS, lambda: START)

    return make


def test_write_that_the_sdk_repeats_after_a_lost_reply_succeeds_once(
    losing: Callable[[bool], Ledger],
) -> None:
    ledger = losing(True)
    claimed = claim(ledger)
    end_claim(ledger, claimed=claimed)

    assert (user_of(ledger).claim, user_of(ledger).sent_count) == (None, 1)
    assert ledger.save(USER_ID, REJECTED, START, {}) == REJECTED


@pytest.fixture
def forgetful_in_memory() -> Ledger:
    steps = ScriptedSteps()
    for step in ("table.claim", "table.end_claim", "table.save"):
        steps.fail(step, after_effect=True)
    return Ledger(FakeTable(steps), HISTORY_DAYS, lambda: START)


@pytest.fixture
def forgetful_dynamodb(losing: Callable[[bool], Ledger]) -> Ledger:
    return losing(False)


@pytest.fixture(params=["forgetful_in_memory", "forgetful_dynamodb"])
def forgetful(request: pytest.FixtureRequest) -> Ledger:
    ledger: Ledger = request.getfixturevalue(request.param)
    return ledger


def test_lost_reply_raises_although_the_write_had_its_effect(forgetful: Ledger) -> None:
    with pytest.raises(TableUnavailableError):
        claim(forgetful)
    assert user_of(forgetful).claim == FIRST
    with pytest.raises(TableUnavailableError):
        end_claim(forgetful)
    assert (user_of(forgetful).claim, user_of(forgetful).sent_count) == (None, 1)
    with pytest.raises(TableUnavailableError):
        forgetful.save(USER_ID, SENT, START, {})
    assert forgetful.read_ending(USER_ID, "r1").ending == SENT


def test_repetition_after_a_lost_reply_counts_nothing_twice(forgetful: Ledger) -> None:
    with pytest.raises(TableUnavailableError):
        claim(forgetful)
    for _ in range(2):
        try:
            end_claim(forgetful)
        except TableUnavailableError:
            continue

    assert user_of(forgetful).sent_count == 1


@pytest.fixture
def broken_in_memory() -> Ledger:
    steps = ScriptedSteps()
    for step in ("read", "read_ending", "read_user", "claim", "end_claim", "save"):
        steps.fail(f"table.{step}", times=10)
    return Ledger(FakeTable(steps), HISTORY_DAYS, lambda: START)


@pytest.fixture
def missing_table(aws: LocalAws, name: str) -> Ledger:
    return Ledger(DynamoDbTable(aws.client("dynamodb"), name), HISTORY_DAYS, lambda: START)


@pytest.fixture
def unreachable_table(name: str) -> Ledger:
    aws = LocalAws(f"http://127.0.0.1:{free_port()}", logs=Path())
    return Ledger(DynamoDbTable(aws.client("dynamodb"), name), HISTORY_DAYS, lambda: START)


@pytest.fixture(params=["broken_in_memory", "missing_table", "unreachable_table"])
def broken(request: pytest.FixtureRequest) -> Ledger:
    ledger: Ledger = request.getfixturevalue(request.param)
    return ledger


@pytest.mark.parametrize(
    "step",
    [
        lambda ledger: ledger.read(USER_ID, "r1"),
        lambda ledger: ledger.read_ending(USER_ID, "r1"),
        lambda ledger: ledger.claim(USER_ID, UserRecord(), FIRST, HOLD_UNTIL),
        lambda ledger: ledger.save(USER_ID, SENT, START, {}),
        end_claim,
    ],
    ids=["read", "read_ending", "claim", "save", "end_claim"],
)
def test_table_that_does_not_answer_raises_one_error(
    broken: Ledger, step: Callable[[Ledger], object]
) -> None:
    with pytest.raises(TableUnavailableError):
        step(broken)


class RefusingClient:
    """A client of DynamoDB whose every call is refused."""

    def __init__(self, code: str) -> None:
        self._error = ClientError({"Error": {"Code": code, "Message": "refused"}}, "any")

    def put_item(self, **_: Any) -> Any:
        raise self._error

    def batch_get_item(self, **_: Any) -> Any:
        raise self._error


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
def test_refusal_of_dynamodb_raises_one_error(code: str) -> None:
    client: Any = RefusingClient(code)
    ledger = Ledger(DynamoDbTable(client, "table"), HISTORY_DAYS, lambda: START)

    with pytest.raises(TableUnavailableError, match=code):
        ledger.read(USER_ID, "r1")
    with pytest.raises(TableUnavailableError, match=code):
        ledger.save(USER_ID, SENT, START, {})


class ThrottledClient:
    """A client of DynamoDB that leaves keys unprocessed for some calls."""

    def __init__(self, client: Any, times: int) -> None:
        self._client = client
        self._times = times

    def batch_get_item(self, **call: Any) -> Any:
        if not self._times:
            return self._client.batch_get_item(**call)
        self._times -= 1
        return {"Responses": {}, "UnprocessedKeys": call["RequestItems"]}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.fixture
def throttled(aws: LocalAws, name: str) -> Callable[[int], Ledger]:
    aws.create_table(name, "pk", "sk")

    def make(times: int) -> Ledger:
        client: Any = ThrottledClient(aws.client("dynamodb"), times)
        table = DynamoDbTable(client, name, sleep=lambda _: None)
        return Ledger(table, HISTORY_DAYS, lambda: START)

    return make


def test_keys_that_dynamodb_leaves_unread_are_read_again(
    throttled: Callable[[int], Ledger],
) -> None:
    throttled(0).save(USER_ID, SENT, START, {})

    assert throttled(3).read(USER_ID, "r1").ending == SENT
    with pytest.raises(TableUnavailableError):
        throttled(4).read(USER_ID, "r1")
