"""Checks the promises from outside, on the messages of topic and queues and the API's call log."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Promise(StrEnum):
    """The promises; each value describes a violation."""

    WINDOW = "calls inside the window of an e-mail"
    CONSERVATION = "requests without a result, on no queue"
    COMPLETION = "requests still on a queue at the end"
    IDENTITY = "requests with more than one final result"
    ORIGIN = "results of requests that were never sent"
    ONCE = "calls for users without an open request"
    DEAD_LETTER = "failed or invalid, not in the dead-letter queue"


@dataclass(frozen=True)
class Trigger:
    """A request was sent; times here and below are seconds after the start."""

    at: float
    request_id: str
    user_id: str


@dataclass(frozen=True)
class Publication:
    """A result was published; `body` is its text."""

    at: float
    request_id: str
    status: str
    body: str


@dataclass(frozen=True)
class Call:
    """The API received a call.

    `emailed_at` is the time of its e-mail, None without one. `fault` is the name of the scripted
    answer, None for a regular one.
    """

    at: float
    user_id: str
    status: int | None
    emailed_at: float | None
    fault: str | None = None


@dataclass(frozen=True)
class Incident:
    """A fault that was injected; `until` is None for a kill."""

    at: float
    until: float | None
    name: str


@dataclass(frozen=True)
class History:
    """What was seen from outside."""

    seed: int
    window_seconds: float
    seconds: float
    triggers: Sequence[Trigger]
    publications: Sequence[Publication]
    dead_letters: Sequence[str]
    """The request ids in the dead-letter queue."""
    waiting: int
    """Messages on request, retry and bulk queue at the end."""
    calls: Sequence[Call]
    incidents: Sequence[Incident]
    aws_faults: dict[str, int]
    killed_workers: int


@dataclass(frozen=True)
class Violation:
    """A broken promise, and a sentence with the request or the user."""

    promise: Promise
    text: str


def judge(history: History) -> list[Violation]:
    """Return all violations that are visible from outside."""
    case = _Case(history)
    return [
        *case.calls_inside_windows(),
        *case.lost_requests(),
        *case.contradicting_results(),
        *case.calls_without_open_request(),
        *case.missing_dead_letters(),
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

    def calls_inside_windows(self) -> Iterator[Violation]:
        # All calls count, not only those with an e-mail: the fake server sends none for a call
        # inside the window, so that counting e-mails would find nothing.
        last_email_at: dict[str, float] = {}
        for call in sorted(self._history.calls, key=lambda each: each.at):
            gap = call.at - last_email_at.get(call.user_id, float("-inf"))
            if gap < self._history.window_seconds:
                yield Violation(
                    Promise.WINDOW,
                    f"{call.user_id} was called at {call.at:.3f} s, {gap:.3f} s after an e-mail",
                )
            if call.emailed_at is not None:
                last_email_at[call.user_id] = call.emailed_at

    def lost_requests(self) -> Iterator[Violation]:
        open_requests = self._triggers.keys() - self._publications.keys()
        for request_id in sorted(open_requests.difference(self._history.dead_letters)):
            if self._history.waiting:
                yield Violation(Promise.COMPLETION, f"{request_id} may be on one of the queues")
            else:
                yield Violation(Promise.CONSERVATION, f"{request_id} is nowhere")

    def contradicting_results(self) -> Iterator[Violation]:
        for request_id, publications in self._publications.items():
            if request_id not in self._triggers:
                yield Violation(Promise.ORIGIN, f"{request_id} has a result and was never sent")
                continue
            statuses = list({each.body: each.status for each in publications}.values())
            # A failed request that is sent again may end otherwise.
            if len(self._triggers[request_id]) > 1:
                statuses = [status for status in statuses if status != "failed"]
            if len(statuses) > 1:
                names = ", ".join(statuses)
                yield Violation(Promise.IDENTITY, f"{request_id} has several results: {names}")

    def calls_without_open_request(self) -> Iterator[Violation]:
        for call in self._history.calls:
            requests = self._requests_of[call.user_id]
            if not any(self._is_open(request_id, call.at) for request_id in requests):
                yield Violation(
                    Promise.ONCE,
                    f"{call.user_id} was called at {call.at:.3f} s without an open request",
                )

    def missing_dead_letters(self) -> Iterator[Violation]:
        for request_id in self._publications.keys() - set(self._history.dead_letters):
            statuses = {each.status for each in self._publications[request_id]}
            for status in sorted(statuses & {"failed", "invalid"}):
                yield Violation(Promise.DEAD_LETTER, f"{request_id} is {status}")

    def _is_open(self, request_id: str, at: float) -> bool:
        triggers = [each for each in self._triggers[request_id] if each.at < at]
        statuses = {each.status for each in self._publications[request_id] if each.at < at}
        if len(triggers) > 1:
            statuses.discard("failed")
        return bool(triggers) and not statuses
