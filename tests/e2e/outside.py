"""A deployed stack from outside: queues, topic, bus, functions, and the API's call log."""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema

from local.aws import LocalAws
from local.partoo.control import Answer, Call, PartooControl, User
from local.stack import DeployedStack, reconfigure

PATIENCE_SECONDS = 180.0
_POLL_SECONDS = 0.1
_SCHEMAS = Path(__file__).parents[2] / "schemas"
_RESULT, _SWEEP = (
    json.loads((_SCHEMAS / name).read_text(encoding="utf-8"))
    for name in ("result-1.1.json", "sweep-1.1.json")
)


@dataclass(frozen=True)
class Published:
    """One message of the topic."""

    body: str
    attributes: Mapping[str, str]

    @property
    def result(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass(frozen=True)
class DeadLetter:
    """One message of the dead-letter queue."""

    body: str
    attributes: Mapping[str, str]


@dataclass
class Outside:
    """Clients of a stack and of its API, and the messages that were received so far."""

    aws: LocalAws
    stack: DeployedStack
    partoo: PartooControl
    partoo_url: str
    window_seconds: float
    published: list[Published] = field(default_factory=list)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    """Sweep summaries in the order of their publication."""
    received_dead_letters: list[DeadLetter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sqs = self.aws.client("sqs")
        self._events = self.aws.client("events")
        self._lambda = self.aws.client("lambda")

    def invited_user(self, *answers: Answer) -> str:
        """Add an invited user to the API, with the answers to the next calls; returns the id."""
        user_id = self.invited_user_named(uuid.uuid4().hex[:24])
        if answers:
            self.partoo.script(user_id, *answers)
        return user_id

    def invited_user_named(self, user_id: str) -> str:
        """Add an invited user with this id."""
        self.partoo.add_users(User(user_id))
        return user_id

    def send(self, body: object) -> str:
        """Send a text, or an object as JSON, to the request queue; returns the message id."""
        text = body if isinstance(body, str) else json.dumps(body)
        message_id: str = self.sqs.send_message(
            QueueUrl=self.stack.request_queue_url, MessageBody=text
        )["MessageId"]
        return message_id

    def send_together(self, bodies: Iterable[object]) -> list[str]:
        """Send at most ten messages to the request queue, which SQS delivers as one batch."""
        entries = [
            {"Id": str(index), "MessageBody": json.dumps(body)} for index, body in enumerate(bodies)
        ]
        answer = self.sqs.send_message_batch(QueueUrl=self.stack.request_queue_url, Entries=entries)
        message_ids = {entry["Id"]: entry["MessageId"] for entry in answer["Successful"]}
        return [message_ids[entry["Id"]] for entry in entries]

    def redrive(self, message: DeadLetter) -> None:
        """Send a dead letter to the request queue with its attributes, as a redrive does."""
        self.sqs.send_message(
            QueueUrl=self.stack.request_queue_url,
            MessageBody=message.body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in message.attributes.items()
            },
        )

    def put_event(self, detail: Mapping[str, object]) -> str:
        """Put an event of the CRM on the bus; returns its id."""
        entry = {
            "EventBusName": self.stack.event_bus_name,
            "Source": "crm",
            "DetailType": "user pending",
            "Detail": json.dumps(detail),
        }
        event_id: str = self._events.put_events(Entries=[entry])["Entries"][0]["EventId"]
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

    def start_sweep(self) -> None:
        """Invoke the sweep function as the schedule does, without waiting."""
        self._lambda.invoke(
            FunctionName=self.stack.sweep_function_name, InvocationType="Event", Payload="{}"
        )

    def sweeps(self, count: int) -> list[dict[str, Any]]:
        """Wait for `count` sweep summaries and return them."""

        def have_ended() -> bool:
            self._receive()
            return len(self.summaries) >= count

        self.wait(have_ended)
        return self.summaries

    def put_secret(self, value: str) -> None:
        self.aws.client("secretsmanager").put_secret_value(
            SecretId=self.stack.api_key_secret_arn, SecretString=value
        )

    def restart_function(self, name: str | None = None) -> None:
        """Replace a function's containers, and with them their caches."""
        name = name or self.stack.reinvite_function_name
        memory = self._lambda.get_function_configuration(FunctionName=name)["MemorySize"]
        reconfigure(self.aws, name, MemorySize=memory + 1)

    def set_variable(self, function: str, name: str, value: str) -> None:
        """Set a variable of a function's environment."""
        configured = self._lambda.get_function_configuration(FunctionName=function)["Environment"]
        variables = {**configured["Variables"], name: value}
        reconfigure(self.aws, function, Environment={"Variables": variables})

    def set_visibility(self, seconds: int) -> None:
        """Shorten the time after which messages of an execution that died come back."""
        for queue_url in self.stack.queue_urls:
            self.sqs.set_queue_attributes(
                QueueUrl=queue_url, Attributes={"VisibilityTimeout": str(seconds)}
            )

    def refused_calls(self) -> list[Call]:
        """Return the calls that were answered 401."""
        return [call for call in self.partoo.calls() if call.status == 401]

    def results(self, request_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Wait for the results of all requests; returns them by request id.

        Fails if copies of a result differ.
        """
        wanted = set(request_ids)
        self.wait(lambda: wanted <= {each.result["request_id"] for each in self._receive()})
        bodies: dict[str, set[str]] = {}
        for each in self.published:
            bodies.setdefault(each.result["request_id"], set()).add(each.body)
        assert {name: len(bodies[name]) for name in wanted} == dict.fromkeys(wanted, 1)
        return {name: json.loads(*bodies[name]) for name in wanted}

    def result(self, request_id: str) -> dict[str, Any]:
        """Wait for the result of one request."""
        return self.results([request_id])[request_id]

    def results_so_far(self, request_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return all results of the requests that were published so far, copies included."""
        wanted = set(request_ids)
        return [each.result for each in self._receive() if each.result["request_id"] in wanted]

    def dead_letters(self, bodies: Iterable[str]) -> dict[str, DeadLetter]:
        """Wait for dead letters with these bodies; returns them by body."""
        wanted = set(bodies)
        self.wait(lambda: wanted <= {each.body for each in self._receive_dead_letters()})
        return {each.body: each for each in self.received_dead_letters if each.body in wanted}

    def wait_until_idle(self) -> None:
        """Wait until request, retry and bulk queue are empty, delayed messages included.

        Then receive from the topic and from the dead-letter queue.
        """
        counts = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]

        def is_empty(queue_url: str) -> bool:
            attributes = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=counts)
            return not any(int(count) for count in attributes["Attributes"].values())

        # In the order in which a message moves, so that none is overlooked between two queues.
        self.wait(lambda: all(is_empty(queue_url) for queue_url in self.stack.queue_urls))
        self._receive()
        self._receive_dead_letters()

    def reset(self) -> None:
        """Purge the queues, and forget pauses and the sweep, which tests would wait for."""
        for queue_url in self.stack.queue_urls:
            self.sqs.purge_queue(QueueUrl=queue_url)
        for name in ("LIMITER", "SWEEP"):
            key = {"pk": {"S": name}, "sk": {"S": name}}
            self.aws.client("dynamodb").delete_item(TableName=self.stack.table_name, Key=key)

    def resources(self) -> list[dict[str, Any]]:
        """Return the resources of the stack and of its nested stacks."""
        cloudformation = self.aws.client("cloudformation")
        names, resources = [self.stack.name], list[dict[str, Any]]()
        while names:
            found = cloudformation.describe_stack_resources(StackName=names.pop())["StackResources"]
            resources += found
            names += [
                each["PhysicalResourceId"]
                for each in found
                if each["ResourceType"] == "AWS::CloudFormation::Stack"
            ]
        return resources

    def physical_id(self, name: str) -> str:
        """Return the physical id of a resource, given its logical one."""
        (found,) = [each for each in self.resources() if each["LogicalResourceId"] == name]
        physical: str = found["PhysicalResourceId"]
        return physical

    @contextmanager
    def user_with_permission(self, action: str) -> Iterator[dict[str, str]]:
        """Yield the credentials of a user who is allowed one action on all resources."""
        iam = self.aws.client("iam")
        iam.create_user(UserName="operator")
        allow = {"Effect": "Allow", "Action": action, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        iam.put_user_policy(UserName="operator", PolicyName="own", PolicyDocument=policy)
        key = iam.create_access_key(UserName="operator")["AccessKey"]
        try:
            yield {
                "aws_access_key_id": key["AccessKeyId"],
                "aws_secret_access_key": key["SecretAccessKey"],
            }
        finally:
            iam.delete_access_key(UserName="operator", AccessKeyId=key["AccessKeyId"])
            iam.delete_user_policy(UserName="operator", PolicyName="own")
            iam.delete_user(UserName="operator")

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; fails after PATIENCE_SECONDS."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:g} s"
            time.sleep(_POLL_SECONDS)

    def assert_window_held(self, user_id: str) -> None:
        """Fail if two e-mails to the user are closer than the window, on the API's clock."""
        moments = sorted(call.emailed_at or 0 for call in self.partoo.emails(user_id))
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert [gap for gap in gaps if gap < self.window_seconds] == []

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

    def _receive(self) -> list[Published]:
        for message in self._drain(self.stack.results_queue_url):
            published = Published(message["Body"], _attributes(message))
            if "sweep_id" in published.result:
                jsonschema.validate(published.result, _SWEEP)
                self.summaries.append(published.result)
            else:
                jsonschema.validate(published.result, _RESULT)
                self.published.append(published)
        return self.published

    def _receive_dead_letters(self) -> list[DeadLetter]:
        for message in self._drain(self.stack.dead_letter_queue_url):
            self.received_dead_letters.append(DeadLetter(message["Body"], _attributes(message)))
        return self.received_dead_letters

    def _drain(self, queue_url: str) -> list[dict[str, Any]]:
        drained: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                for index, message in enumerate(messages)
            ]
            self.sqs.delete_message_batch(QueueUrl=queue_url, Entries=entries)
            drained += messages
        return drained


def _attributes(message: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()
    }
