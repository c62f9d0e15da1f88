"""The deployed stack as anybody outside sees it: queues, topic, bus, function, the API's log."""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
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
    for name in ("result-1.0.json", "sweep-1.0.json")
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
class Parked:
    """One message of the dead-letter queue."""

    body: str
    attributes: Mapping[str, str]


@dataclass
class Outside:
    aws: LocalAws
    stack: DeployedStack
    partoo: PartooControl
    partoo_url: str
    window_seconds: float
    published: list[Published] = field(default_factory=list)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    """Of sweeps, in the order in which they were published."""
    parked: list[Parked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sqs = self.aws.client("sqs")
        self._events = self.aws.client("events")
        self._lambda = self.aws.client("lambda")

    def invited_user(self, *answers: Answer) -> str:
        """A new user at the API who is still waiting, and how their next calls are answered."""
        user_id = self.invited_user_named(uuid.uuid4().hex[:24])
        if answers:
            self.partoo.script(user_id, *answers)
        return user_id

    def invited_user_named(self, user_id: str) -> str:
        self.partoo.add_users(User(user_id))
        return user_id

    def send(self, body: object) -> str:
        """Put a message on the request queue; an object becomes JSON. Returns its message id."""
        text = body if isinstance(body, str) else json.dumps(body)
        message_id: str = self.sqs.send_message(
            QueueUrl=self.stack.request_queue_url, MessageBody=text
        )["MessageId"]
        return message_id

    def send_together(self, bodies: Iterable[object]) -> list[str]:
        """Put at most ten messages on the queue that will be handed over as one batch."""
        entries = [
            {"Id": str(index), "MessageBody": json.dumps(body)} for index, body in enumerate(bodies)
        ]
        answer = self.sqs.send_message_batch(QueueUrl=self.stack.request_queue_url, Entries=entries)
        message_ids = {entry["Id"]: entry["MessageId"] for entry in answer["Successful"]}
        return [message_ids[entry["Id"]] for entry in entries]

    def redrive(self, message: Parked) -> None:
        """Put a message of the dead-letter queue back on the request queue, as AWS does."""
        self.sqs.send_message(
            QueueUrl=self.stack.request_queue_url,
            MessageBody=message.body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value}
                for name, value in message.attributes.items()
            },
        )

    def put_event(self, detail: Mapping[str, object]) -> str:
        """Put a CRM event on the bus; returns its id."""
        entry = {
            "EventBusName": self.stack.event_bus_name,
            "Source": "crm",
            "DetailType": "user pending",
            "Detail": json.dumps(detail),
        }
        event_id: str = self._events.put_events(Entries=[entry])["Entries"][0]["EventId"]
        return event_id

    def invoke(self, event: object) -> Any:
        """Invoke the function and wait; its answer, or what Lambda says of its error."""
        answer = self._lambda.invoke(
            FunctionName=self.stack.reinvite_function_name, Payload=json.dumps(event)
        )
        return json.loads(answer["Payload"].read())

    def sweep(self, **order: object) -> Any:
        """Invoke the function that sweeps and wait; its answer, or its error."""
        answer = self._lambda.invoke(
            FunctionName=self.stack.sweep_function_name, Payload=json.dumps(order)
        )
        return json.loads(answer["Payload"].read())

    def check_key(self) -> Any:
        """Invoke the function that checks the key and wait; its answer, or its error."""
        answer = self._lambda.invoke(FunctionName=self.stack.check_key_function_name, Payload="{}")
        return json.loads(answer["Payload"].read())

    def start_sweep(self) -> None:
        """Invoke it as the schedule does, and do not wait."""
        self._lambda.invoke(
            FunctionName=self.stack.sweep_function_name, InvocationType="Event", Payload="{}"
        )

    def sweeps(self, count: int) -> list[dict[str, Any]]:
        """What the sweeps came to, once so many have ended."""

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
        """Give a function new containers, which know nothing of what the old ones read."""
        name = name or self.stack.reinvite_function_name
        memory = self._lambda.get_function_configuration(FunctionName=name)["MemorySize"]
        reconfigure(self.aws, name, MemorySize=memory + 1)

    def limit_executions(self, seconds: int) -> None:
        """Let executions end sooner, so that a window is not held long for one that died."""
        reconfigure(self.aws, self.stack.reinvite_function_name, Timeout=seconds)

    def set_variable(self, function: str, name: str, value: str) -> None:
        """Set a variable of a function's environment."""
        known = self._lambda.get_function_configuration(FunctionName=function)["Environment"]
        variables = {**known["Variables"], name: value}
        reconfigure(self.aws, function, Environment={"Variables": variables})

    def set_visibility(self, seconds: int) -> None:
        """Let the messages of an execution that died come back sooner."""
        self.sqs.set_queue_attributes(
            QueueUrl=self.stack.request_queue_url, Attributes={"VisibilityTimeout": str(seconds)}
        )

    def refused_calls(self) -> list[Call]:
        return [call for call in self.partoo.calls() if call.status == 401]

    def results(self, request_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The result of each request, once all are published.

        Whatever else the topic said about them meanwhile must be the same to the letter.
        """
        wanted = set(request_ids)
        self.wait(lambda: wanted <= {each.result["request_id"] for each in self._receive()})
        bodies: dict[str, set[str]] = {}
        for each in self.published:
            bodies.setdefault(each.result["request_id"], set()).add(each.body)
        assert {name: len(bodies[name]) for name in wanted} == dict.fromkeys(wanted, 1)
        return {name: json.loads(*bodies[name]) for name in wanted}

    def result(self, request_id: str) -> dict[str, Any]:
        return self.results([request_id])[request_id]

    def results_so_far(self, request_ids: Iterable[str]) -> list[dict[str, Any]]:
        """What the topic has said about the requests until now, every copy of it."""
        wanted = set(request_ids)
        return [each.result for each in self._receive() if each.result["request_id"] in wanted]

    def dead_letters(self, bodies: Iterable[str]) -> dict[str, Parked]:
        """The parked message with each of the bodies, once all are there."""
        wanted = set(bodies)
        self.wait(lambda: wanted <= {each.body for each in self._receive_parked()})
        return {each.body: each for each in self.parked if each.body in wanted}

    def settle(self) -> None:
        """Wait until the request queue holds nothing, not even for later, and read the topic."""
        counts = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]

        def is_empty() -> bool:
            attributes = self.sqs.get_queue_attributes(
                QueueUrl=self.stack.request_queue_url, AttributeNames=counts
            )["Attributes"]
            return not any(int(attributes[name]) for name in counts)

        self.wait(is_empty)
        self._receive()
        self._receive_parked()

    def wait(self, condition: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < give_up_at, f"not within {PATIENCE_SECONDS:g} s"
            time.sleep(_POLL_SECONDS)

    def age_ledger(self, hours: float) -> None:
        """Let the ledger's past be longer ago, as if the clock had moved on."""
        table = self.aws.client("dynamodb")
        pages = table.get_paginator("scan").paginate(TableName=self.stack.table_name)
        for item in (item for page in pages for item in page["Items"]):
            for name in ("last_sent_at", "window_ends_at"):
                if name in item:
                    item[name] = {"N": str(float(item[name]["N"]) - hours * 3600)}
            if "last_sent_at" in item:
                table.put_item(TableName=self.stack.table_name, Item=item)

    def assert_window_held(self, user_id: str) -> None:
        """No two e-mails to the user closer than the window, by the API's own clock."""
        moments = [call.received_at for call in self.partoo.emails(user_id)]
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert [gap for gap in gaps if gap < self.window_seconds] == []

    def logs(self) -> str:
        """Everything that the function wrote, and the local AWS besides."""
        client = self.aws.client("logs")
        lines = []
        for group in client.describe_log_groups()["logGroups"]:
            pages = client.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"]
            )
            lines += [event["message"] for page in pages for event in page["events"]]
        files = [path.read_text(errors="replace") for path in self.aws.logs.glob("*.log")]
        return "\n".join(lines + files)

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

    def _receive_parked(self) -> list[Parked]:
        for message in self._drain(self.stack.dead_letter_queue_url):
            self.parked.append(Parked(message["Body"], _attributes(message)))
        return self.parked

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
