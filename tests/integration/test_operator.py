"""What the operator's commands read and delete is what the functions write."""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from invitations.adapters.dynamodb import DynamoDbTable
from invitations.ledger import Ledger, Standing, Subject
from invitations.models import Claim, Request, Result, Source, Status, Tally, answer_request
from local import invite
from local.aws import LocalAws
from local.deployed import Deployed
from local.forget import WindowActiveError, forget
from local.known import KnownUser, read_user
from local.tail import LeftBehindError, temporary_queue
from tests.fakes import START

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

WINDOW_ENDS_AT = START + 300


@dataclass(frozen=True)
class Written:
    """A ledger's table, written by the functions' own code and read by the commands'."""

    client: "DynamoDBClient"
    table_name: str

    @property
    def ledger(self) -> Ledger:
        return Ledger(DynamoDbTable(self.client, self.table_name, 90), pause=time.sleep)

    def claim(self, request_id: str, now: float = START) -> Claim:
        claim = Claim(f"claim-{request_id}", request_id, "u1")
        standing = self.ledger.claim(
            claim, None, life_id="life", tally=Tally(), now=now, hold_until=now + 360
        )
        assert isinstance(standing, Standing)
        return claim

    def send(self, request_id: str, now: float = START) -> Result:
        claim, result = self.claim(request_id, now), _sent(request_id, now)
        return self.ledger.finish(
            claim, None, result, life_id="life", answered_at=now, window_ends_at=now + 300
        )

    def known(self, user_id: str = "u1") -> KnownUser | None:
        return read_user(self.client, self.table_name, user_id)

    def forget(self, now: float, *, force: bool = False) -> int:
        return forget(self.client, self.table_name, "u1", now=now, force=force)


@pytest.fixture
def written(aws: LocalAws, name: str) -> Written:
    aws.create_table(name, "pk", "sk")
    return Written(aws.client("dynamodb"), name)


def test_nothing_is_known_of_a_user_whom_nobody_asked(written: Written) -> None:
    written.send("r1")

    assert written.known("u") is None


def test_a_claimed_request_is_open_and_holds_the_window(written: Written) -> None:
    written.claim("r1")

    known = written.known()

    assert known is not None
    assert known.open_request is not None
    assert (known.open_request.request_id, known.open_request.attempts) == ("r1", 1)
    assert known.open_request.is_held
    assert known.window_is_active(START)


def test_all_results_of_a_user_are_read(written: Written) -> None:
    first, second = written.send("r1"), written.send("r2", START + 400)

    known = written.known()

    assert known is not None
    assert (known.sent_count, known.last_sent_at) == (2, START + 400)
    assert known.window_ends_at == START + 700
    assert known.result_of("r1") == json.loads(first.to_json())
    assert known.latest == json.loads(second.to_json())


def test_a_result_without_a_call_is_read_too(written: Written) -> None:
    written.send("r1")
    skipped = _sent("r2", START)._replace(status=Status.SKIPPED, reason="window_active")
    written.ledger.conclude(skipped, Subject("u1", "r2"), None, life_id="life", now=START)

    known = written.known()

    assert known is not None
    assert known.result_of("r2") == json.loads(skipped.to_json())


def test_a_user_is_forgotten_to_the_last_item_and_nobody_else(written: Written) -> None:
    written.send("r1")
    written.send("r2", START + 400)
    other = {"pk": {"S": "USER#u11"}, "sk": {"S": "USER"}}
    written.client.put_item(TableName=written.table_name, Item=other)

    deleted = written.forget(START + 1000)

    assert deleted == 2
    assert written.known() is None
    assert written.client.scan(TableName=written.table_name)["Items"] == [other]
    assert written.forget(START + 1000) == 0


@pytest.mark.parametrize("now", [START + 1, WINDOW_ENDS_AT + 1.9])
def test_an_active_window_is_not_forgotten(written: Written, now: float) -> None:
    written.send("r0", START - 400)
    written.send("r1")

    with pytest.raises(WindowActiveError, match="FORCE=1"):
        written.forget(now)

    known = written.known()
    assert known is not None
    assert len(known.results) == 2


def test_an_active_window_is_forgotten_when_that_is_wanted(written: Written) -> None:
    written.send("r1")

    assert written.forget(START + 1, force=True) == 1
    assert written.known() is None


def test_a_window_is_forgotten_once_it_is_over(written: Written) -> None:
    written.send("r1")

    assert written.forget(WINDOW_ENDS_AT + 2) == 1


@pytest.fixture
def deployed(aws: LocalAws, name: str, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """A stack's queue and table, without functions."""
    for variable, value in aws.environment().items():
        if variable.startswith("AWS_"):
            monkeypatch.setenv(variable, value)
    # boto3 keeps a session for the whole process, with the credentials that it found first.
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setattr(invite, "_PATIENCE_SECONDS", 0.01)
    aws.create_table(name, "pk", "sk")
    queue_url = aws.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    deployed = Deployed(name, {"RequestQueueUrl": queue_url, "TableName": name})
    monkeypatch.setattr(invite, "find_stack", lambda _name: deployed)
    return deployed


def test_a_request_without_a_result_is_said_to_wait(
    deployed: Deployed, aws: LocalAws, capsys: pytest.CaptureFixture[str]
) -> None:
    code = invite.main("u1", deployed.name)

    (message,) = aws.client("sqs").receive_message(QueueUrl=deployed.output("RequestQueueUrl"))[
        "Messages"
    ]
    request, told = json.loads(message["Body"]), capsys.readouterr().out
    assert (code, request["user_id"]) == (0, "u1")
    assert f"Request {request['request_id']} is on the queue" in told
    assert "make status USER=u1" in told


def test_a_result_that_may_not_be_read_is_no_failure_of_the_request(
    deployed: Deployed, aws: LocalAws, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.client("dynamodb").delete_table(TableName=deployed.output("TableName"))

    code = invite.main("u1", deployed.name)

    assert code == 0
    assert "cannot be seen from here" in capsys.readouterr().out


def test_a_temporary_queue_receives_what_the_topic_publishes(aws: LocalAws, name: str) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    topic_arn = sns.create_topic(Name=name)["TopicArn"]

    with temporary_queue(sqs, sns, topic_arn, name) as queue_url:
        sns.publish(TopicArn=topic_arn, Message="{}")
        (message,) = sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=5)["Messages"]

    assert message["Body"] == "{}"


def test_a_temporary_queue_is_gone_after_an_interruption(aws: LocalAws, name: str) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    topic_arn = sns.create_topic(Name=name)["TopicArn"]

    with suppress(KeyboardInterrupt), temporary_queue(sqs, sns, topic_arn, name) as queue_url:
        assert sqs.list_queues(QueueNamePrefix=name)["QueueUrls"] == [queue_url]
        raise KeyboardInterrupt

    assert not sqs.list_queues(QueueNamePrefix=name).get("QueueUrls")
    assert sns.list_subscriptions_by_topic(TopicArn=topic_arn)["Subscriptions"] == []


def test_nothing_is_left_of_a_queue_that_cannot_be_subscribed(aws: LocalAws, name: str) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    topic_arn = f"arn:aws:sns:eu-west-1:000000000000:{name}"

    with (
        pytest.raises(sns.exceptions.NotFoundException),
        temporary_queue(sqs, sns, topic_arn, name),
    ):
        pass

    assert not sqs.list_queues(QueueNamePrefix=name).get("QueueUrls")


def test_what_could_not_be_removed_is_named(aws: LocalAws, name: str) -> None:
    sqs, sns = aws.client("sqs"), aws.client("sns")
    topic_arn = sns.create_topic(Name=name)["TopicArn"]

    with (
        pytest.raises(LeftBehindError, match=name),
        temporary_queue(sqs, sns, topic_arn, name) as queue_url,
    ):
        sqs.delete_queue(QueueUrl=queue_url)


def _sent(request_id: str, occurred_at: float) -> Result:
    return answer_request(
        Request(request_id, "u1", Source.SQS),
        Status.SENT,
        "invited",
        occurred_at=occurred_at,
        attempts=1,
        http_status=200,
        window_ends_at=occurred_at + 300,
    )
