"""Whether the promises were kept, told from the outside: topic, queues and the API's log."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Promise(StrEnum):
    """What must hold; the value says how it is broken."""

    WINDOW = "calls inside the window of an e-mail"
    LOST = "requests without result, in no queue"
    SETTLED = "requests still on their way at the end"
    IDENTITY = "requests with more than one final result"
    NO_STRAY = "results of requests that nobody made"
    ONCE = "calls for users without an open request"
    PARKED = "failed or invalid, not in the dead-letter queue"


@dataclass(frozen=True)
class Trigger:
    """A request was sent; times here and below are seconds after the start."""

    at: float
    request_id: str
    user_id: str


@dataclass(frozen=True)
class Publication:
    """A result came out of the topic; `body` is its text."""

    at: float
    request_id: str
    status: str
    body: str


@dataclass(frozen=True)
class Call:
    """The API received a call; `fault` is what it was answered with on purpose."""

    at: float
    user_id: str
    status: int | None
    email_sent: bool
    fault: str | None = None


@dataclass(frozen=True)
class Incident:
    """Something that was done to the stack; a moment when it has no end."""

    at: float
    until: float | None
    name: str


@dataclass(frozen=True)
class History:
    """All that was seen of a soak from the outside."""

    seed: int
    window_seconds: float
    seconds: float
    triggers: Sequence[Trigger]
    publications: Sequence[Publication]
    parked: Sequence[str]
    """The request ids in the dead-letter queue."""
    left_on_queue: int
    calls: Sequence[Call]
    incidents: Sequence[Incident]
    aws_faults: dict[str, int]
    killed_workers: int


@dataclass(frozen=True)
class Violation:
    """One broken promise; `text` says whose and how."""

    promise: Promise
    text: str


def judge(history: History) -> list[Violation]:
    """Return every violation that can be told from the outside."""
    case = _Case(history)
    return [
        *case.windows(),
        *case.conservation(),
        *case.identities(),
        *case.unexplained_calls(),
        *case.unparked(),
    ]


class _Case:
    def __init__(self, history: History) -> None:
        self._history = history
        self._triggers: defaultdict[str, list[Trigger]] = defaultdict(list)
        self._publications: defaultdict[str, list[Publication]] = defaultdict(list)
        self._requests_of: defaultdict[str, set[str]] = defaultdict(set)
        for trigger in history.triggers:
            self._triggers[trigger.request_id].append(trigger)
            self._requests_of[trigger.user_id].add(trigger.request_id)
        for publication in sorted(history.publications, key=lambda each: each.at):
            self._publications[publication.request_id].append(publication)

    def windows(self) -> Iterator[Violation]:
        # Any call, not only another e-mail: the stand-in sends none for a call that comes too
        # soon, so that counting e-mails would hide what it is asked to show.
        last_email_at: dict[str, float] = {}
        for call in sorted(self._history.calls, key=lambda each: each.at):
            gap = call.at - last_email_at.get(call.user_id, float("-inf"))
            if gap < self._history.window_seconds:
                yield Violation(
                    Promise.WINDOW,
                    f"{call.user_id} was called at {call.at:.3f} s, {gap:.3f} s after an e-mail",
                )
            if call.email_sent:
                last_email_at[call.user_id] = call.at

    def conservation(self) -> Iterator[Violation]:
        open_requests = self._triggers.keys() - self._publications.keys()
        for request_id in sorted(open_requests.difference(self._history.parked)):
            if self._history.left_on_queue:
                yield Violation(Promise.SETTLED, f"{request_id} may be among the queue's messages")
            else:
                yield Violation(Promise.LOST, f"{request_id} is nowhere")

    def identities(self) -> Iterator[Violation]:
        for request_id, publications in self._publications.items():
            if request_id not in self._triggers:
                yield Violation(Promise.NO_STRAY, f"{request_id} was answered and never sent")
                continue
            statuses = list({each.body: each.status for each in publications}.values())
            # Sent again, a failed request has another life, which may end otherwise.
            if len(self._triggers[request_id]) > 1:
                statuses = [status for status in statuses if status != "failed"]
            if len(statuses) > 1:
                told = ", ".join(statuses)
                yield Violation(Promise.IDENTITY, f"{request_id} has several results: {told}")

    def unexplained_calls(self) -> Iterator[Violation]:
        for call in self._history.calls:
            requests = self._requests_of[call.user_id]
            if not any(self._is_open(request_id, call.at) for request_id in requests):
                yield Violation(
                    Promise.ONCE,
                    f"{call.user_id} was called at {call.at:.3f} s, when all of their requests "
                    "had been answered",
                )

    def unparked(self) -> Iterator[Violation]:
        for request_id in self._publications.keys() - set(self._history.parked):
            statuses = {each.status for each in self._publications[request_id]}
            for status in sorted(statuses & {"failed", "invalid"}):
                yield Violation(Promise.PARKED, f"{request_id} is {status}")

    def _is_open(self, request_id: str, at: float) -> bool:
        triggers = [each for each in self._triggers[request_id] if each.at < at]
        answers = {each.status for each in self._publications[request_id] if each.at < at}
        if len(triggers) > 1:
            answers.discard("failed")
        return bool(triggers) and not answers
