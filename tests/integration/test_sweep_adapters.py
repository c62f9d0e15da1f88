"""What a sweep uses outside: its item, its queues, its topic, the search."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from botocore.stub import Stubber

from invitations.errors import QueueUnavailableError, TableUnavailableError
from invitations.messages import RetryState, SweepCriteria
from invitations.outcomes import Answered, NotSent, Unknown
from invitations.partoo import PartooApi
from invitations.queues import MessageQueue
from invitations.results import Source
from invitations.sweeps.criteria import Criteria
from invitations.sweeps.cursor import Cursor, Page, read_listing
from invitations.sweeps.store import SweepStore
from invitations.sweeps.sweep import Organisation, Sweep
from invitations.table import DynamoDbTable
from invitations.topic import ResultTopic
from local.aws import LocalAws
from local.partoo.control import ANY_SEARCH, Answer, PartooControl, User, running_fake_partoo
from local.processes import free_port
from local.stack import subscribe_queue

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

START = 1_800_000_000.0
SWEEP = Sweep(
    "sweep-1",
    Criteria(0.5, 3, 0, ("PUBLISHER",), ("1", "2")),
    START,
    (
        Organisation("1", "sweep_failed", "search_refused", "A sentence.", 403),
        Organisation("2", found=7, due=3, pages=2, skipped={"sso_only": 4}),
    ),
    Cursor(204, ("u1", "u2"), 90),
    "holder",
    START + 60,
)


class TestStore:
    @pytest.fixture
    def store(self, aws: LocalAws, name: str) -> SweepStore:
        aws.create_table(name, "pk", "sk")
        return SweepStore(DynamoDbTable(aws.client("dynamodb"), name))

    def test_has_no_sweep_at_first(self, store: SweepStore) -> None:
        assert store.read() == (None, {})

    def test_keeps_a_sweep_whole(self, store: SweepStore) -> None:
        item = store.write(SWEEP, {})

        assert store.read() == (SWEEP, item)

    def test_refuses_a_sweep_in_the_place_of_another_item(self, store: SweepStore) -> None:
        first = store.write(SWEEP, {})
        assert first is not None
        second = store.write(SWEEP.leased(None, 0), first)

        for seen in ({}, first):
            assert store.write(replace(SWEEP, sweep_id="other"), seen) is None
        assert store.read() == (SWEEP.leased(None, 0), second)

    def test_leaves_out_what_a_newer_version_added(self, store: SweepStore) -> None:
        document = json.loads(SWEEP.to_json())
        document["new"] = document["cursor"]["new"] = document["organisations"][0]["new"] = 1

        assert Sweep.from_json(json.dumps(document)) == SWEEP

    @pytest.mark.parametrize("code", ["ThrottlingException", "ResourceNotFoundException"])
    def test_raises_when_the_table_does_not_answer(self, aws: LocalAws, code: str) -> None:
        client: DynamoDBClient = aws.client("dynamodb")
        store, replies = SweepStore(DynamoDbTable(client, "table")), Stubber(client)
        replies.add_client_error("batch_get_item", code)
        replies.add_client_error("put_item", code)

        with replies:
            with pytest.raises(TableUnavailableError, match=code):
                store.read()
            with pytest.raises(TableUnavailableError, match=code):
                store.write(SWEEP, {})


class TestQueues:
    def test_take_requests_and_sweep_requests(self, aws: LocalAws, name: str) -> None:
        sqs = aws.client("sqs")
        bulk_url, sweeps_url = (
            sqs.create_queue(QueueName=f"{name}{suffix}")["QueueUrl"] for suffix in ("", "-sweeps")
        )
        state = RetryState("r1", Source.SWEEP, START, criteria=SweepCriteria(3, 259_200))

        MessageQueue(sqs, bulk_url).send([("body", state)] * 25)
        MessageQueue(sqs, sweeps_url).send_text("sweep request", 0)

        count = sqs.get_queue_attributes(
            QueueUrl=bulk_url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        assert count["Attributes"]["ApproximateNumberOfMessages"] == "25"
        (request,) = sqs.receive_message(QueueUrl=bulk_url, MessageAttributeNames=["All"])[
            "Messages"
        ]
        text = request["MessageAttributes"]["retry_state"]["StringValue"]
        assert RetryState.from_json(text) == state
        (sweep_request,) = sqs.receive_message(QueueUrl=sweeps_url)["Messages"]
        assert sweep_request["Body"] == "sweep request"

    def test_raise_when_they_are_not_there(self, aws: LocalAws) -> None:
        queue = MessageQueue(aws.client("sqs"), f"{aws.endpoint_url}/000000000000/missing")

        with pytest.raises(QueueUnavailableError):
            queue.send_text("sweep request", 0)
        with pytest.raises(QueueUnavailableError):
            queue.send([("body", RetryState("r1", Source.SWEEP, START))])


def test_summary_is_published_with_attributes_to_filter_by(aws: LocalAws, name: str) -> None:
    sns, sqs = aws.client("sns"), aws.client("sqs")
    topic_arn = sns.create_topic(Name=name)["TopicArn"]
    queue_url = subscribe_queue(aws, name, topic_arn)
    summary = SWEEP.organisation_ended("swept", "completed").summary(START + 2)

    ResultTopic(sns, topic_arn).publish_summary(summary)

    (message,) = sqs.receive_message(
        QueueUrl=queue_url, MessageAttributeNames=["All"], WaitTimeSeconds=5
    )["Messages"]
    assert json.loads(message["Body"]) == summary
    attributes = message["MessageAttributes"]
    assert {name: value["StringValue"] for name, value in attributes.items()} == {
        "status": "sweep_failed",
        "reason": "search_refused",
        "source": "sweep",
    }


class TestSearch:
    @pytest.fixture
    def partoo(self) -> Iterator[tuple[PartooApi, PartooControl]]:
        with running_fake_partoo("key") as base_url:
            yield PartooApi(base_url, 2), PartooControl(base_url)

    def test_shows_the_page_that_is_asked_for(
        self, partoo: tuple[PartooApi, PartooControl]
    ) -> None:
        api, control = partoo
        control.add_users(
            *(User(f"{number:03}", role="PUBLISHER") for number in range(120)),
            User("admin", role="ORG_ADMIN"),
            User("active", status="active", role="PUBLISHER"),
        )
        page = Page(2, 60)
        query = {
            "status": "invited",
            "disabled": "False",
            "display_business_ids": "False",
            "order_by": "email",
            "role": "PUBLISHER,PROVIDER",
            "page": str(page.number),
            "per_page": str(page.size),
        }

        response = api.search(query, "key")

        assert isinstance(response, Answered)
        listing = read_listing(response.body, page)
        assert (listing.count, listing.users[0].user_id) == (120, "060")
        assert (listing.users[0].org_id, response.excerpt) == ("1", "")

    def test_refused_is_told_with_the_beginning_of_the_answer(
        self, partoo: tuple[PartooApi, PartooControl]
    ) -> None:
        response = partoo[0].search({}, "wrong")

        assert isinstance(response, Answered)
        assert (response.http_status, response.body) == (401, "")
        assert "authentication" in response.excerpt

    @pytest.mark.parametrize("answer", [Answer(drop="after"), Answer(delay_seconds=3)])
    def test_without_an_answer_has_an_unknown_outcome(
        self, partoo: tuple[PartooApi, PartooControl], answer: Answer
    ) -> None:
        api, control = partoo
        control.script(ANY_SEARCH, answer)

        assert isinstance(api.search({}, "key"), Unknown)

    def test_reads_a_page_of_users_with_many_fields(
        self, partoo: tuple[PartooApi, PartooControl]
    ) -> None:
        api, control = partoo
        body = json.dumps({"count": 100, "users": [{"id": "x" * 5_000}] * 100})
        control.script(ANY_SEARCH, Answer(body=body))

        response = api.search({}, "key")

        assert isinstance(response, Answered)
        assert response.body == body

    def test_without_a_server_is_not_sent(self) -> None:
        api = PartooApi(f"http://127.0.0.1:{free_port()}/v2", 2)

        assert isinstance(api.search({}, "key"), NotSent)
