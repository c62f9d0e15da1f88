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
from dataclasses import dataclass, field, replace
from itertools import count

import jmespath

from invitations.adapters.secrets import MAX_AGE_SECONDS
from invitations.envelopes import write_progress
from invitations.errors import (
    KeyUnavailableError,
    LedgerUnavailableError,
    QueueUnavailableError,
    TopicUnavailableError,
)
from invitations.gate import Gate, Pace
from invitations.models import (
    AlreadyAnswered,
    Answered,
    AttemptsBehind,
    CallOutcome,
    Claim,
    ClaimRefusal,
    ConclusionRefusal,
    Copy,
    Delivery,
    InProgress,
    NeverSent,
    Progress,
    Queued,
    RequestIdReused,
    Result,
    Source,
    Status,
    Tally,
    Unanswered,
    WindowActive,
    window_is_over,
)
from invitations.ports import T
from invitations.service import Policy, ReinviteService

START = 1_800_000_000.0
"""2027-01-15T08:00:00Z, when every fake clock begins."""

EXECUTION_SECONDS = 60.0
"""How long an execution of the fake world may last."""


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


@dataclass
class UserRecord:
    window_ends_at: float | None = None
    claim_id: str | None = None
    request_id: str | None = None
    sent_count: int = 0
    last_sent_at: float | None = None


@dataclass
class RequestRecord:
    user_id: str
    tally: Tally
    claim_id: str | None = None
    claim_ends_at: float = 0
    life_id: str | None = None
    result: Result | None = None

    def stands_against(self, life_id: str) -> bool:
        """Whether the request is answered, and another life would not begin it anew."""
        if self.result is None:
            return False
        return self.result.status is not Status.FAILED or self.life_id == life_id


class InMemoryLedger(_Fallible):
    """One lock in place of transactions."""

    def __init__(self) -> None:
        super().__init__(LedgerUnavailableError("the fake table is down"))
        self.users: dict[str, UserRecord] = defaultdict(UserRecord)
        self.requests: dict[str, RequestRecord] = {}

    def claim(
        self, claim: Claim, *, life_id: str, tally: Tally, now: float, hold_until: float
    ) -> ClaimRefusal | None:
        with self._call("claim"):
            user = self.users[claim.user_id]
            request = self.requests.get(claim.request_id)
            known = tally
            if request is not None:
                if request.user_id != claim.user_id:
                    return RequestIdReused()
                if request.result is None:
                    known = request.tally
                elif request.stands_against(life_id):
                    return AlreadyAnswered(request.result)
            ends_at = user.window_ends_at
            if ends_at is not None and not window_is_over(ends_at, now):
                if user.claim_id == claim.claim_id:
                    return None
                if user.request_id == claim.request_id:
                    return InProgress(ends_at, known)
                return WindowActive(ends_at)
            if known.attempts > tally.attempts:
                return AttemptsBehind(known)
            user.window_ends_at = hold_until
            user.claim_id, user.request_id = claim.claim_id, claim.request_id
            self.requests[claim.request_id] = RequestRecord(
                claim.user_id,
                replace(tally, attempts=tally.attempts + 1),
                claim.claim_id,
                hold_until,
            )
            return None

    def finish(
        self,
        claim: Claim,
        result: Result,
        *,
        life_id: str,
        answered_at: float,
        window_ends_at: float | None,
    ) -> Result:
        with self._call("finish"):
            request = self.requests.get(claim.request_id)
            if request is not None and request.result is not None:
                answered = request.result.status is not Status.FAILED
                if answered or result.status is not Status.SENT:
                    return request.result
            self._record(result, claim.user_id, life_id)
            self._settle_window(claim, window_ends_at)
            if result.status is Status.SENT:
                user = self.users[claim.user_id]
                user.sent_count += 1
                user.last_sent_at = max(answered_at, user.last_sent_at or 0)
            return result

    def release(self, claim: Claim, *, tally: Tally, window_ends_at: float | None) -> None:
        with self._call("release"):
            request = self.requests.get(claim.request_id)
            user = self.users[claim.user_id]
            if request is not None and request.claim_id == user.claim_id == claim.claim_id:
                request.tally, request.claim_id = tally, None
                self._settle_window(claim, window_ends_at)

    def conclude(
        self, result: Result, user_id: str, *, life_id: str, now: float
    ) -> ConclusionRefusal | None:
        with self._call("conclude"):
            request = self.requests.get(result.request_id)
            if request is not None:
                if request.user_id != user_id:
                    return RequestIdReused()
                if request.result is not None and request.stands_against(life_id):
                    return AlreadyAnswered(request.result)
                if request.claim_id is not None and not window_is_over(request.claim_ends_at, now):
                    return InProgress(request.claim_ends_at, request.tally)
                if request.result is None and request.tally.attempts > result.attempts:
                    return AttemptsBehind(request.tally)
            self._record(result, user_id, life_id)
            return None

    def _record(self, result: Result, user_id: str, life_id: str) -> None:
        self.requests[result.request_id] = RequestRecord(
            user_id, Tally(result.attempts), life_id=life_id, result=result
        )

    def _settle_window(self, claim: Claim, window_ends_at: float | None) -> None:
        user = self.users[claim.user_id]
        if user.claim_id == claim.claim_id:
            user.claim_id, user.window_ends_at = None, window_ends_at


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
            pace=Pace.within(6_000),
            call_budget_seconds=22,
            user_id_path=jmespath.compile("detail.user_id"),
        )
    )

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
            gate=self.gate,
            api=self.api,
            keys=self.keys,
            topic=self.topic,
            queue=self.queue,
            clock=self.clock,
            sleep=self.clock.advance,
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
