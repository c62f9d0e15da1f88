"""The stage of a soak: a deployed stack, a plan carried out on it, and what is seen of it."""

import json
import random
import re
import secrets
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.aws import LocalAws, local_aws
from local.chaos.judge import Call, History, Incident, Publication, Trigger
from local.chaos.plan import (
    API_FAULTS,
    MAX_ATTEMPTS,
    PARTOO_TIMEOUT_SECONDS,
    REQUESTS_PER_MINUTE,
    WINDOW_SECONDS,
    KeyOutage,
    Order,
    Outage,
    Plan,
)
from local.faults import FaultProxy, fault_proxy
from local.partoo.control import Call as ApiCall
from local.partoo.control import PartooControl, User, running_stand_in
from local.samples import Entrance
from local.stack import DeployedStack, deploy, reconfigure
from local.workers import kill_workers

Say = Callable[[str], object]

_STACK_NAME = "partoo-reinvite-chaos"
# An execution that dies holds its user's window until it would have had to end, so it must be
# short; but a call and all that belongs to it must fit even on a slow machine.
_EXECUTION_SECONDS = 17
# Longer than an execution, short enough that the message of one that died comes back soon.
_VISIBILITY_SECONDS = 20
# A request can die, wait for its window and be given up several times over.
_SETTLE_SECONDS = 240.0
_PROGRESS_SECONDS = 10.0
_LOOK_SECONDS = 0.5
# Each takes a worker of the local AWS for itself.
_CALLERS = 4
_CALL_AGAIN_SECONDS = 2.0
_NAME = re.compile(r"chaos-\d+-\d+")
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@contextmanager
def staged(plan: Plan, logs: Path, template: Path) -> Iterator["Stage"]:
    """Deploy a stack for the length of the block; raises LocalStackError when that fails."""
    api_key = secrets.token_urlsafe()
    with (
        fault_proxy() as proxy,
        local_aws(logs, functions_endpoint_url=proxy.url) as aws,
        # The quota is not what is judged: 429s come as planned.
        running_stand_in(
            api_key, window_seconds=WINDOW_SECONDS, requests_per_minute=1_000_000
        ) as base_url,
        ThreadPoolExecutor(_CALLERS) as callers,
    ):
        proxy.forward_to(aws.endpoint_url, aws.ca)
        partoo = PartooControl(base_url)
        partoo.add_users(*(User(user_id) for user_id in plan.users))
        parameters = {
            "PartooBaseUrl": base_url,
            "PartooTimeoutSeconds": str(PARTOO_TIMEOUT_SECONDS),
            "InviteWindowSeconds": str(WINDOW_SECONDS),
            "MaxAttempts": str(MAX_ATTEMPTS),
            "RequestsPerMinute": str(REQUESTS_PER_MINUTE),
        }
        stack = deploy(aws, _STACK_NAME, parameters, template=template, api_key=api_key)
        _make_brisk(aws, stack)
        stage = Stage(plan, aws, stack, partoo, proxy, callers)
        try:
            yield stage
        finally:
            stage.curtain.set()


def _make_brisk(aws: LocalAws, stack: DeployedStack) -> None:
    reconfigure(aws, stack.reinvite_function_name, Timeout=_EXECUTION_SECONDS)
    aws.client("sqs").set_queue_attributes(
        QueueUrl=stack.request_queue_url,
        Attributes={"VisibilityTimeout": str(_VISIBILITY_SECONDS)},
    )


class Stage:
    """A deployed stack, what is done to it, and what is seen of it."""

    def __init__(
        self,
        plan: Plan,
        aws: LocalAws,
        stack: DeployedStack,
        partoo: PartooControl,
        proxy: FaultProxy,
        callers: ThreadPoolExecutor,
    ) -> None:
        self.curtain = threading.Event()
        self._plan = plan
        self._aws = aws
        self._stack = stack
        self._partoo = partoo
        self._proxy = proxy
        self._callers = callers
        self._rng = random.Random(plan.seed)  # noqa: S311  # chooses calls, guards nothing
        self._new_key = secrets.token_urlsafe()
        self._sqs = aws.client("sqs")
        self._events = aws.client("events")
        self._lambda = aws.client("lambda")
        self._secrets = aws.client("secretsmanager")
        self._started_at = time.time()
        self._request_ids: dict[str, str] = {}
        self._triggers: list[Trigger] = []
        self._publications: list[Publication] = []
        self._parked: list[str] = []
        self._scripts: list[_Script] = []
        self._invocations: list[Future[None]] = []
        self._incidents: list[Incident] = []
        self._began_at: dict[Outage | KeyOutage, float] = {}
        self._aws_faults: Counter[str] = Counter()
        self._killed_workers = 0

    def play(self, say: Say) -> History:
        """Carry the plan out, end all faults, and wait until everything has settled."""
        # An invocation for nobody starts the function, so that the first faults meet somebody.
        self._lambda.invoke(
            FunctionName=self._stack.reinvite_function_name, Payload='{"user_ids": []}'
        )
        self._started_at = time.time()
        progress = _Every(_PROGRESS_SECONDS)
        for at, act in self._timeline():
            while (wait := at - self._now()) > 0:
                self._look()
                if progress.is_due():
                    say(self._progress())
                time.sleep(min(wait, _LOOK_SECONDS))
            act()
        for user_id in self._plan.users:
            self._script(user_id, ())
        self._partoo.release()
        say(f"{self._now():4.0f} s: all faults have ended.")
        give_up_at = self._now() + _SETTLE_SECONDS
        while not self._is_settled() and self._now() < give_up_at:
            if progress.is_due():
                say(self._progress())
            time.sleep(_LOOK_SECONDS)
        return self._history()

    def _timeline(self) -> list[tuple[float, Callable[[], None]]]:
        plan = self._plan
        key = plan.key_outage
        actions: list[tuple[float, Callable[[], None]]] = [
            *((order.at, partial(self._send, order)) for order in plan.orders),
            *((at, self._kill) for at in plan.kills),
            *((each.at, partial(self._begin, each)) for each in plan.outages),
            *((each.at + each.seconds, partial(self._end, each)) for each in plan.outages),
            (key.at, self._replace_key),
            (key.at + key.seconds, self._learn_key),
        ]
        return sorted(actions, key=lambda action: action[0])

    def _send(self, order: Order) -> None:
        if order.faults:
            self._script(order.user_id, order.faults)
        at = self._now()
        match order.entrance:
            case Entrance.QUEUE:
                message = self._sqs.send_message(
                    QueueUrl=self._stack.request_queue_url, MessageBody=order.text
                )
                self._sent(order, at, message["MessageId"])
            case Entrance.BUS:
                entry = {
                    "EventBusName": self._stack.event_bus_name,
                    "Source": "crm",
                    "DetailType": "user pending",
                    "Detail": order.text,
                }
                answer = self._events.put_events(Entries=[entry])
                self._sent(order, at, answer["Entries"][0]["EventId"])
            case Entrance.INVOKE:
                self._invocations.append(self._callers.submit(self._invoke, order))

    def _sent(self, order: Order, at: float, given_id: str) -> None:
        request_id = order.request_id or given_id
        self._request_ids[order.name] = request_id
        self._triggers.append(Trigger(at, request_id, order.user_id))

    def _invoke(self, order: Order) -> None:
        """Call until there is an answer, as a caller must who was told of an error."""
        while not self.curtain.is_set():
            self._sent(order, self._now(), order.name)
            try:
                answer = self._lambda.invoke(
                    FunctionName=self._stack.reinvite_function_name, Payload=order.text
                )
            except (BotoCoreError, ClientError):
                answer = {"FunctionError": "not even invoked"}
            if "FunctionError" not in answer:
                return
            self.curtain.wait(_CALL_AGAIN_SECONDS)

    def _script(self, user_id: str, faults: tuple[str, ...]) -> None:
        self._partoo.script(user_id, *(API_FAULTS[name] for name in faults))
        self._scripts.append(_Script(time.time(), user_id, faults))

    def _kill(self) -> None:
        killed = kill_workers(self._aws)
        self._killed_workers += killed
        self._incidents.append(Incident(self._now(), None, "workers killed"))

    def _begin(self, outage: Outage) -> None:
        self._began_at[outage] = self._now()
        self._proxy.inject(
            outage.service, outage.fault, probability=outage.probability, rng=self._rng
        )

    def _end(self, outage: Outage) -> None:
        for (service, fault), count in self._proxy.injected.items():
            self._aws_faults[f"{service} {fault.name.lower().replace('_', ' ')}"] += count
        self._proxy.clear()
        self._incidents.append(
            Incident(self._began_at[outage], self._now(), f"{outage.service} faults")
        )

    def _replace_key(self) -> None:
        self._began_at[self._plan.key_outage] = self._now()
        self._partoo.set_key(self._new_key)

    def _learn_key(self) -> None:
        self._secrets.put_secret_value(
            SecretId=self._stack.api_key_secret_arn, SecretString=self._new_key
        )
        self._incidents.append(
            Incident(self._began_at[self._plan.key_outage], self._now(), "wrong key")
        )

    def _look(self) -> None:
        for message in self._drain(self._stack.results_queue_url):
            result = json.loads(message["Body"])
            sent_at = int(message["Attributes"]["SentTimestamp"]) / 1000 - self._started_at
            self._publications.append(
                Publication(sent_at, result["request_id"], result["status"], message["Body"])
            )
        for message in self._drain(self._stack.dead_letter_queue_url):
            names = set(_NAME.findall(message["Body"]))
            self._parked += [self._request_ids[name] for name in names]

    def _drain(self, queue_url: str) -> Iterator[Mapping[str, Any]]:
        while messages := self._sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages"):
            entries = [
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                for index, message in enumerate(messages)
            ]
            self._sqs.delete_message_batch(QueueUrl=queue_url, Entries=entries)
            yield from messages

    def _is_settled(self) -> bool:
        # In this order: what leaves the queue has been answered before.
        callers_are_answered = all(each.done() for each in self._invocations)
        settled = callers_are_answered and self._left_on_queue() == 0
        self._look()
        return settled

    def _left_on_queue(self) -> int:
        attributes = self._sqs.get_queue_attributes(
            QueueUrl=self._stack.request_queue_url, AttributeNames=list(_COUNTS)
        )["Attributes"]
        return sum(int(attributes[name]) for name in _COUNTS)

    def _progress(self) -> str:
        calls = self._partoo.calls()
        return (
            f"{self._now():4.0f} s: {len(self._request_ids)} requests sent, "
            f"{len({each.request_id for each in self._publications})} answered; "
            f"{len(calls)} calls, {sum(call.email_sent for call in calls)} e-mails; "
            f"{self._left_on_queue()} messages on the queue"
        )

    def _history(self) -> History:
        return History(
            seed=self._plan.seed,
            window_seconds=WINDOW_SECONDS,
            seconds=self._now(),
            triggers=self._triggers,
            publications=self._publications,
            parked=self._parked,
            left_on_queue=self._left_on_queue(),
            calls=_named(self._partoo.calls(), self._scripts, self._started_at),
            incidents=self._incidents,
            aws_faults=dict(self._aws_faults),
            killed_workers=self._killed_workers,
        )

    def _now(self) -> float:
        return time.time() - self._started_at


class _Every:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due_at = time.monotonic() + seconds

    def is_due(self) -> bool:
        if time.monotonic() < self._due_at:
            return False
        self._due_at = time.monotonic() + self._seconds
        return True


@dataclass(frozen=True)
class _Script:
    """From `at` (epoch seconds) on, the user's next calls met these faults."""

    at: float
    user_id: str
    faults: tuple[str, ...]


def _named(calls: Iterable[ApiCall], scripts: Iterable[_Script], started_at: float) -> list[Call]:
    """Say which fault each call met: a new script takes the place of what was left of the last."""
    scripts_of: defaultdict[str | None, deque[_Script]] = defaultdict(deque)
    for script in scripts:
        scripts_of[script.user_id].append(script)
    faults_of: defaultdict[str | None, deque[str]] = defaultdict(deque)
    named = []
    for call in calls:
        while scripts_of[call.user_id] and scripts_of[call.user_id][0].at < call.received_at:
            faults_of[call.user_id] = deque(scripts_of[call.user_id].popleft().faults)
        fault = "401, wrong key" if call.status == 401 else None
        if faults_of[call.user_id]:
            fault = faults_of[call.user_id].popleft()
        named.append(
            Call(
                at=call.received_at - started_at,
                user_id=call.user_id or call.path,
                status=call.status,
                email_sent=call.email_sent,
                fault=fault,
            )
        )
    return named
