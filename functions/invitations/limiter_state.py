"""The rules of the rate limiter: a token bucket, appointments, pauses and the circuit breaker.

No AWS, no clock; times are epoch seconds. Each call takes a token. The bucket holds a twentieth of
the quota, at most ten tokens, and gets one each interval (GCRA: `full_at` is when it is full
again). A request that would wait for longer gets an appointment, about one interval after the
latest one of its pace, and is deferred until then. An appointment reserves no token. The limiter
resets a line of appointments when no request returns for them.

    tokens        ●●●●●●●●●●   ●   ●   ●   ●   ●      ten at once, then one each interval
    appointments             ↑   ↑   ↑   ↑            when deferred messages come back

After a 429 no execution calls until `paused_until`. Ten failures in a row or a refused key open the
circuit breaker for a growing time; then it admits one probe at a time, until a call succeeds.
"""

from dataclasses import dataclass, replace

from invitations.messages import Pace
from invitations.outcomes import Cause, Outcome
from invitations.results import Reason

SECONDS = 60.0
"""The quota's period."""

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

_FORGET_SECONDS = 4.0
_FAILURES_TO_OPEN = 10

FORBIDDEN_RUN = 10
"""Invitations in a row that are answered 403 before an alarm rises: keys can be restricted."""

_OPEN_SECONDS = 15.0
_MAX_OPEN_SECONDS = 300.0
_PROBE_SECONDS = 15.0

_BREAKER_CAUSES = (Cause.OUTAGE, Cause.KEY_REFUSED)


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
        return (SECONDS + SLACK_SECONDS) / (self.per_minute - self.capacity + 1)

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
    event_line_at: float = 0.0
    """The latest appointment of events."""
    event_kept_at: float = 0.0
    """When an event last returned for its appointment; at first, the line's first appointment."""
    bulk_line_at: float = 0.0
    bulk_kept_at: float = 0.0
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
        """Whether the circuit breaker is open."""
        return self.pause_reason in _BREAKER_CAUSES

    def take_token(
        self, quota: Quota, pace: Pace, now: float, *, has_appointment: bool
    ) -> tuple["LimiterState", Token | Wait]:
        """Take a token, or get a time to come back."""
        if self.pause_reason == Cause.OPERATOR and now < self.paused_until:
            return self, Wait(now, has_appointment=False, cause=Cause.OPERATOR)
        if self.is_open:
            return self._probe(quota, pace, now)
        state = self._kept(pace, now) if has_appointment else self
        state = state._without_abandoned_lines(quota, now)
        patience_seconds = quota.patience_seconds(pace, has_appointment=has_appointment)
        if has_appointment or state._line_at(pace) <= now + patience_seconds:
            taken = state._take(quota, pace, now, patience_seconds)
            if taken is not None:
                return taken
        return state._appoint(quota, pace, now)

    def after(self, outcome: Outcome, now: float) -> "LimiterState":
        """Return the state after a call."""
        if self.pause_reason == Cause.OPERATOR and now < self.paused_until:
            return self
        if outcome.retry_after_seconds is not None:
            return self._pause(now + outcome.retry_after_seconds, now)
        if outcome.is_outage:
            return self._fail(Cause.OUTAGE, self.failures + 1, now)
        if outcome.cause == Cause.UNAUTHORIZED:
            return self._fail(Cause.KEY_REFUSED, max(self.failures + 1, _FAILURES_TO_OPEN), now)
        if outcome.reason == Reason.FORBIDDEN:
            return replace(self.recovered(now), forbidden=self.forbidden + 1)
        if outcome.reason == Reason.INVITED:
            return replace(self.recovered(now), forbidden=0)
        return self.recovered(now)

    def recovered(self, now: float) -> "LimiterState":
        """Close the breaker: a call succeeded, or the key is new. Appointments become void."""
        if not self.is_open:
            return replace(self, failures=0)
        return replace(
            self,
            failures=0,
            event_line_at=0.0,
            bulk_line_at=0.0,
            paused_until=min(self.paused_until, now),
            pause_reason=None,
        )

    def _line_at(self, pace: Pace) -> float:
        return self.bulk_line_at if pace == Pace.BULK else self.event_line_at

    def _kept(self, pace: Pace, at: float) -> "LimiterState":
        if pace == Pace.BULK:
            return replace(self, bulk_kept_at=max(self.bulk_kept_at, at))
        return replace(self, event_kept_at=max(self.event_kept_at, at))

    def _without_abandoned_lines(self, quota: Quota, now: float) -> "LimiterState":
        """Reset a line for which no request has returned: its queue is empty or was purged."""
        state = self
        quiet_seconds = 2 * quota.interval + _LATE_COPY_SECONDS + _FORGET_SECONDS
        if now - max(self.event_kept_at, self.paused_until) > quiet_seconds:
            state = replace(state, event_line_at=0.0)
        if now - max(self.bulk_kept_at, self.paused_until) > quiet_seconds:
            state = replace(state, bulk_line_at=0.0)
        return state

    def _token_at(self, quota: Quota, pace: Pace) -> float:
        """Return when the bucket has a token for this pace."""
        at = max(self.full_at - (quota.capacity - 1) * quota.interval, self.paused_until)
        if pace == Pace.EVENT:
            return at
        if quota.reserve == 0:
            # There is no reserve: bulk takes no token before the appointments of events.
            return max(at, self.event_line_at + _LATE_COPY_SECONDS)
        return max(at, self.full_at - (quota.capacity - 1 - quota.reserve) * quota.interval)

    def _take(
        self, quota: Quota, pace: Pace, now: float, patience_seconds: float
    ) -> tuple["LimiterState", Token] | None:
        leaves_at = max(now, self._token_at(quota, pace))
        if leaves_at - now > patience_seconds:
            return None
        full_at = max(self.full_at, leaves_at) + quota.interval
        return replace(self, full_at=full_at), Token(leaves_at)

    def _appoint(self, quota: Quota, pace: Pace, now: float) -> tuple["LimiterState", Wait]:
        at = max(self._line_at(pace) + quota.spacing, self._token_at(quota, pace), now)
        cause = Cause.THROTTLED if now < self.paused_until else Cause.QUOTA
        # No request returns before the first appointment of a line.
        state = self._kept(pace, at) if self._line_at(pace) <= now else self
        if pace == Pace.BULK:
            state = replace(state, bulk_line_at=at)
        else:
            state = replace(state, event_line_at=at)
        return state, Wait(at, has_appointment=True, cause=cause)

    def _pause(self, until: float, now: float) -> "LimiterState":
        if until <= self.paused_until:
            return self
        return replace(
            self.recovered(now),
            paused_until=until,
            pause_reason=Cause.THROTTLED,
        )

    def _fail(self, cause: Cause, failures: int, now: float) -> "LimiterState":
        if now < self.paused_until:
            # One of the calls that were under way when the pause began.
            return self
        if failures < _FAILURES_TO_OPEN:
            return replace(self, failures=failures)
        open_seconds = min(
            _OPEN_SECONDS * 2.0 ** min(failures - _FAILURES_TO_OPEN, 10), _MAX_OPEN_SECONDS
        )
        until = now + open_seconds
        return replace(
            self,
            failures=failures,
            paused_until=until,
            pause_reason=cause,
        )

    def _probe(self, quota: Quota, pace: Pace, now: float) -> tuple["LimiterState", Token | Wait]:
        cause = Cause(self.pause_reason or Cause.OUTAGE)
        opens_at = max(self.paused_until, self.probe_until)
        taken = None if now < opens_at else self._take(quota, pace, now, MAX_TOKEN_WAIT_SECONDS)
        if taken is None:
            return self, Wait(max(now, opens_at), has_appointment=False, cause=cause)
        state, token = taken
        return replace(state, probe_until=token.leaves_at + _PROBE_SECONDS), token
