"""Four ways in which a vendor may keep to a limit of calls a minute; Partoo does not say which.

Pure models on a clock that is passed in (seconds). A refused call does not count against the
limit, which favours callers that are refused often.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

MINUTE_SECONDS = 60.0
RETRY_AFTER_SECONDS = 60.0
"""What the vendor says with a 429, whatever its limiter is."""


class Limiter(Protocol):
    def allows(self, now: float) -> bool:
        """Whether a call that arrives now gets through; asked in the order of arrival."""


class NoLimit:
    """Every call gets through."""

    def allows(self, now: float) -> bool:  # the protocol's
        return True


@dataclass
class FixedWindow:
    """So many calls in each minute of the clock."""

    limit: int
    _minute: int = -1
    _count: int = 0

    def allows(self, now: float) -> bool:
        minute = int(now // MINUTE_SECONDS)
        if minute != self._minute:
            self._minute, self._count = minute, 0
        if self._count >= self.limit:
            return False
        self._count += 1
        return True


@dataclass
class SlidingWindow:
    """So many calls in any 60 seconds."""

    limit: int
    _recent: deque[float] = field(default_factory=deque)

    def allows(self, now: float) -> bool:
        while self._recent and self._recent[0] <= now - MINUTE_SECONDS:
            self._recent.popleft()
        if len(self._recent) >= self.limit:
            return False
        self._recent.append(now)
        return True


@dataclass
class TokenBucket:
    """A bucket of `size` tokens, full at first, that refills at the limit's rate."""

    limit: int
    size: int

    def __post_init__(self) -> None:
        self._level, self._filled_at = float(self.size), 0.0

    def allows(self, now: float) -> bool:
        rate = self.limit / MINUTE_SECONDS
        self._level = min(self.size, self._level + (now - self._filled_at) * rate)
        self._filled_at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


NO_LIMIT = "no limit"

LIMITERS: Mapping[str, Callable[[int], Limiter]] = {
    "fixed window": FixedWindow,
    "sliding window": SlidingWindow,
    "bucket of the limit": lambda limit: TokenBucket(limit, limit),
    # Whoever gives a bucket to callers of six a minute gives them more than one token.
    "bucket of a fifteenth": lambda limit: TokenBucket(limit, max(2, limit // 15)),
}
