"""Small in-memory implementations of the ports, and the service wired to them.

Plain and deterministic: time moves only when a test says so, and a fake fails only when it is told
to. The contract tests hold them against the real adapters.
"""

import json
import random
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import jmespath

from invitations.adapters.secrets import MAX_AGE_SECONDS
from invitations.caller import Caller
from invitations.envelopes import write_progress
from invitations.errors import (
    KeyUnavailableError,
    LedgerUnavailableError,
    QueueUnavailableError,
    TopicUnavailableError,
)
from invitations.gate import Gate, Pace
from invitations.ledger import (
    Change,
    ClaimRefusal,
    ConclusionRefusal,
    Filed,
    Ledger,
    Standing,
    Subject,
    UserRecord,
)
from invitations.models import (
    Answered,
    CallOutcome,
    Claim,
    Copy,
    Delivery,
    NeverSent,
    Progress,
    Queued,
    Result,
    Source,
    Unanswered,
)
from invitations.ports import T
from invitations.service import Policy, ReinviteService

START = 1_800_000_000.0
"""2027-01-15T08:00:00Z, when every fake clock begins."""

EXECUTION_SECONDS = 60.0
"""How long an execution of the fake world may last."""

CALL_BUDGET_SECONDS = 22.0
"""How much of it must be left for a call."""


class ExecutionDiedError(BaseException):
    """The execution ends here: no line of the code under test may catch it."""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class _Fault:
    error: BaseException
    after_effect: bool


class _Fallible:
    """A fake that can be told to fail."""

    def __init__(self, error: BaseException) -> None:
        self._error = error
        self._lock = threading.RLock()
        self._faults: dict[str, deque[_Fault]] = defaultdict(deque)

    def fail(
        self,
        method: str,
        *,
        times: int = 1,
        after_effect: bool = False,
        error: BaseException | None = None,
    ) -> None:
        """Let the next calls of a method raise the port's error, or another.

        `after_effect`: the call does its work, and only its reply is lost.
        """
        self._faults[method].extend([_Fault(error or self._error, after_effect)] * times)

    @contextmanager
    def _call(self, method: str) -> Iterator[None]:
        with self._lock:
            faults = self._faults[method]
            fault = faults.popleft() if faults else None
            if fault is not None and not fault.after_effect:
                raise fault.error
            yield
            if fault is not None:
                raise fault.error


class InMemoryTable:
    """One lock in place of conditions and transactions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.versions: dict[str, int] = defaultdict(int)
        self.users: dict[str, UserRecord] = defaultdict(UserRecord)
        self.filed: dict[Subject, Filed] = {}

    def read(self, subjects: Sequence[Subject]) -> list[Standing]:
        with self._lock:
            return [self.standing(subject) for subject in subjects]

    def write(self, seen: Standing, change: Change) -> Standing | None:
        with self._lock:
            user_id = seen.subject.user_id
            now, after = self.standing(seen.subject), self.versions[user_id] + 1
            if change.user is None:
                if now.is_latest or now.filed != seen.filed:
                    return None
            elif now.version == seen.version + 1 and now.user == change.user:
                return now
            elif now.version != seen.version:
                return None
            else:
                self.users[user_id] = change.user
            self.versions[user_id] = after
            if change.files is not None:
                self.filed[Subject(user_id, change.files.result.request_id)] = change.files
            return self.standing(seen.subject)

    def standing(self, subject: Subject) -> Standing:
        user, version = self.users[subject.user_id], self.versions[subject.user_id]
        latest = user.request_id == subject.request_id
        return Standing(subject, version, user, None if latest else self.filed.get(subject))

    def forget(self, user_id: str) -> None:
        """Delete all that is known of a user."""
        self.users.pop(user_id, None)
        self.versions.pop(user_id, None)
        for subject in [each for each in self.filed if each.user_id == user_id]:
            del self.filed[subject]


class InMemoryLedger(Ledger, _Fallible):
    """The real rules on a table that may be told to fail."""

    def __init__(self) -> None:
        self.table = InMemoryTable()
        Ledger.__init__(self, self.table, pause=lambda _: None)
        _Fallible.__init__(self, LedgerUnavailableError("the fake table is down"))

    @property
    def users(self) -> dict[str, UserRecord]:
        return self.table.users

    def look_up(self, subjects: Sequence[Subject]) -> list[Standing]:
        with self._call("look_up"):
            return super().look_up(subjects)

    def claim(self, claim: Claim, seen: Standing | None, **terms: Any) -> Standing | ClaimRefusal:
        with self._call("claim"):
            return super().claim(claim, seen, **terms)

    def finish(self, claim: Claim, seen: Standing | None, result: Result, **terms: Any) -> Result:
        with self._call("finish"):
            return super().finish(claim, seen, result, **terms)

    def release(self, claim: Claim, seen: Standing | None, **terms: Any) -> None:
        with self._call("release"):
            super().release(claim, seen, **terms)

    def conclude(
        self, result: Result, subject: Subject, seen: Standing | None, **terms: Any
    ) -> Standing | ConclusionRefusal:
        with self._call("conclude"):
            return super().conclude(result, subject, seen, **terms)


class InMemoryGateKeeper(_Fallible):
    def __init__(self) -> None:
        super().__init__(LedgerUnavailableError("the fake table is down"))
        self.last_known = Gate()
        self.changes = 0

    def read(self) -> Gate:
        with self._call("read"):
            return self.last_known

    def change(self, event: Callable[[Gate], tuple[Gate, T]]) -> T:
        with self._call("change"):
            self.last_known, answer = event(self.last_known)
            self.changes += 1
            return answer


Outcome = Callable[[float], CallOutcome]
"""A scripted outcome, given the moment at which the call ends."""


def answers(http_status: int, retry_after: str | None = None) -> Outcome:
    return lambda ended_at: Answered(http_status, ended_at, retry_after)


def never_sent() -> Outcome:
    return lambda _: NeverSent("connection refused")


def unanswered() -> Outcome:
    return lambda ended_at: Unanswered("read timed out", gave_up_at=ended_at)


@dataclass(frozen=True)
class Call:
    user_id: str
    api_key: str
    called_at: float
    outcome: CallOutcome


class ScriptedApi(_Fallible):
    """Answers 200 unless a script says otherwise; each call takes `seconds` of the clock."""

    def __init__(self, clock: Clock, seconds: float = 0.5) -> None:
        super().__init__(ExecutionDiedError())
        self.calls: list[Call] = []
        self.seconds = seconds
        self._clock = clock
        self._scripts: dict[str, deque[Outcome]] = defaultdict(deque)

    def script(self, user_id: str, *outcomes: Outcome) -> None:
        """Set the outcomes of the user's next calls."""
        self._scripts[user_id].extend(outcomes)

    def invite(self, user_id: str, api_key: str) -> CallOutcome:
        with self._call("invite"):
            script = self._scripts[user_id]
            outcome = script.popleft() if script else answers(200)
            called_at = self._clock()
            self._clock.advance(self.seconds)
            ended = outcome(self._clock())
            self.calls.append(Call(user_id, api_key, called_at, ended))
            return ended


class FakeKeys(_Fallible):
    """Reads `secret` as a container would; what may fail is `read`."""

    def __init__(self, clock: Callable[[], float], secret: str) -> None:
        super().__init__(KeyUnavailableError("the fake secret cannot be read"))
        self.secret = secret
        self._clock = clock
        self._key: str | None = None
        self._read_at = 0.0

    def current(self) -> str:
        try:
            return self.refreshed(self._clock() - MAX_AGE_SECONDS)
        except KeyUnavailableError:
            if self._key is None:
                raise
            self._read_at = self._clock()
            return self._key

    def refreshed(self, since: float) -> str:
        if self._key is not None and self._read_at > since:
            return self._key
        return self._read()

    def _read(self) -> str:
        with self._call("read"):
            self._key, self._read_at = self.secret, self._clock()
            return self._key


class RecordingTopic(_Fallible):
    def __init__(self) -> None:
        super().__init__(TopicUnavailableError("the fake topic is down"))
        self.published: list[Result] = []

    def publish(self, results: Sequence[Result]) -> list[TopicUnavailableError | None]:
        return [self._publish(result) for result in results]

    def _publish(self, result: Result) -> TopicUnavailableError | None:
        try:
            with self._call("publish"):
                self.published.append(result)
        except TopicUnavailableError as error:
            return error
        return None


@dataclass(frozen=True)
class Message:
    """A message at rest on one of the two queues."""

    message_id: str
    body: str
    notes: str | None = None
    due_at: float = START
    status: str | None = None
    reason: str | None = None

    def delivery(self, received_at: float, receive_count: int = 1) -> Delivery:
        return Delivery(
            self.message_id, self.body, Source.SQS, received_at, receive_count, self.notes
        )


class InMemoryQueue(_Fallible):
    def __init__(self, clock: Clock) -> None:
        super().__init__(QueueUnavailableError("the fake queue is down"))
        self.deferred: list[Message] = []
        self.parked: list[Message] = []
        self._clock = clock
        self._numbers = count(1)

    def defer(self, copies: Sequence[Copy]) -> list[QueueUnavailableError | None]:
        return [self._defer(copy) for copy in copies]

    def _defer(self, copy: Copy) -> QueueUnavailableError | None:
        try:
            with self._call("defer"):
                notes, due_at = write_progress(copy.progress), self._clock() + copy.delay_seconds
                self.deferred.append(Message(self._name("copy"), copy.body, notes, due_at))
        except QueueUnavailableError as error:
            return error
        return None

    def park(self, body: str, progress: Progress | None, result: Result) -> None:
        with self._call("park"):
            notes = None if progress is None else write_progress(progress)
            self.parked.append(
                Message(
                    self._name("parked"), body, notes, self._clock(), result.status, result.reason
                )
            )

    def _name(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers)}"


@dataclass
class World:
    """The service over fakes, and the queue that hands its messages over."""

    policy: Policy = field(
        default_factory=lambda: Policy(
            invite_window_seconds=300,
            max_attempts=3,
            user_id_path=jmespath.compile("detail.user_id"),
        )
    )
    pace: Pace = field(default_factory=lambda: Pace.within(6_000))

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.ledger = InMemoryLedger()
        self.gate = InMemoryGateKeeper()
        self.api = ScriptedApi(self.clock)
        self.keys = FakeKeys(self.clock, "key-1")
        self.topic = RecordingTopic()
        self.queue = InMemoryQueue(self.clock)
        self._names = count(1)
        self.service = ReinviteService(
            ledger=self.ledger,
            caller=Caller(
                gate=self.gate,
                keys=self.keys,
                clock=self.clock,
                sleep=self.clock.advance,
                pace=self.pace,
                call_budget_seconds=CALL_BUDGET_SECONDS,
            ),
            api=self.api,
            topic=self.topic,
            queue=self.queue,
            clock=self.clock,
            new_id=lambda: f"claim-{next(self._names)}",
            dice=random.Random(0),
            policy=self.policy,
        )

    def message(self, user_id: str = "u1", request_id: str = "r1", **fields: object) -> Message:
        """A new message with a request; its id is the request's, prefixed."""
        body = {"user_id": user_id, "request_id": request_id, **fields}
        return Message(f"message-{request_id}", json.dumps(body))

    def ask(self, user_id: str = "u1", request_id: str = "r1", **fields: object) -> Result | Queued:
        """Send a new request, and see it delivered once."""
        return self.deliver(self.message(user_id, request_id, **fields))

    def deliver(
        self, message: Message, *, receive_count: int = 1, seconds: float = EXECUTION_SECONDS
    ) -> Result | Queued:
        """Hand a message to an execution that may last `seconds`."""
        delivery = message.delivery(START, receive_count)
        (outcome,) = self.service.reinvite([delivery], self.clock() + seconds, one_by_one)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def deliver_together(self, *messages: Message) -> list[Result | Queued | Exception]:
        """Hand messages to one execution."""
        deliveries = [message.delivery(START) for message in messages]
        return self.service.reinvite(deliveries, self.clock() + EXECUTION_SECONDS, one_by_one)

    def deliver_copy(self) -> Result | Queued:
        """Wait for the deferred copy that is due first, and see it delivered."""
        copy = min(self.queue.deferred, key=lambda message: message.due_at)
        self.queue.deferred.remove(copy)
        self.clock.now = max(self.clock.now, copy.due_at)
        return self.deliver(copy)

    def deliver_copies(self, times: int) -> None:
        for _ in range(times):
            self.deliver_copy()

    def deliver_all_copies(self) -> None:
        """See every copy delivered, and those that come of them."""
        for _ in range(100):
            if not self.queue.deferred:
                return
            self.deliver_copy()
        raise AssertionError("a request is deferred for ever")

    def calls_for(self, user_id: str) -> list[float]:
        """When the user was called."""
        return [call.called_at for call in self.api.calls if call.user_id == user_id]


def one_by_one(work: Callable[[int], T], items: Iterable[int]) -> list[T]:
    return [work(item) for item in items]


def in_short(outcome: Result | Queued) -> str:
    if isinstance(outcome, Queued):
        return f"queued: {outcome.cause}"
    return f"{outcome.status}: {outcome.reason}"
