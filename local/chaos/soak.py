"""Deploys a stack, carries out a plan on it, and records what is seen from outside."""

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.aws import LocalAws, local_aws
from local.chaos.judge import History, Publication, Trigger
from local.chaos.plan import (
    API_FAULTS,
    API_KEY,
    MAX_ATTEMPTS,
    PARTOO_TIMEOUT_SECONDS,
    REQUESTS_PER_MINUTE,
    WINDOW_SECONDS,
    Outage,
    Plan,
    PlannedRequest,
)
from local.faults import FaultProxy, fault_proxy
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
_VISIBILITY = {"VisibilityTimeout": str(_EXECUTION_SECONDS + 4)}
_MORE_FAULTS_SECONDS = 40.0
# A request can be interrupted and wait for its window several times.
_COMPLETION_SECONDS = 300.0
_PROGRESS_SECONDS = 10.0
_LOOK_SECONDS = 0.5
# Each occupies a worker of the local AWS.
_CALLERS = 4
_CALL_AGAIN_SECONDS = 2.0
_COUNTS = "ApproximateNumberOfMessages"
_NAME = re.compile(r"chaos-\d+-\d+")


def soak(plan: Plan, logs: Path, template: Path, say: Say) -> History:
    """Deploy a new stack and carry out a plan on it; raises CommandError if that fails."""
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
        partoo.add_users(*map(User, plan.users))
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
        reconfigure(aws, stack.reinvite_function_name, Timeout=_EXECUTION_SECONDS)
        for queue_url in stack.queue_urls:
            aws.client("sqs").set_queue_attributes(QueueUrl=queue_url, Attributes=_VISIBILITY)
        running = _Soak(plan, aws, stack, partoo, proxy, callers)
        try:
            return running.run(say)
        finally:
            running.stopped.set()


class _Soak:
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
        self._plan, self._aws, self._stack, self._partoo = plan, aws, stack, partoo
        self._proxy, self._callers = proxy, callers
        self._history = History(plan.seed, WINDOW_SECONDS)
        # The request ids of the names that are in the requests' texts.
        self._request_ids: dict[str, str] = {}
        self._invocations: list[Future[None]] = []
        self._new_key = secrets.token_urlsafe()
        self._sqs, self._lambda = aws.client("sqs"), aws.client("lambda")
        self._started_at = self._told_at = 0.0

    def run(self, say: Say) -> History:
        """Carry out the plan, end all faults, and wait until all requests have ended."""
        # Starts the function with an invalid request, so that the first faults find it running.
        self._lambda.invoke(FunctionName=self._stack.reinvite_function_name, Payload="{}")
        self._started_at = time.time()
        for at, act in self._timeline():
            while (wait := at - self._now()) > 0:
                self._look(say)
                time.sleep(min(wait, _LOOK_SECONDS))
            act()
        # Outages and open breakers held calls up, whose faulty answers are still to come.
        self._wait(say, _MORE_FAULTS_SECONDS)
        for user_id in self._plan.users:
            self._partoo.script(user_id)
        self._partoo.release()
        say(f"{self._now():4.0f} s: all faults have ended.")
        self._wait(say, _COMPLETION_SECONDS)
        self._history.seconds, self._history.waiting = self._now(), self._waiting()
        self._history.calls = [
            replace(
                call,
                received_at=call.received_at - self._started_at,
                emailed_at=call.emailed_at and call.emailed_at - self._started_at,
            )
            for call in self._partoo.calls()
        ]
        return self._history

    def _timeline(self) -> list[tuple[float, Callable[[], None]]]:
        plan = self._plan
        actions: list[tuple[float, Callable[[], None]]] = [
            *((each.at, partial(self._send, each)) for each in plan.requests),
            *((at, self._kill) for at in plan.kills),
            *((each.at, partial(self._begin, each)) for each in plan.outages),
            *((each.at + each.seconds, partial(self._end, each)) for each in plan.outages),
        ]
        return sorted(actions, key=lambda action: action[0])

    def _send(self, request: PlannedRequest) -> None:
        if request.faults:
            answers = (API_FAULTS[name] for name in request.faults)
            self._partoo.script(request.user_id, *answers)
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
                answer = self._aws.client("events").put_events(Entries=[entry])
                self._sent(request, at, answer["Entries"][0]["EventId"])
            case Entrance.INVOKE:
                self._invocations.append(self._callers.submit(self._invoke, request))

    def _sent(self, request: PlannedRequest, at: float, given_id: str) -> None:
        request_id = request.request_id or given_id
        self._request_ids[request.name] = request_id
        self._history.triggers.append(Trigger(at, request_id, request.user_id))

    def _invoke(self, request: PlannedRequest) -> None:
        """Invoke until there is an answer, as a client must after an error."""
        while not self.stopped.is_set():
            self._sent(request, self._now(), request.name)
            # A killed function is an error of the SDK or of the function.
            with suppress(BotoCoreError, ClientError):
                answer = self._lambda.invoke(
                    FunctionName=self._stack.reinvite_function_name, Payload=request.text
                )
                if "FunctionError" not in answer:
                    return
            self.stopped.wait(_CALL_AGAIN_SECONDS)

    def _kill(self) -> None:
        self._history.killed_workers += kill_workers(self._aws)
        self._history.kills.append(self._now())

    def _begin(self, outage: Outage) -> None:
        if outage.service == API_KEY:
            self._partoo.set_key(self._new_key)
        else:
            self._proxy.inject(outage.service, outage.fault, probability=outage.probability)

    def _end(self, outage: Outage) -> None:
        if outage.service == API_KEY:
            self._aws.client("secretsmanager").put_secret_value(
                SecretId=self._stack.api_key_secret_arn, SecretString=self._new_key
            )
        else:
            for (service, fault), count in self._proxy.injected.items():
                kind = f"{service} {fault.name.lower().replace('_', ' ')}"
                self._history.aws_faults[kind] += count
            self._proxy.clear()
        self._history.outages.append((outage.service, outage.at, self._now()))

    def _look(self, say: Say) -> None:
        """Receive what was published and what failed, and tell the progress now and then."""
        history = self._history
        for message in self._drain(self._stack.results_queue_url):
            result = json.loads(message["Body"])
            at = int(message["Attributes"]["SentTimestamp"]) / 1000 - self._started_at
            # The result of the first invocation was published before the start.
            if at >= 0:
                history.publications.append(
                    Publication(at, result["request_id"], result["status"], message["Body"])
                )
        for message in self._drain(self._stack.dead_letter_queue_url):
            names = set(_NAME.findall(message["Body"]))
            history.dead_letters += [self._request_ids[name] for name in names]
        if self._now() - self._told_at > _PROGRESS_SECONDS:
            self._told_at = self._now()
            answered = len({each.request_id for each in history.publications})
            say(
                f"{self._now():4.0f} s: {len(self._request_ids)} requests sent, {answered} "
                f"answered; {len(self._partoo.emails())} e-mails; {self._waiting()} messages wait"
            )

    def _drain(self, queue_url: str) -> Iterator[Mapping[str, Any]]:
        while messages := self._aws.receive(queue_url):
            yield from messages

    def _wait(self, say: Say, seconds: float) -> None:
        """Wait until all requests have ended, or for so long."""
        deadline, complete = self._now() + seconds, False
        while not complete and self._now() < deadline:
            time.sleep(_LOOK_SECONDS)
            # Before the topic is read: a message leaves its queue after its result is published.
            complete = all(each.done() for each in self._invocations) and self._waiting() == 0
            self._look(say)

    def _waiting(self) -> int:
        """Return the number of messages on the queues, in flight and delayed ones included.

        A message that moves to the next queue is on both for a moment, and never on neither.
        """
        counts = [
            self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
                "Attributes"
            ].items()
            for url in self._stack.queue_urls
        ]
        return sum(int(n) for each in counts for name, n in each if name.startswith(_COUNTS))

    def _now(self) -> float:
        return time.time() - self._started_at
