"""Deploys a stack, carries out a plan on it, and records what is seen from outside."""

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
    Outage,
    Plan,
    PlannedRequest,
)
from local.faults import FaultProxy, fault_proxy
from local.partoo.control import Call as ApiCall
from local.partoo.control import PartooControl, User, running_fake_partoo
from local.samples import Entrance
from local.stack import DeployedStack, deploy, reconfigure
from local.workers import kill_workers

Say = Callable[[str], object]

_STACK_NAME = "partoo-reinvite-chaos"
# Short, because the claim of an execution that dies lasts until its deadline. A function begins no
# call with less than 15.5 s left: 1 s for the call, 12 s for its writes, 2.5 s for the token.
_EXECUTION_SECONDS = 20
# Longer than an execution, so that no message is received twice at once.
_VISIBILITY_SECONDS = 24
# A request can be interrupted and wait for its window several times.
_COMPLETION_SECONDS = 300.0
_PROGRESS_SECONDS = 10.0
_LOOK_SECONDS = 0.5
# Each occupies a worker of the local AWS.
_CALLERS = 4
_CALL_AGAIN_SECONDS = 2.0
_NAME = re.compile(r"chaos-\d+-\d+")
_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@contextmanager
def deployed_soak(plan: Plan, logs: Path, template: Path) -> Iterator["Soak"]:
    """Deploy a stack for the length of the block; raises CommandError if that fails."""
    api_key = secrets.token_urlsafe()
    with (
        fault_proxy() as proxy,
        local_aws(logs, functions_endpoint_url=proxy.url) as aws,
        # No quota of its own: all 429s are planned.
        running_fake_partoo(
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
            # A soak needs more calls for each user than a day allows.
            "UserDailyLimit": "0",
        }
        stack = deploy(aws, _STACK_NAME, parameters, template=template, api_key=api_key)
        _shorten_timeouts(aws, stack)
        soak = Soak(plan, aws, stack, partoo, proxy, callers)
        try:
            yield soak
        finally:
            soak.stopped.set()


def _shorten_timeouts(aws: LocalAws, stack: DeployedStack) -> None:
    reconfigure(aws, stack.reinvite_function_name, Timeout=_EXECUTION_SECONDS)
    for queue_url in stack.queue_urls:
        aws.client("sqs").set_queue_attributes(
            QueueUrl=queue_url, Attributes={"VisibilityTimeout": str(_VISIBILITY_SECONDS)}
        )


class Soak:
    """A plan, the stack that it runs on, and the record of what was seen."""

    def __init__(
        self,
        plan: Plan,
        aws: LocalAws,
        stack: DeployedStack,
        partoo: PartooControl,
        proxy: FaultProxy,
        callers: ThreadPoolExecutor,
    ) -> None:
        self.stopped = threading.Event()
        self._plan = plan
        self._aws = aws
        self._stack = stack
        self._partoo = partoo
        self._proxy = proxy
        self._callers = callers
        self._rng = random.Random(plan.seed)  # noqa: S311  # not for security
        self._new_key = secrets.token_urlsafe()
        self._sqs = aws.client("sqs")
        self._events = aws.client("events")
        self._lambda = aws.client("lambda")
        self._secrets = aws.client("secretsmanager")
        self._started_at = time.time()
        self._request_ids: dict[str, str] = {}
        self._triggers: list[Trigger] = []
        self._publications: list[Publication] = []
        self._dead_letters: list[str] = []
        self._scripts: list[_Script] = []
        self._invocations: list[Future[None]] = []
        self._incidents: list[Incident] = []
        self._began_at: dict[Outage | KeyOutage, float] = {}
        self._aws_faults: Counter[str] = Counter()
        self._killed_workers = 0

    def run(self, say: Say) -> History:
        """Carry out the plan, end all faults, and wait until all requests have ended."""
        # Starts the function with an invalid request, so that the first faults find it running.
        self._lambda.invoke(FunctionName=self._stack.reinvite_function_name, Payload="{}")
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
        deadline = self._now() + _COMPLETION_SECONDS
        while not self._is_complete() and self._now() < deadline:
            if progress.is_due():
                say(self._progress())
            time.sleep(_LOOK_SECONDS)
        return self._history()

    def _timeline(self) -> list[tuple[float, Callable[[], None]]]:
        plan = self._plan
        key = plan.key_outage
        actions: list[tuple[float, Callable[[], None]]] = [
            *((each.at, partial(self._send, each)) for each in plan.requests),
            *((at, self._kill) for at in plan.kills),
            *((each.at, partial(self._begin, each)) for each in plan.outages),
            *((each.at + each.seconds, partial(self._end, each)) for each in plan.outages),
            (key.at, self._replace_key),
            (key.at + key.seconds, self._store_new_key),
        ]
        return sorted(actions, key=lambda action: action[0])

    def _send(self, request: PlannedRequest) -> None:
        if request.faults:
            self._script(request.user_id, request.faults)
        at = self._now()
        match request.entrance:
            case Entrance.QUEUE:
                message = self._sqs.send_message(
                    QueueUrl=self._stack.request_queue_url, MessageBody=request.text
                )
                self._sent(request, at, message["MessageId"])
            case Entrance.BUS:
                entry = {
                    "EventBusName": self._stack.event_bus_name,
                    "Source": "crm",
                    "DetailType": "user pending",
                    "Detail": request.text,
                }
                answer = self._events.put_events(Entries=[entry])
                self._sent(request, at, answer["Entries"][0]["EventId"])
            case Entrance.INVOKE:
                self._invocations.append(self._callers.submit(self._invoke, request))

    def _sent(self, request: PlannedRequest, at: float, given_id: str) -> None:
        request_id = request.request_id or given_id
        self._request_ids[request.name] = request_id
        self._triggers.append(Trigger(at, request_id, request.user_id))

    def _invoke(self, request: PlannedRequest) -> None:
        """Invoke until there is an answer, as a client must after an error."""
        while not self.stopped.is_set():
            self._sent(request, self._now(), request.name)
            try:
                answer = self._lambda.invoke(
                    FunctionName=self._stack.reinvite_function_name, Payload=request.text
                )
            except (BotoCoreError, ClientError):
                answer = {"FunctionError": "not invoked"}
            if "FunctionError" not in answer:
                return
            self.stopped.wait(_CALL_AGAIN_SECONDS)

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

    def _store_new_key(self) -> None:
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
            # The result of the first invocation was published before the start.
            if sent_at >= 0:
                self._publications.append(
                    Publication(sent_at, result["request_id"], result["status"], message["Body"])
                )
        for message in self._drain(self._stack.dead_letter_queue_url):
            names = set(_NAME.findall(message["Body"]))
            self._dead_letters += [self._request_ids[name] for name in names]

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

    def _is_complete(self) -> bool:
        # Before the topic is read: a message leaves its queue after its result is published.
        complete = all(each.done() for each in self._invocations) and self._waiting() == 0
        self._look()
        return complete

    def _waiting(self) -> int:
        """Return the number of messages on the queues, in flight and delayed ones included.

        A message that moves to the next queue is on both for a moment, and never on neither.
        """
        return sum(
            int(count)
            for queue_url in self._stack.queue_urls
            for count in self._sqs.get_queue_attributes(
                QueueUrl=queue_url, AttributeNames=list(_COUNTS)
            )["Attributes"].values()
        )

    def _progress(self) -> str:
        calls = self._partoo.calls()
        return (
            f"{self._now():4.0f} s: {len(self._request_ids)} requests sent, "
            f"{len({each.request_id for each in self._publications})} answered; "
            f"{len(calls)} calls, {sum(call.email_sent for call in calls)} e-mails; "
            f"{self._waiting()} messages on the queues"
        )

    def _history(self) -> History:
        return History(
            seed=self._plan.seed,
            window_seconds=WINDOW_SECONDS,
            seconds=self._now(),
            triggers=self._triggers,
            publications=self._publications,
            dead_letters=self._dead_letters,
            waiting=self._waiting(),
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
    """The answers to a user's next calls after `at` (epoch seconds)."""

    at: float
    user_id: str
    faults: tuple[str, ...]


def _named(calls: Iterable[ApiCall], scripts: Iterable[_Script], started_at: float) -> list[Call]:
    """Add the scripted fault to each call; a new script replaces the rest of an earlier one."""
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
                emailed_at=None if call.emailed_at is None else call.emailed_at - started_at,
                fault=fault,
            )
        )
    return named
