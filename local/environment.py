"""Runs the whole stack on this machine: local AWS, fake Partoo server and the deployed template."""

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.aws import REPOSITORY, LocalAws, local_aws
from local.errors import CommandError
from local.lock import hold_lock
from local.partoo.control import PartooControl, User
from local.partoo.server import running_fake_partoo
from local.stack import DeployedStack, build, deploy

WORKSPACE = REPOSITORY / ".local"


@dataclass(frozen=True)
class LocalEnvironment:
    """The parts of a running environment."""

    aws: LocalAws
    stack: DeployedStack
    partoo: PartooControl
    partoo_base_url: str

    def published(self, wait_seconds: int = 1) -> list[dict[str, Any]]:
        """Receive up to ten results and sweep summaries."""
        messages = self.aws.receive(self.stack.results_queue_url, wait_seconds)
        return [json.loads(message["Body"]) for message in messages]

    def results(self, count: int, seconds: float) -> Iterator[dict[str, Any]]:
        """Yield each request's result once, until there are `count` or `seconds` have passed."""
        seen, deadline = set[str](), time.monotonic() + seconds
        while len(seen) < count and time.monotonic() < deadline:
            for result in self.published():
                # A result may be published more than once.
                if result["request_id"] not in seen:
                    seen.add(result["request_id"])
                    yield result

    def send(self, text: str) -> str:
        """Send a message to the request queue; returns its id."""
        queue_url = self.stack.request_queue_url
        answer = self.aws.client("sqs").send_message(QueueUrl=queue_url, MessageBody=text)
        return str(answer["MessageId"])

    def invoke(self, function: str, payload: str) -> Any:
        """Invoke a function; returns its answer, raises CommandError for an error."""
        answer = self.aws.client("lambda").invoke(FunctionName=function, Payload=payload)
        document = json.load(answer["Payload"])
        if "FunctionError" in answer:
            raise CommandError(f"{function} returned an error: {document}.")
        return document

    def put_event(self, source: str, detail_type: str, detail: str) -> str:
        """Put an event on the bus; returns its id, raises CommandError if it is refused."""
        entry = {"Source": source, "DetailType": detail_type, "Detail": detail}
        entry["EventBusName"] = self.stack.event_bus_name
        (answer,) = self.aws.client("events").put_events(Entries=[entry])["Entries"]
        if "EventId" not in answer:
            raise CommandError(f"The event bus refused the event: {answer}.")
        return str(answer["EventId"])


@contextmanager
def local_environment(
    logs: Path,
    *,
    users: Iterable[User],
    window_seconds: int,
    say: Callable[[str], object],
    requests_per_minute: int = 300,
    parameters: Mapping[str, str] | None = None,
    functions_endpoint_url: str | None = None,
) -> Iterator[LocalEnvironment]:
    """Run the environment for the length of the block.

    The fake server knows `users`. `requests_per_minute` is the quota of the stack and of the fake
    server, `parameters` are more of the stack's, `functions_endpoint_url` is where its functions
    call AWS. Raises CommandError.
    """
    api_key = secrets.token_urlsafe()
    say("Starting AWS and the fake Partoo server …")
    with (
        local_aws(logs, functions_endpoint_url=functions_endpoint_url) as aws,
        running_fake_partoo(
            api_key, window_seconds=window_seconds, requests_per_minute=requests_per_minute
        ) as base_url,
    ):
        partoo = PartooControl(base_url)
        partoo.add_users(*users)
        all_parameters = {
            "PartooBaseUrl": base_url,
            "InviteWindowSeconds": str(window_seconds),
            "RequestsPerMinute": str(requests_per_minute),
            **(parameters or {}),
        }
        # A build replaces the files that a deployment reads.
        WORKSPACE.mkdir(exist_ok=True)
        lock = hold_lock(WORKSPACE / "sam.lock")
        try:
            say("Building functions and layer …")
            template = build(WORKSPACE / "sam", logs=logs)
            say("Deploying …")
            stack = deploy(
                aws, "partoo-reinvite", all_parameters, template=template, api_key=api_key
            )
        finally:
            os.close(lock)
        yield LocalEnvironment(aws, stack, partoo, base_url)


def empty_log_folder(name: str) -> Path:
    """Return the folder `.local/NAME`, emptied; waits while a like command uses it."""
    folder = WORKSPACE / name
    WORKSPACE.mkdir(exist_ok=True)
    # Held until this process ends.
    hold_lock(folder.with_suffix(".lock"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder
