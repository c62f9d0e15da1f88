"""Checks the promises from outside, on the messages of topic and queues and the API's call log."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from local.partoo.control import Call


class Promise(StrEnum):
    """The promises; each value describes a violation."""

    WINDOW = "calls inside the window of an e-mail"
    CONSERVATION = "requests without a result, not in the dead-letter queue"
    IDENTITY = "requests with more than one final result"
    ONCE = "calls for users without an open request"
    DEAD_LETTER = "failed or invalid, not in the dead-letter queue"


@dataclass(frozen=True)
class Trigger:
    """A request is sent, with `name` as its correlation id; twice, if it is sent again.

    Times here and below are seconds after the start.
    """

    at: float
    name: str
    user_id: str
    text: str = ""


@dataclass(frozen=True)
class Publication:
    """A result was published; `body` is its text."""

    at: float
    name: str
    status: str
    body: str


@dataclass
class History:
    """What was seen from outside."""

    seed: int
    window_seconds: float
    seconds: float = 0.0
    triggers: list[Trigger] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    dead_letters: list[str] = field(default_factory=list)
    """The names of the requests in the dead-letter queue."""
    waiting: int = 0
    """Messages on request, retry and bulk queue at the end."""
    calls: list[Call] = field(default_factory=list)
    """The fake server's log of invite calls."""
    outages: list[tuple[str, float, float]] = field(default_factory=list)
    """Services with the begin and the end of their outages."""
    kills: list[float] = field(default_factory=list)
    killed_workers: int = 0
    aws_faults: Counter[str] = field(default_factory=Counter)


@dataclass
class _Request:
    users: set[str] = field(default_factory=set)
    sent: list[float] = field(default_factory=list)
    published: list[Publication] = field(default_factory=list)

    def ends(self, before: float = math.inf) -> list[str]:
        """Return the statuses of the distinct results that ended the request before a moment."""
        distinct = {each.body: each.status for each in self.published if each.at < before}
        # A failed request that is sent again may end otherwise.
        is_sent_again = sum(at < before for at in self.sent) > 1
        return [each for each in distinct.values() if each != "failed" or not is_sent_again]

    def is_open(self, at: float) -> bool:
        return any(sent < at for sent in self.sent) and not self.ends(at)


def judge(history: History) -> Iterator[tuple[Promise, str]]:
    """Yield each broken promise with a sentence that names the request or the user."""
    requests: defaultdict[str, _Request] = defaultdict(_Request)
    for trigger in history.triggers:
        requests[trigger.name].sent.append(trigger.at)
        requests[trigger.name].users.add(trigger.user_id)
    for publication in history.publications:
        requests[publication.name].published.append(publication)

    for name, request in requests.items():
        is_dead = name in history.dead_letters
        if not (request.published or is_dead):
            text = f"{name} is nowhere, or one of {history.waiting} waiting messages"
            yield Promise.CONSERVATION, text
        if len(ends := request.ends()) > 1:
            yield Promise.IDENTITY, f"{name} has several results: {', '.join(ends)}"
        for status in {each.status for each in request.published} & {"failed", "invalid"}:
            if not is_dead:
                yield Promise.DEAD_LETTER, f"{name} is {status}"

    # All calls count, not only those with an e-mail: the fake server sends none for a call inside
    # the window, so that counting e-mails would find nothing.
    last_email_at: dict[str, float] = {}
    for call in sorted(history.calls, key=lambda each: each.received_at):
        user_id, at = call.user_id or call.path, call.received_at
        if not any(user_id in each.users and each.is_open(at) for each in requests.values()):
            yield Promise.ONCE, f"{user_id} was called at {at:.3f} s without an open request"
        gap = at - last_email_at.get(user_id, -math.inf)
        if gap < history.window_seconds:
            yield Promise.WINDOW, f"{user_id} was called at {at:.3f} s, {gap:.3f} s after an e-mail"
        if call.emailed_at is not None:
            last_email_at[user_id] = call.emailed_at
