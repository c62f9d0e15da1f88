"""`make chaos`: inject faults into the deployed stack and check its promises from outside."""

import json
import os
import sched
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status

from local.chaos.judge import History, Publication, Trigger, judge
from local.chaos.plan import Outage, Plan, draw_plan
from local.chaos.report import draw, table
from local.environment import LocalEnvironment, empty_log_folder, local_environment
from local.errors import CommandError
from local.faults import FaultProxy
from local.partoo.control import ANY_USER, User
from local.rows import plain_console
from local.stack import reconfigure

_WINDOW_SECONDS = 10
# Far more than are sent: the soak is about faults, not about the quota.
_REQUESTS_PER_MINUTE = 3_000
_PARAMETERS = {
    "PartooTimeoutSeconds": "1",
    # With a third of the calls faulty, a few requests need this many attempts.
    "MaxAttempts": "3",
    # A soak needs more calls for each user than a day allows.
    "UserDailyLimit": "0",
}
# Short, because the claim of an execution that dies lasts until its deadline. A function begins no
# call with less than 19 s left: 2 s for the call, 12 s for its writes, 5 s for its token.
_EXECUTION_SECONDS = 20
# Longer than an execution, so that no message is received twice at once.
_VISIBILITY = {"VisibilityTimeout": str(_EXECUTION_SECONDS + 4)}
_MORE_FAULTS_SECONDS = 120.0
# A request can be interrupted and wait for its window several times.
_COMPLETION_SECONDS = 300.0
_LOOK_SECONDS = 0.5


def main(seed: str, requests: str) -> int:
    """Run a soak; returns 1 if a promise is broken."""
    if not (seed.isdecimal() and requests.isdecimal() and int(requests)):
        raise CommandError(
            f"SEED and REQUESTS must be whole numbers, REQUESTS at least 1, not {seed}, {requests}."
        )
    plan = draw_plan(int(seed), int(requests))
    return 1 if carry_out(plan, empty_log_folder("chaos"), plain_console()) else 0


def carry_out(plan: Plan, folder: Path, console: Console) -> list[str]:
    """Run a plan on a new stack; writes history and chart to `folder`.

    Returns the violations. Raises CommandError if the stack cannot be deployed.
    """
    with (
        FaultProxy() as proxy,
        local_environment(
            folder,
            users=map(User, plan.users),
            window_seconds=_WINDOW_SECONDS,
            requests_per_minute=_REQUESTS_PER_MINUTE,
            parameters=_PARAMETERS,
            functions_endpoint_url=proxy.url,
            say=console.print,
        ) as environment,
        console.status("") as status,
    ):
        history = _Soak(plan, environment, proxy, status).run()
    violations = list(judge(history))
    (folder / "history.json").write_text(json.dumps(vars(history), default=vars, indent=1) + "\n")
    draw(history, folder / "history.png")
    console.print(table(history, [promise for promise, _ in violations]))
    console.print(f"History and chart are in {folder}.")
    sentences = [f"{promise}: {where}" for promise, where in violations]
    for sentence in sentences:
        console.print(f"Violation: {sentence}.")
    return sentences


class _Soak:
    """A plan, the stack that it runs on, and the record of what was seen."""

    def __init__(
        self, plan: Plan, environment: LocalEnvironment, proxy: FaultProxy, status: Status
    ) -> None:
        self.plan, self.environment, self.proxy, self.status = plan, environment, proxy, status
        self.aws, self.stack = environment.aws, environment.stack
        self.history = History(plan.seed, _WINDOW_SECONDS)
        proxy.forward_to(self.aws.endpoint_url, self.aws.ca)
        reconfigure(self.aws, self.stack.reinvite_function_name, Timeout=_EXECUTION_SECONDS)
        for queue_url in self.stack.queue_urls:
            self.aws.client("sqs").set_queue_attributes(QueueUrl=queue_url, Attributes=_VISIBILITY)
        # Starts the function with an invalid request, so that the first faults find it running.
        environment.invoke(self.stack.reinvite_function_name, "{}")
        for queue_url in (self.stack.results_queue_url, self.stack.dead_letter_queue_url):
            self._drain(queue_url)
        environment.partoo.script(ANY_USER, *plan.answers)
        self.started_at = time.time()

    def run(self) -> History:
        """Carry out the plan, end all faults, and wait until all requests have ended."""
        plan, history = self.plan, self.history
        actions = sched.scheduler(self._now, time.sleep)
        for trigger in plan.triggers:
            actions.enterabs(trigger.at, 0, self._send, (trigger,))
        for at in plan.kills:
            actions.enterabs(at, 0, self._kill)
        for outage in plan.outages:
            actions.enterabs(outage.at, 0, self._begin, (outage,))
            actions.enterabs(outage.at + outage.seconds, 0, self._end, (outage,))
        while (seconds := actions.run(blocking=False)) is not None:
            self._look()
            time.sleep(min(seconds, _LOOK_SECONDS))
        # Outages and open breakers held calls up, whose faulty answers are still to come.
        self._wait(_MORE_FAULTS_SECONDS)
        self.environment.partoo.script(ANY_USER)
        self._wait(_COMPLETION_SECONDS)
        history.seconds, history.waiting = self._now(), self._waiting()
        history.calls = [
            replace(
                call,
                received_at=call.received_at - self.started_at,
                emailed_at=call.emailed_at and call.emailed_at - self.started_at,
            )
            for call in self.environment.partoo.calls()
        ]
        return history

    def _send(self, trigger: Trigger) -> None:
        self.history.triggers.append(replace(trigger, at=self._now()))
        self.environment.send(trigger.text)

    def _kill(self) -> None:
        """Kill the processes in which the local AWS runs functions, busy or idle.

        The next execution starts a new process.
        """
        workers = ["pgrep", "-P", str(self.aws.server_pid), "-f", "/ministack-lambda-[^/]+/_worker"]
        listed = subprocess.run(workers, check=False, capture_output=True, text=True)
        for pid in listed.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
                self.history.killed_workers += 1
        self.history.kills.append(self._now())

    def _begin(self, outage: Outage) -> None:
        self.proxy.outage = (outage.service, outage.fault, outage.probability)

    def _end(self, outage: Outage) -> None:
        self.proxy.outage = None
        for (service, fault), count in self.proxy.injected.items():
            self.history.aws_faults[f"calls of {service} {fault.value}"] = count
        self.history.outages.append((outage.service, outage.at, self._now()))

    def _look(self) -> None:
        """Receive what was published and what failed, and show the progress."""
        history = self.history
        for message in self._drain(self.stack.results_queue_url):
            result = json.loads(message["Body"])
            at = int(message["Attributes"]["SentTimestamp"]) / 1000 - self.started_at
            published = (result["correlation_id"], result["status"], message["Body"])
            history.publications.append(Publication(at, *published))
        for message in self._drain(self.stack.dead_letter_queue_url):
            history.dead_letters.append(json.loads(message["Body"])["correlation_id"])
        answered = len({each.name for each in history.publications})
        self.status.update(
            f"{self._now():4.0f} s: {len(history.triggers)} requests sent, {answered} answered; "
            f"{self._waiting()} messages wait"
        )

    def _drain(self, queue_url: str) -> list[dict[str, Any]]:
        received: list[dict[str, Any]] = []
        while messages := self.aws.receive(queue_url):
            received += messages
        return received

    def _wait(self, seconds: float) -> None:
        """Wait until all requests have ended, or for so long."""
        deadline, complete = self._now() + seconds, False
        while not complete and self._now() < deadline:
            time.sleep(_LOOK_SECONDS)
            # Before the topic is read: a message leaves its queue after its result is published.
            complete = self._waiting() == 0
            self._look()

    def _waiting(self) -> int:
        """Return the number of messages on the queues, in flight and delayed ones included.

        A message that moves to the next queue is on both for a moment, and never on neither.
        """
        return sum(self.aws.count(queue_url) for queue_url in self.stack.queue_urls)

    def _now(self) -> float:
        return time.time() - self.started_at
