"""The rules of the rate limiter: a token bucket, appointments, pauses and the circuit breaker.

No AWS, no clock; times are epoch seconds. Each call takes a token. The bucket holds a twentieth of
the quota, at most ten tokens, and gets one each interval (GCRA: `full_at` is when it is full
again). A request that would wait for too long gets an appointment, about one interval after the
latest one of its pace, and is deferred until then. An appointment reserves no token. The limiter
forgets a line of appointments when no request returns for them.

    tokens        ●●●●●●●●●●   ●   ●   ●   ●   ●      ten at once, then one each interval
    appointments             ↑   ↑   ↑   ↑            when deferred messages come back

After a 429 no execution calls until `paused_until`. Ten failures in a row or a refused key open the
circuit breaker for a growing time; then it admits one probe at a time, until the API answers one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from invitations.messages import Pace
from invitations.outcomes import Cause, Outcome
from invitations.results import Reason

MAX_LATENESS_SECONDS = 0.5
"""How late a call may begin after its token's time; a later one is not made."""

CONNECT_TIMEOUT_SECONDS = 1.0

SLACK_SECONDS = MAX_LATENESS_SECONDS + CONNECT_TIMEOUT_SECONDS + 0.3 + 0.5
"""The most that passes between a token's time and the call's arrival at the API: a late start, a
connection that takes its time-out, 0.3 s on the way, and clocks that differ by 0.25 s either way.
Assumptions: the last two (AWS keeps clocks within a few milliseconds), and that the first address
of the host accepts connections (urllib3 gives each address a time-out of its own)."""

MAX_TOKEN_WAIT_SECONDS = 5.0
"""The longest wait for the time of a token that was taken. A request that would wait for longer is
deferred, because Lambda bills idle time."""

_LATE_COPY_SECONDS = 6.0
"""How late a deferred message may return: SQS delays by whole seconds and delivers later."""

_RETURN_SECONDS = 3.0
"""How much earlier than its token the first appointment of a line is: SQS delays by whole seconds,
and Lambda gathers messages of the retry queue for two."""

_FORGET_SECONDS = 4.0
"""Beside the time in which the next request must return, after which a line is forgotten."""

_FAILURES_TO_OPEN = 10

FORBIDDEN_RUN = 10
"""Invitations in a row that are answered 403 before an alarm rises: keys can be restricted."""

# The breaker is open for 15 s at first, twice as long after each probe that fails.
_OPEN_SECONDS = 15.0
_MAX_OPEN_SECONDS = 300.0
_PROBE_SECONDS = 15.0


@dataclass(frozen=True)
class Quota:
    """How calls are spaced so that no 60 seconds see more of them than `per_minute`."""

    per_minute: int

    @property
    def capacity(self) -> int:
        """Tokens that the bucket holds."""
        return max(1, min(10, self.per_minute // 20))

    @property
    def reserve(self) -> int:
        """Tokens that bulk leaves to events."""
        return self.capacity // 3

    @property
    def interval(self) -> float:
        """Seconds from one token to the next."""
        return (60.0 + SLACK_SECONDS) / (self.per_minute - self.capacity + 1)

    @property
    def spacing(self) -> float:
        """Seconds from one appointment to the next: late messages leave no token unused."""
        return self.interval * (0.97 if self.interval <= 1 else 1.0)

    def patience_seconds(self, pace: Pace, *, has_appointment: bool) -> float:
        """Return how long an execution waits for a token rather than defer the request."""
        if self.interval > 1:
            # At a small quota an unused token costs more than a wait.
            return 2.5 if pace == Pace.BULK else MAX_TOKEN_WAIT_SECONDS
        return 0.5 if has_appointment else 2.5


@dataclass(frozen=True)
class Token:
    """The right to make one call at `leaves_at`."""

    leaves_at: float


@dataclass(frozen=True)
class Wait:
    """There is no token now; the request is to come back at `until`."""

    until: float
    has_appointment: bool
    cause: Cause


@dataclass(frozen=True)
class LimiterState:
    """The state that all executions share."""

    full_at: float = 0.0
    line_at: Mapping[str, float] = field(default_factory=dict)
    """For each pace with a line, its latest appointment."""
    kept_at: Mapping[str, float] = field(default_factory=dict)
    """When a request of a pace last returned for its appointment; at first, the first of a line."""
    paused_until: float = 0.0
    pause_reason: str | None = None
    """Why the latest pause began: `throttled`, `outage`, `key_refused` or `operator`."""
    failures: int = 0
    """Calls in a row that found the API down, or the key refused."""
    forbidden: int = 0
    """Invitations that were answered 403 since the last that was sent."""
    probe_until: float = 0.0
    """While the breaker is open: when the next probe may be made."""

    @property
    def is_open(self) -> bool:
        return self.pause_reason in (Cause.OUTAGE, Cause.KEY_REFUSED)

    def take_token(
        self, quota: Quota, pace: Pace, now: float, *, has_appointment: bool
    ) -> tuple["LimiterState", Token | Wait]:
        """Take a token, or get a time to come back."""
        if self.pause_reason == Cause.OPERATOR:
            return self, Wait(now, has_appointment=False, cause=Cause.OPERATOR)
        if self.is_open:
            return self._probe(quota, pace, now)
        state = self._kept(pace, now) if has_appointment else self
        state = state._without_abandoned_lines(quota, now)
        line_at = state.line_at.get(pace, 0.0)
        latest = now + quota.patience_seconds(pace, has_appointment=has_appointment)
        leaves_at = max(now, state._token_at(quota, pace))
        if leaves_at <= latest and (has_appointment or line_at <= latest):
            return state._take(quota, leaves_at), Token(leaves_at)
        at = max(line_at + quota.spacing, leaves_at - _RETURN_SECONDS, self.paused_until, now)
        if line_at <= now:
            # No request returns before the first appointment of a line.
            state = state._kept(pace, at)
        state = replace(state, line_at={**state.line_at, pace: at})
        cause = Cause.THROTTLED if now < self.paused_until else Cause.QUOTA
        return state, Wait(at, has_appointment=True, cause=cause)

    def after(self, outcome: Outcome, now: float) -> "LimiterState":
        """Return the state after a call."""
        if self.pause_reason == Cause.OPERATOR:
            return self
        if outcome.retry_after_seconds is not None:
            until = now + outcome.retry_after_seconds
            if until <= self.paused_until:
                return self
            return replace(self._closed(now), paused_until=until, pause_reason=Cause.THROTTLED)
        if outcome.is_unknown or outcome.cause in (Cause.CONNECTION_FAILED, Cause.UNAUTHORIZED):
            return self._failed(outcome, now)
        forbidden = self.forbidden
        if outcome.reason == Reason.FORBIDDEN:
            forbidden += 1
        elif outcome.reason == Reason.INVITED:
            forbidden = 0
        return replace(self._closed(now), forbidden=forbidden)

    def _failed(self, outcome: Outcome, now: float) -> "LimiterState":
        if now < self.paused_until:
            # One of the calls that were under way when the pause began.
            return self
        failures, reason = self.failures + 1, Cause.OUTAGE
        if outcome.cause == Cause.UNAUTHORIZED:
            failures, reason = max(failures, _FAILURES_TO_OPEN), Cause.KEY_REFUSED
        if failures < _FAILURES_TO_OPEN:
            return replace(self, failures=failures)
        open_seconds = _OPEN_SECONDS * 2.0 ** min(failures - _FAILURES_TO_OPEN, 10)
        paused_until = now + min(open_seconds, _MAX_OPEN_SECONDS)
        return replace(self, failures=failures, paused_until=paused_until, pause_reason=reason)

    def _closed(self, now: float) -> "LimiterState":
        """Close the breaker, if it is open, which makes all appointments void."""
        if not self.is_open:
            return replace(self, failures=0)
        return replace(
            self,
            failures=0,
            line_at={},
            paused_until=min(self.paused_until, now),
            pause_reason=None,
        )

    def _kept(self, pace: Pace, at: float) -> "LimiterState":
        latest = max(self.kept_at.get(pace, 0.0), at)
        return replace(self, kept_at={**self.kept_at, pace: latest})

    def _without_abandoned_lines(self, quota: Quota, now: float) -> "LimiterState":
        """Forget a line for which no request has returned: its queue is empty or was purged."""
        quiet_seconds = 2 * quota.interval + _LATE_COPY_SECONDS + _FORGET_SECONDS
        line_at = {
            pace: at
            for pace, at in self.line_at.items()
            if now - max(self.kept_at.get(pace, 0.0), self.paused_until) <= quiet_seconds
        }
        return replace(self, line_at=line_at)

    def _token_at(self, quota: Quota, pace: Pace) -> float:
        """Return when the bucket has a token for this pace."""
        at = max(self.full_at - (quota.capacity - 1) * quota.interval, self.paused_until)
        if pace == Pace.EVENT:
            return at
        if quota.reserve == 0:
            # There is no reserve: bulk takes no token before the appointments of events.
            return max(at, self.line_at.get(Pace.EVENT, 0.0) + _LATE_COPY_SECONDS)
        return max(at, self.full_at - (quota.capacity - 1 - quota.reserve) * quota.interval)

    def _take(self, quota: Quota, leaves_at: float) -> "LimiterState":
        return replace(self, full_at=max(self.full_at, leaves_at) + quota.interval)

    def _probe(self, quota: Quota, pace: Pace, now: float) -> tuple["LimiterState", Token | Wait]:
        opens_at = max(self.paused_until, self.probe_until, now)
        leaves_at = max(now, self._token_at(quota, pace))
        if opens_at > now or leaves_at > now + MAX_TOKEN_WAIT_SECONDS:
            cause = Cause(str(self.pause_reason))
            return self, Wait(opens_at, has_appointment=False, cause=cause)
        state = replace(self, probe_until=leaves_at + _PROBE_SECONDS)
        return state._take(quota, leaves_at), Token(leaves_at)
