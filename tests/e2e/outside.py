"""A deployed stack from outside: queues, topic, bus, functions, and the API's call log."""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.aws import LocalAws
from local.partoo.control import Answer, PartooControl, User
from local.stack import DeployedStack, reconfigure
from ops.checks.stack import Stack
from ops.deployed import Deployed
from tests.documents import schema

PATIENCE_SECONDS = 180.0
_POLL_SECONDS = 0.1


@dataclass
class Outside:
    """Clients of a stack and of its API, and the messages that were received so far."""

    aws: LocalAws
    stack: DeployedStack
    partoo: PartooControl
    published: list[str] = field(default_factory=list)
    """Results as the topic had them, copies included."""
    summaries: list[dict[str, Any]] = field(default_factory=list)
    """Sweep summaries in the order of their publication."""

    def __post_init__(self) -> None:
        self.sqs = self.aws.client("sqs")
        self._lambda = self.aws.client("lambda")

    def invited_user(self, *answers: Answer, named: str = "") -> str:
        """Add an invited user to the API, with the answers to the next calls; returns the id."""
        user_id = named or uuid.uuid4().hex[:24]
        self.partoo.add_users(User(user_id))
        if answers:
            self.partoo.script(user_id, *answers)
        return user_id

    def send(self, body: object) -> str:
        """Send a text, or an object as JSON, to the request queue; returns the message id."""
        text = body if isinstance(body, str) else json.dumps(body)
        message_id: str = self.sqs.send_message(
            QueueUrl=self.stack.request_queue_url, MessageBody=text
        )["MessageId"]
        return message_id

    def put_event(self, detail: Mapping[str, object]) -> str:
        """Put an event of the CRM on the bus; returns its id."""
        entry = {
            "EventBusName": self.stack.event_bus_name,
            "Source": f"crm.{self.stack.name}",
            "DetailType": "user pending",
            "Detail": json.dumps(detail),
        }
        answer = self.aws.client("events").put_events(Entries=[entry])
        event_id: str = answer["Entries"][0]["EventId"]
        return event_id

    def invoke(self, event: object) -> Any:
        """Invoke the function; returns its answer or its error."""
        return self._invoke(self.stack.reinvite_function_name, event)

    def sweep(self, **event: object) -> Any:
        """Invoke the sweep function; returns its answer or its error."""
        return self._invoke(self.stack.sweep_function_name, event)

    def check_key(self) -> Any:
        """Invoke the function that checks the key; returns its answer or its error."""
        return self._invoke(self.stack.check_key_function_name, {})

    def sweep_summary(self) -> dict[str, Any]:
        """Wait for a sweep's summary and return the first."""

        def has_ended() -> bool:
            self.receive_results()
            return bool(self.summaries)

        self.wait(has_ended)
        return self.summaries[0]

    def put_secret(self, value: str) -> None:
        self.aws.client("secretsmanager").put_secret_value(
            SecretId=self.stack.api_key_secret_arn, SecretString=value
        )

    def restart_function(self) -> None:
        """Replace the function's containers, and with them their caches."""
        name = self.stack.reinvite_function_name
        memory = self._lambda.get_function_configuration(FunctionName=name)["MemorySize"]
        reconfigure(self.aws, name, MemorySize=memory + 1)

    def results(self, request_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Wait for the results of all requests; returns them by request id.

        Fails if copies of a result differ.
        """
        wanted = set(request_ids)
        self.wait(lambda: wanted <= {each["request_id"] for each in self.receive_results()})
        found = [
            each for each in map(json.loads, {*self.published}) if each["request_id"] in wanted
        ]
        assert len(found) == len(wanted), found
        return {each["request_id"]: each for each in found}

    def result(self, request_id: str) -> dict[str, Any]:
        """Wait for the result of one request."""
        return self.results([request_id])[request_id]

    def dead_letters(self, bodies: Iterable[str]) -> dict[str, dict[str, str]]:
        """Wait for dead letters with these bodies; returns their message attributes by body."""
        wanted, found = set(bodies), dict[str, dict[str, str]]()

        def are_there() -> bool:
            for message in self._drain(self.stack.dead_letter_queue_url):
                attributes = message.get("MessageAttributes", {}).items()
                found[message["Body"]] = {name: each["StringValue"] for name, each in attributes}
            return wanted <= found.keys()

        self.wait(are_there)
        return {body: found[body] for body in wanted}

    def wait_until_idle(self) -> None:
        """Wait until request, retry and bulk queue are empty, delayed messages included."""
        # In the order in which a message moves, so that none is overlooked between two queues.
        self.wait(lambda: not any(self.aws.count(each) for each in self.stack.queue_urls))

    def reset(self) -> None:
        """Purge the queues, and forget pauses and the sweep, which tests would wait for."""
        for queue_url in self.stack.queue_urls:
            self.sqs.purge_queue(QueueUrl=queue_url)
        for name in ("LIMITER", "SWEEP"):
            key = {"pk": {"S": name}, "sk": {"S": name}}
            self.aws.client("dynamodb").delete_item(TableName=self.stack.table_name, Key=key)

    def physical_id(self, name: str) -> str:
        """Return the physical id of a resource, given its logical one."""
        clients = {"cloudformation": self.aws.client("cloudformation")}
        return Stack(Deployed(self.stack.name, {}), clients).physical_id(name)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; fails after PATIENCE_SECONDS."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:g} s"
            time.sleep(_POLL_SECONDS)

    def logs(self) -> str:
        """Return the logs of all functions, of the local AWS and of the deployments."""
        client = self.aws.client("logs")
        lines = []
        for group in client.describe_log_groups()["logGroups"]:
            pages = client.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"]
            )
            lines += [event["message"] for page in pages for event in page["events"]]
        files = [path.read_text(errors="replace") for path in self.aws.logs.glob("*.log")]
        return "\n".join(lines + files)

    def _invoke(self, function: str, event: object) -> Any:
        answer = self._lambda.invoke(FunctionName=function, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

    def receive_results(self) -> list[dict[str, Any]]:
        """Return all results that were published so far, copies included."""
        for message in self._drain(self.stack.results_queue_url):
            document = json.loads(message["Body"])
            if "sweep_id" in document:
                schema("sweep").validate(document)
                self.summaries.append(document)
            else:
                schema("result").validate(document)
                self.published.append(message["Body"])
        return [json.loads(each) for each in self.published]

    def _drain(self, queue_url: str) -> Iterator[dict[str, Any]]:
        while messages := self.sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in messages:
                self.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            yield from messages
