"""When the API may be called: the shared quota, pauses and the breaker.

Pure: one state for all executions, and what each event makes of it. Every time is epoch seconds.

Calls leave in bursts. Whoever comes first opens one, others fill it up until it leaves, and the
next leaves no sooner than an interval later, however small it was. So every limiter is kept to
alike: a minute, wherever it begins, sees no more bursts than it has room for, and a bucket no more
calls at once than a burst has. Who would have to wait too long is sent away, and told when to come
back:

    burst      10        10        10        7
            ───┼─────────┼─────────┼─────────┼───▶ time
               │interval │         │         └ leaves when the pause is over
"""

from typing import NamedTuple

QUOTA_PERIOD_SECONDS = 60
BATCH_SIZE = 10
"""Requests carried out side by side: the most that the queue hands over at once."""

# From the moment when a call may leave to its arrival: a claim, a connection, the way, and clocks
# that differ. The more, the slower all calls are.
JITTER_SECONDS = 1.0
LATENESS_SECONDS = 0.7
"""How late a call may leave; what is left of the jitter is for its way."""

# Few enough calls at once for a bucket of a sixth of the minute's calls.
_LEAST_BURSTS_A_MINUTE = 6
# Of the minute's calls, when they are no whole number of bursts.
_MOST_UNUSED = 0.02
# A burst that is leaving takes no more calls: they would be late.
_BOARDING_SECONDS = 0.2

MAX_WAIT_SECONDS = 2.5
"""Waiting inside an execution is paid for; on the queue it is not."""

_FAILURES_TO_OPEN = 10
_OUTAGE_SECONDS = 15
# With a key that is refused, at most ten calls a minute reach the API: each costs this much time.
_SECONDS_FOR_A_REFUSED_KEY = 7
_MAX_SHUT_SECONDS = 300
# A probe that has said nothing by then has died, or met a request that needed no call.
_PROBE_SECONDS = 15
_AFTER_PROBE_SECONDS = 5


class Pace(NamedTuple):
    """How calls are spaced so that no 60 seconds see more of them than the vendor allows."""

    burst: int
    interval_seconds: float

    @classmethod
    def within(cls, requests_per_minute: int) -> "Pace":
        largest = min(BATCH_SIZE, max(1, requests_per_minute // _LEAST_BURSTS_A_MINUTE))
        burst = next(
            size
            for size in range(largest, 0, -1)
            if requests_per_minute % size <= _MOST_UNUSED * requests_per_minute
        )
        bursts = requests_per_minute // burst
        return cls(burst, (QUOTA_PERIOD_SECONDS + JITTER_SECONDS) / bursts)


class Admission(NamedTuple):
    """What becomes of the calls that somebody wants to make, in order."""

    leave_at: tuple[float, ...]
    """For those that are let through: when to call."""
    return_at: tuple[float, ...] = ()
    """For the others: when to ask again."""
    cause: str | None = None
    """Why there are others."""


class Gate(NamedTuple):
    """What all executions know together."""

    burst_at: float = 0
    """When the latest burst leaves, or left."""
    burst_calls: int = 0
    line_at: float = 0
    """When the last of those who were sent away come back."""
    line_calls: int = 0
    paused_until: float = 0
    """The vendor asked everybody to wait."""
    failures: int = 0
    """Calls in a row that brought no answer, or a 5xx."""
    shut_until: float = 0
    """The breaker: from then on one call may try."""
    shut_cause: str | None = None
    """None: the breaker is closed."""
    trips: int = 0
    """How often it opened since it was last closed."""
    probe_until: float = 0

    def admit(self, pace: Pace, calls: int, now: float) -> tuple["Gate", Admission]:
        """Find a place in a burst for each of the calls, or a time to ask again."""
        if self.shut_cause is not None:
            return self._probe(pace, calls, now)
        gate, leave_at = self._board(pace, calls, now)
        cause = "paused" if now < self.paused_until else "quota"
        opens_at = max(self.paused_until, gate.burst_at + pace.interval_seconds)
        return gate._send_away(pace, leave_at, calls, opens_at, cause)

    def pause(self, until: float) -> "Gate":
        """The vendor said 429: nobody calls until then."""
        return self._replace(paused_until=max(self.paused_until, until))

    def fail(self, now: float) -> "Gate":
        """A call brought no answer, or a 5xx."""
        if self.shut_cause is not None:
            return self._open(self.shut_cause, _OUTAGE_SECONDS, now)
        if self.failures + 1 < _FAILURES_TO_OPEN:
            return self._replace(failures=self.failures + 1)
        return self._open("outage", _OUTAGE_SECONDS, now)

    def refuse_key(self, now: float) -> "Gate":
        """The key was refused, and the secret holds no other."""
        if self.shut_cause == "key_refused" and now < self.shut_until:
            # One of several calls that were under way together.
            return self._replace(shut_until=self.shut_until + _SECONDS_FOR_A_REFUSED_KEY)
        return self._open("key_refused", _SECONDS_FOR_A_REFUSED_KEY, now)

    def succeed(self) -> "Gate":
        """The API answered, so there is no outage; or there is a new key."""
        return self._replace(failures=0, shut_until=0, shut_cause=None, trips=0, probe_until=0)

    @property
    def is_troubled(self) -> bool:
        """Whether an answer would be news."""
        return self.failures > 0 or self.shut_cause is not None

    def is_closed_to_others(self, now: float) -> bool:
        """Whether those who have been waiting for their burst must not call after all."""
        return now < max(self.paused_until, self.shut_until)

    def _open(self, cause: str, seconds: float, now: float) -> "Gate":
        if now < self.shut_until:
            return self
        shut_seconds = min(seconds * 2**self.trips, _MAX_SHUT_SECONDS)
        return self._replace(
            failures=0,
            shut_until=now + shut_seconds,
            shut_cause=cause,
            trips=min(self.trips + 1, _MAX_SHUT_SECONDS),
            probe_until=0,
        )

    def _probe(self, pace: Pace, calls: int, now: float) -> tuple["Gate", Admission]:
        opens_at = max(self.shut_until, self.paused_until, self.probe_until)
        if calls == 0 or now < opens_at:
            return self._send_away(pace, (), calls, opens_at, self.shut_cause)
        gate, leave_at = self._board(pace, 1, now)
        if leave_at:
            gate = gate._replace(probe_until=now + _PROBE_SECONDS)
        return gate._send_away(pace, leave_at, calls, now + _AFTER_PROBE_SECONDS, self.shut_cause)

    def _board(self, pace: Pace, calls: int, now: float) -> tuple["Gate", tuple[float, ...]]:
        burst_at, burst_calls = self.burst_at, self.burst_calls
        leave_at: list[float] = []
        while len(leave_at) < calls:
            boards = max(now, self.paused_until) <= burst_at + _BOARDING_SECONDS
            room = pace.burst - burst_calls if boards else 0
            if room <= 0:
                burst_at = max(now, self.paused_until, burst_at + pace.interval_seconds)
                burst_calls, room = 0, pace.burst
            if burst_at > now + MAX_WAIT_SECONDS:
                break
            aboard = min(room, calls - len(leave_at))
            leave_at += [burst_at] * aboard
            burst_calls += aboard
        if not leave_at:
            return self, ()
        last_at = leave_at[-1]
        boarded = burst_calls if last_at == burst_at else pace.burst
        return self._replace(burst_at=last_at, burst_calls=boarded), tuple(leave_at)

    def _send_away(
        self,
        pace: Pace,
        leave_at: tuple[float, ...],
        calls: int,
        opens_at: float,
        cause: str | None,
    ) -> tuple["Gate", Admission]:
        """They come back in bursts as well, or they would all come at once and be sent away."""
        line_at, line_calls = self.line_at, self.line_calls
        if line_at < opens_at:
            line_at, line_calls = opens_at, 0
        return_at = []
        for _ in range(calls - len(leave_at)):
            if line_calls >= pace.burst:
                line_at, line_calls = line_at + pace.interval_seconds, 0
            return_at.append(line_at)
            line_calls += 1
        if not return_at:
            return self, Admission(leave_at)
        gate = self._replace(line_at=line_at, line_calls=line_calls)
        return gate, Admission(leave_at, tuple(return_at), cause)
