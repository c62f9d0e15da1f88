"""The real adapters of a sweep: its item, its queue, its topic, its search."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from botocore.stub import Stubber

from invitations.adapters.partoo import PartooApi
from invitations.adapters.sns import SnsResultTopic
from invitations.adapters.sqs import SqsSweepQueue
from invitations.adapters.sweeps import DynamoDbSweepStore
from invitations.directory import View, Walk, read_listing
from invitations.errors import LedgerUnavailableError, QueueUnavailableError, TopicUnavailableError
from invitations.models import Answered, Copy, NeverSent, Progress, Source, Unanswered
from invitations.sweeps import Counts, StoredSweep, Sweep, Terms, summarize
from local.aws import LocalAws
from local.partoo.control import ANY_SEARCH, Answer, PartooControl, User, running_stand_in
from local.processes import free_port
from local.stack import subscribe_queue
from tests.fakes import START

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

SWEEP = Sweep(
    "sweep-1",
    Terms(0.5, 3, 0, ("PUBLISHER",)),
    START,
    "holder",
    START + 60,
    Walk(204, ("u1", "u2")),
    Counts(7, 3, 3, {"sso_only": 4}, 2),
)


class TestStore:
    @pytest.fixture
    def store(self, aws: LocalAws, name: str) -> DynamoDbSweepStore:
        aws.create_table(name, "pk", "sk")
        return DynamoDbSweepStore(aws.client("dynamodb"), name)

    def test_has_no_sweep_at_first(self, store: DynamoDbSweepStore) -> None:
        assert store.read() == (0, None)

    def test_keeps_a_sweep_whole(self, store: DynamoDbSweepStore) -> None:
        assert store.write(0, SWEEP) == StoredSweep(1, SWEEP)
        assert store.read() == (1, SWEEP)

    @pytest.mark.parametrize("version", [0, 1, 3])
    def test_takes_no_sweep_on_another_version(
        self, store: DynamoDbSweepStore, version: int
    ) -> None:
        store.write(0, SWEEP)
        store.write(1, SWEEP.let_go())

        assert store.write(version, replace(SWEEP, sweep_id="other")) is None
        assert store.read() == (2, SWEEP.let_go())

    def test_has_written_what_it_was_to_repeat_after_a_lost_reply(
        self, store: DynamoDbSweepStore
    ) -> None:
        store.write(0, SWEEP)

        assert store.write(0, SWEEP) == StoredSweep(1, SWEEP)

    @pytest.mark.parametrize("code", ["ThrottlingException", "ResourceNotFoundException"])
    def test_that_does_not_answer_is_an_outage(self, aws: LocalAws, code: str) -> None:
        client: DynamoDBClient = aws.client("dynamodb")
        store, replies = DynamoDbSweepStore(client, "table"), Stubber(client)
        replies.add_client_error("get_item", code)
        replies.add_client_error("put_item", code)

        with replies:
            with pytest.raises(LedgerUnavailableError, match=code):
                store.read()
            with pytest.raises(LedgerUnavailableError, match=code):
                store.write(0, SWEEP)


class TestQueue:
    def test_takes_requests_and_orders(self, aws: LocalAws, name: str) -> None:
        sqs = aws.client("sqs")
        requests, orders = (
            sqs.create_queue(QueueName=f"{name}{suffix}")["QueueUrl"] for suffix in ("", "-orders")
        )
        queue = SqsSweepQueue(lambda: sqs, requests, orders)
        progress = Progress("r1", Source.SWEEP, "r1")

        errors = queue.ask([Copy("body", progress, 0)] * 25)
        queue.put_off("order", 0)

        assert errors == [None] * 25
        count = sqs.get_queue_attributes(
            QueueUrl=requests, AttributeNames=["ApproximateNumberOfMessages"]
        )
        assert count["Attributes"]["ApproximateNumberOfMessages"] == "25"
        (order,) = sqs.receive_message(QueueUrl=orders)["Messages"]
        assert order["Body"] == "order"

    def test_that_is_not_there_is_an_outage(self, aws: LocalAws) -> None:
        missing = f"{aws.endpoint_url}/000000000000/missing"
        queue = SqsSweepQueue(lambda: aws.client("sqs"), missing, missing)

        with pytest.raises(QueueUnavailableError):
            queue.put_off("order", 0)
        (error,) = queue.ask([Copy("body", Progress(), 0)])
        assert isinstance(error, QueueUnavailableError)


class TestTopic:
    def test_publishes_a_summary_that_can_be_filtered(self, aws: LocalAws, name: str) -> None:
        sns, sqs = aws.client("sns"), aws.client("sqs")
        topic_arn = sns.create_topic(Name=name)["TopicArn"]
        queue_url = subscribe_queue(aws, name, topic_arn)
        summary = summarize(SWEEP, "completed", START + 2)

        SnsResultTopic(sns, topic_arn).publish_summary(summary)

        (message,) = sqs.receive_message(
            QueueUrl=queue_url, MessageAttributeNames=["All"], WaitTimeSeconds=5
        )["Messages"]
        assert message["Body"] == summary.to_json()
        assert {
            name: value["StringValue"] for name, value in message["MessageAttributes"].items()
        } == {"status": "swept", "reason": "completed", "source": "sweep"}

    def test_that_is_not_there_is_an_outage(self, aws: LocalAws) -> None:
        topic = SnsResultTopic(aws.client("sns"), "arn:aws:sns:eu-west-1:000000000000:missing")

        with pytest.raises(TopicUnavailableError):
            topic.publish_summary(summarize(SWEEP, "completed", START))


class TestSearch:
    @pytest.fixture
    def partoo(self) -> Iterator[tuple[PartooApi, PartooControl]]:
        with running_stand_in("key") as base_url:
            yield (
                PartooApi(base_url, 2, lambda: START, connections=1),
                PartooControl(base_url),
            )

    def test_shows_the_invited_who_are_not_disabled_in_order(
        self, partoo: tuple[PartooApi, PartooControl]
    ) -> None:
        api, control = partoo
        control.add_users(
            User("b", email="b@example.com"),
            User("a", email="a@example.com"),
            User("active", status="active"),
            User("disabled", disabled=True),
        )

        outcome = api.search(View(1, 100), (), "key")

        assert isinstance(outcome, Answered)
        listing = read_listing(outcome.body)
        assert (listing.count, listing.user_ids) == (2, ("a", "b"))
        assert outcome.excerpt == ""

    def test_shows_the_page_and_the_roles_that_are_asked_for(
        self, partoo: tuple[PartooApi, PartooControl]
    ) -> None:
        api, control = partoo
        control.add_users(*(User(f"{number:03}", role="PUBLISHER") for number in range(120)))
        control.add_users(User("admin", role="ORG_ADMIN"))

        outcome = api.search(View(2, 60), ("PUBLISHER", "PROVIDER"), "key")

        assert isinstance(outcome, Answered)
        assert read_listing(outcome.body).user_ids[0] == "060"
        (call,) = control.calls(operation="search")
        assert "display_business_ids=False" in call.path

    def test_a_refusal_is_told_with_its_beginning(
        self, partoo: tuple[PartooApi, PartooControl]
    ) -> None:
        api, _ = partoo

        outcome = api.search(View(), (), "wrong")

        assert isinstance(outcome, Answered)
        assert (outcome.http_status, outcome.body) == (401, "")
        assert "authentication" in outcome.excerpt

    @pytest.mark.parametrize(
        "answer", [Answer(drop="after"), Answer(delay_seconds=3), Answer(status=503)]
    )
    def test_an_answer_that_does_not_come_is_no_list(
        self, partoo: tuple[PartooApi, PartooControl], answer: Answer
    ) -> None:
        api, control = partoo
        control.script(ANY_SEARCH, answer)

        outcome = api.search(View(), (), "key")

        if answer.status == 503:
            assert isinstance(outcome, Answered)
            assert outcome.body == ""
        else:
            assert isinstance(outcome, Unanswered)

    def test_a_list_of_a_hundred_with_all_that_is_said_of_them_is_read(
        self, partoo: tuple[PartooApi, PartooControl]
    ) -> None:
        api, control = partoo
        users = [
            User(f"{number:024x}", business_ids=tuple(f"{each:024x}" for each in range(20)))
            for number in range(100)
        ]
        control.add_users(*users)
        body = json.dumps({"count": 100, "users": [{"id": "x" * 5_000}] * 100})
        control.script(ANY_SEARCH, Answer(body=body))

        outcome = api.search(View(), (), "key")

        assert isinstance(outcome, Answered)
        assert outcome.body == body

    def test_nobody_there_is_no_call(self) -> None:
        api = PartooApi(f"http://127.0.0.1:{free_port()}/v2", 2, lambda: START, connections=1)

        assert isinstance(api.search(View(), (), "key"), NeverSent)
