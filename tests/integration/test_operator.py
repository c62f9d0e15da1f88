"""The operator's commands read, delete and change the items that the functions write."""

import json
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from invitations.ledger import Claim, Ledger, UserRecord
from invitations.limiter_state import Token, Wait
from invitations.messages import Ending, Pace
from invitations.rate_limiter import RateLimiter
from invitations.results import Result
from invitations.table import DynamoDbTable
from local.aws import LocalAws
from ops import invite, limiter
from ops.deployed import Deployed
from ops.forget import WindowActiveError, forget
from ops.known import KnownUser, OpenClaim, read_user
from ops.tail import LeftBehindError, temporary_queue

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

START = 1_800_000_000.0
WINDOW_ENDS_AT = START + 300
SENT = Result(
    result_id=str(uuid.uuid4()),
    request_id="r1",
    user_id="u1",
    correlation_id=None,
    source="sqs",
    status="sent",
    reason="invited",
    detail=None,
    http_status=200,
    attempts=1,
    occurred_at="2027-01-15T08:00:00.000Z",
    sent_count=1,
)


@dataclass(frozen=True)
class Written:
    """A table that the functions' ledger writes and the commands read."""

    client: "DynamoDBClient"
    table_name: str

    @property
    def ledger(self) -> Ledger:
        return Ledger(DynamoDbTable(self.client, self.table_name), 90, time.time)

    def claim(self, request_id: str, now: float = START) -> tuple[Claim, UserRecord]:
        claim = Claim(f"claim-{request_id}", request_id, now)
        seen = self.ledger.read("u1", request_id).user
        record = self.ledger.claim("u1", seen, claim, now + 360)
        assert record is not None
        return claim, record

    def send(self, request_id: str, now: float = START) -> Result:
        claim, record = self.claim(request_id, now)
        result = replace(SENT, request_id=request_id)
        self.ledger.save("u1", Ending(result, now), now, {})
        self.ledger.end_claim(
            "u1",
            claim.claim_id,
            claimed=record,
            window_ends_at=now + 300,
            invited_at=now,
            sent=True,
        )
        return result

    def known(self, user_id: str = "u1") -> KnownUser | None:
        return read_user(self.client, self.table_name, user_id)

    def forget(self, now: float, *, force: bool = False) -> int:
        return forget(self.client, self.table_name, "u1", now=now, force=force)

    def limiter_item(self) -> dict[str, Any]:
        key: Any = {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}
        answer: Any = self.client.get_item(TableName=self.table_name, Key=key, ConsistentRead=True)
        return {
            name: next(iter(value.values()))
            for name, value in answer.get("Item", {}).items()
            if name not in key
        }


@pytest.fixture
def written(aws: LocalAws, name: str) -> Written:
    aws.create_table(name, "pk", "sk")
    return Written(aws.client("dynamodb"), name)


def test_user_without_items_is_unknown(written: Written) -> None:
    written.send("r1")

    assert written.known("u") is None


def test_claim_is_open_and_holds_the_window(written: Written) -> None:
    written.claim("r1")

    known = written.known()

    assert known is not None
    assert known.open_claim == OpenClaim("r1", START)
    assert known.window_is_active(START)


def test_all_results_of_a_user_are_read(written: Written) -> None:
    first, second = written.send("r1"), written.send("r2", START + 400)

    known = written.known()

    assert known is not None
    assert (known.sent_count, known.maybe_sent_count) == (2, 0)
    assert known.invited_at == [START, START + 400]
    assert known.window_ends_at == START + 700
    assert known.open_claim is None
    assert known.results == [json.loads(each.to_json()) for each in (second, first)]


def test_all_items_of_a_user_are_deleted_and_no_others(written: Written) -> None:
    written.send("r1")
    written.send("r2", START + 400)
    other = {"pk": {"S": "USER#u11"}, "sk": {"S": "USER"}}
    written.client.put_item(TableName=written.table_name, Item=other)

    deleted = written.forget(START + 1000)

    assert deleted == 3
    assert written.known() is None
    assert written.client.scan(TableName=written.table_name)["Items"] == [other]
    assert written.forget(START + 1000) == 0


@pytest.mark.parametrize("now", [START + 1, WINDOW_ENDS_AT + 1.9])
def test_active_window_is_not_deleted(written: Written, now: float) -> None:
    written.send("r0", START - 400)
    written.send("r1")

    with pytest.raises(WindowActiveError, match="FORCE=1"):
        written.forget(now)

    known = written.known()
    assert known is not None
    assert len(known.results) == 2


def test_active_window_is_deleted_with_force(written: Written) -> None:
    written.send("r1")

    assert written.forget(START + 1, force=True) == 2
    assert written.known() is None


def test_window_is_deleted_when_it_is_over(written: Written) -> None:
    written.send("r1")

    assert written.forget(WINDOW_ENDS_AT + 2) == 2


def test_pause_lasts_until_the_year_3000(written: Written) -> None:
    limiter.pause(written.client, written.table_name)

    item = written.limiter_item()
    assert item.pop("revision")
    assert item == {"paused_until": "32503680000", "pause_reason": "operator"}


def test_each_pause_has_a_new_revision(written: Written) -> None:
    limiter.pause(written.client, written.table_name)
    revision = written.limiter_item()["revision"]

    limiter.pause(written.client, written.table_name)

    assert written.limiter_item()["revision"] != revision


def test_resume_ends_the_pause_and_voids_all_appointments(written: Written) -> None:
    numbers = {"full_at": 5, "event_line_at": 6, "bulk_line_at": 7, "failures": 3, "probe_until": 9}
    _put_limiter_item(written, pause_reason="outage", numbers=numbers)
    limiter.pause(written.client, written.table_name)
    revision = written.limiter_item()["revision"]

    assert limiter.resume(written.client, written.table_name, START)

    item = written.limiter_item()
    assert item.pop("revision") != revision
    assert {name: float(value) for name, value in item.items()} == {
        "paused_until": START,
        "full_at": START,
        "event_line_at": 0,
        "bulk_line_at": 0,
        "failures": 0,
    }


@pytest.mark.parametrize("pause_reason", [None, "throttled", "outage", "key_refused"])
def test_resume_leaves_other_pauses_alone(written: Written, pause_reason: str | None) -> None:
    if pause_reason is not None:
        _put_limiter_item(written, pause_reason=pause_reason, numbers={"paused_until": 5})
    before = written.limiter_item()

    assert not limiter.resume(written.client, written.table_name, START)

    assert written.limiter_item() == before


def test_functions_stop_during_a_pause_and_continue_after_it(written: Written) -> None:
    # The same instance throughout, as in a warm container.
    rate_limiter = RateLimiter(DynamoDbTable(written.client, written.table_name), 300)
    assert isinstance(rate_limiter.admit(Pace.EVENT), Token)

    limiter.pause(written.client, written.table_name)
    paused = rate_limiter.admit(Pace.EVENT)
    limiter.resume(written.client, written.table_name, time.time())
    resumed = rate_limiter.admit(Pace.EVENT)

    assert isinstance(paused, Wait)
    assert paused.cause == "operator"
    assert 600 <= paused.until - time.time() <= 900
    assert isinstance(resumed, Token)


def test_nothing_is_left_of_a_pause_after_a_second_resume(written: Written) -> None:
    limiter.pause(written.client, written.table_name)

    resumed = [limiter.resume(written.client, written.table_name, START) for _ in range(2)]

    assert resumed == [True, False]


@pytest.fixture
def deployed(aws: LocalAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """A stack with a queue and a table, without functions."""
    for variable, value in aws.environment().items():
        if variable.startswith("AWS_"):
            monkeypatch.setenv(variable, value)
    # boto3 keeps the first credentials of the process in its default session.
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setattr(invite, "_PATIENCE_SECONDS", 0.01)
    aws.create_table(name, "pk", "sk")
    queue_url = aws.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    deployed = Deployed(name, {"RequestQueueUrl": queue_url, "TableName": name})
    monkeypatch.setattr(invite, "find_stack", lambda _name: deployed)
    return deployed


def test_request_without_a_result_waits_on_a_queue(
    deployed: Deployed, aws: LocalAws, capsys: pytest.CaptureFixture[str]
) -> None:
    code = invite.main("u1", deployed.name)

    (message,) = aws.client("sqs").receive_message(QueueUrl=deployed.output("RequestQueueUrl"))[
        "Messages"
    ]
    request, printed = json.loads(message["Body"]), capsys.readouterr().out
    assert (code, request["user_id"]) == (0, "u1")
    assert f"Request {request['request_id']} is on the queue" in printed
    assert "make status USER=u1" in printed


def test_unreadable_ledger_is_no_failure_of_the_request(
    deployed: Deployed, aws: LocalAws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.client("dynamodb").delete_table(TableName=deployed.output("TableName"))

    code = invite.main("u1", deployed.name)

    assert code == 0
    assert "cannot be read from here" in capsys.readouterr().out


def test_temporary_queue_receives_the_messages_of_the_topic(aws: LocalAws, name: str) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    topic_arn = sns.create_topic(Name=name)["TopicArn"]

    with temporary_queue(sqs, sns, topic_arn, name) as queue_url:
        sns.publish(TopicArn=topic_arn, Message="{}")
        (message,) = sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=5)["Messages"]

    assert message["Body"] == "{}"


def test_temporary_queue_is_deleted_after_an_interruption(aws: LocalAws, name: str) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    topic_arn = sns.create_topic(Name=name)["TopicArn"]

    with suppress(KeyboardInterrupt), temporary_queue(sqs, sns, topic_arn, name) as queue_url:
        assert sqs.list_queues(QueueNamePrefix=name)["QueueUrls"] == [queue_url]
        raise KeyboardInterrupt

    assert not sqs.list_queues(QueueNamePrefix=name).get("QueueUrls")
    assert sns.list_subscriptions_by_topic(TopicArn=topic_arn)["Subscriptions"] == []


def test_temporary_queue_is_deleted_if_it_cannot_be_subscribed(aws: LocalAws, name: str) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    topic_arn = f"arn:aws:sns:eu-west-1:000000000000:{name}"

    with (
        pytest.raises(sns.exceptions.NotFoundException),
        temporary_queue(sqs, sns, topic_arn, name),
    ):
        pass

    assert not sqs.list_queues(QueueNamePrefix=name).get("QueueUrls")


def test_queue_that_cannot_be_deleted_is_named(aws: LocalAws, name: str) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    topic_arn = sns.create_topic(Name=name)["TopicArn"]

    with (
        pytest.raises(LeftBehindError, match=name),
        temporary_queue(sqs, sns, topic_arn, name) as queue_url,
    ):
        sqs.delete_queue(QueueUrl=queue_url)


def _put_limiter_item(written: Written, pause_reason: str, numbers: Mapping[str, float]) -> None:
    item: Any = {
        "pk": {"S": "LIMITER"},
        "sk": {"S": "LIMITER"},
        "revision": {"S": "1"},
        "pause_reason": {"S": pause_reason},
        **{name: {"N": str(number)} for name, number in numbers.items()},
    }
    written.client.put_item(TableName=written.table_name, Item=item)
