"""The operator's commands read, delete and change the items that the functions write."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from invitations.ledger import Ledger, UserRecord
from invitations.limiter_state import Token, Wait
from invitations.messages import ClaimEnd, Pace, StoredResult
from invitations.rate_limiter import RateLimiter
from invitations.results import Reason, Result, Status, request_result
from invitations.table import DynamoDbTable
from local.aws import LocalAws
from local.errors import CommandError
from ops import invite, limiter
from ops.deployed import Deployed
from ops.forget import forget
from ops.known import KnownUser, read_user
from ops.tail import temporary_queue
from tests.fakes import START, a_request

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

WINDOW_ENDS_AT = START + 300
SENT = request_result(a_request(), Status.SENT, Reason.INVITED, START, sent_count=1)


@dataclass(frozen=True)
class Written:
    """A table that the functions' ledger writes and the commands read."""

    client: "DynamoDBClient"
    table_name: str

    @property
    def ledger(self) -> Ledger:
        return Ledger(DynamoDbTable(self.client, self.table_name), 90, time.time)

    def claim(self, request_id: str, now: float = START) -> UserRecord:
        user = self.ledger.read("u1", request_id).user
        record = user.claimed(request_id, f"claim-{request_id}", now, now + 360)
        claimed = self.ledger.claim("u1", record)
        assert claimed is not None
        return claimed

    def send(self, request_id: str, now: float = START) -> Result:
        claimed = self.claim(request_id, now)
        result = replace(SENT, request_id=request_id)
        self.ledger.save("u1", StoredResult(result, now), now, {})
        end = ClaimEnd(now + 300, now, sent=True)
        self.ledger.end_claim("u1", f"claim-{request_id}", claimed, end)
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


def put_limiter_item(written: Written, pause_reason: str, numbers: Mapping[str, float]) -> None:
    item: Any = {
        "pk": {"S": "LIMITER"},
        "sk": {"S": "LIMITER"},
        "revision": {"S": "1"},
        "pause_reason": {"S": pause_reason},
        **{name: {"N": str(number)} for name, number in numbers.items()},
    }
    written.client.put_item(TableName=written.table_name, Item=item)


def test_user_without_items_is_unknown(written: Written) -> None:
    written.send("r1")

    assert written.known("u") is None


def test_open_claim_holds_the_window(written: Written) -> None:
    written.claim("r1")

    known = written.known()
    assert known is not None
    assert known.open_claim == ("r1", START)
    assert known.window_is_active(START)


def test_all_results_of_a_user_are_read(written: Written) -> None:
    first, second = written.send("r1"), written.send("r2", START + 400)

    known = written.known()
    assert known is not None
    assert (known.sent_count, known.maybe_sent_count) == (2, 0)
    assert known.invited_at == [START, START + 400]
    assert (known.window_ends_at, known.open_claim) == (START + 700, None)
    assert known.results == [json.loads(each.to_json()) for each in (second, first)]


def test_all_items_of_a_user_are_deleted_and_no_others(written: Written) -> None:
    written.send("r1")
    written.send("r2", START + 400)
    other = {"pk": {"S": "USER#u11"}, "sk": {"S": "USER"}}
    written.client.put_item(TableName=written.table_name, Item=other)

    assert written.forget(START + 1000) == 3
    assert written.known() is None
    assert written.client.scan(TableName=written.table_name)["Items"] == [other]
    assert written.forget(START + 1000) == 0


def test_window_is_deleted_once_it_is_over_by_every_clock(written: Written) -> None:
    written.send("r1")

    with pytest.raises(CommandError, match="FORCE=1"):
        written.forget(WINDOW_ENDS_AT + 1.9)
    assert written.known() is not None
    assert written.forget(WINDOW_ENDS_AT + 2) == 2


def test_active_window_is_deleted_with_force(written: Written) -> None:
    written.send("r1")

    assert written.forget(START + 1, force=True) == 2


def test_pause_lasts_until_the_year_3000_and_replaces_the_item(written: Written) -> None:
    limiter.pause(written.client, written.table_name)
    item = written.limiter_item()
    limiter.pause(written.client, written.table_name)

    assert written.limiter_item()["revision"] != item.pop("revision")
    assert item == {"paused_until": "32503680000", "pause_reason": "operator"}


def test_resume_ends_the_pause_once_and_voids_all_appointments(written: Written) -> None:
    numbers = {"full_at": 5, "event_line_at": 6, "bulk_line_at": 7, "failures": 3, "probe_until": 9}
    put_limiter_item(written, pause_reason="outage", numbers=numbers)
    limiter.pause(written.client, written.table_name)
    revision = written.limiter_item()["revision"]

    resumed = [limiter.resume(written.client, written.table_name, START) for _ in range(2)]

    item = written.limiter_item()
    assert resumed == [True, False]
    assert item.pop("revision") != revision
    assert {name: float(value) for name, value in item.items()} == {
        "paused_until": START,
        "full_at": START,
        "event_line_at": 0,
        "bulk_line_at": 0,
        "failures": 0,
    }


def test_resume_leaves_other_pauses_alone(written: Written) -> None:
    assert not limiter.resume(written.client, written.table_name, START)
    assert written.limiter_item() == {}

    put_limiter_item(written, pause_reason="throttled", numbers={"paused_until": 5})
    before = written.limiter_item()
    assert not limiter.resume(written.client, written.table_name, START)
    assert written.limiter_item() == before


def test_warm_container_stops_during_a_pause_and_continues_after_it(written: Written) -> None:
    rate_limiter = RateLimiter(DynamoDbTable(written.client, written.table_name), 300)
    assert isinstance(rate_limiter.take_token(Pace.EVENT), Token)

    limiter.pause(written.client, written.table_name)
    paused = rate_limiter.take_token(Pace.EVENT)
    limiter.resume(written.client, written.table_name, time.time())
    resumed = rate_limiter.take_token(Pace.EVENT)

    assert isinstance(paused, Wait)
    assert paused.cause == "operator"
    assert isinstance(resumed, Token)


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
    assert f"Request {request['request_id']} for user u1 is on the queue" in printed
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
        pytest.raises(CommandError, match=name),
        temporary_queue(sqs, sns, topic_arn, name) as queue_url,
    ):
        sqs.delete_queue(QueueUrl=queue_url)
