"""What most people would do before a quota, beside the rate limiter of the code."""

from collections.abc import Callable, Mapping, Sequence

from invitations.outcomes import Answered
from tests.simulation.backlog import (
    FUNCTION,
    LEDGER_SECONDS,
    PUBLISH_SECONDS,
    SEND_SECONDS,
    Message,
    Ours,
    Strategy,
    World,
)
from tests.simulation.clock import Process, Steps
from tests.simulation.limiters import MINUTE_SECONDS, RETRY_AFTER_SECONDS

SPACED = "two at a time, evenly spaced"

_SPACED_EXECUTIONS = 2
# A safe rate is limit x window / (window + jitter between leaving and arriving).
_SPACED_JITTER = 1.0


class Naive:
    """One call after another; a refused one is repeated after Retry-After, four times at most."""

    # Lambda also begins with five at once for any queue.
    executions_at_once = FUNCTION.executions_at_once
    receives = 5

    def execution(self, world: World, batch: Sequence[Message], _container: int) -> Process:
        settled = False
        for message in batch:
            yield LEDGER_SECONDS
            settled = (yield from _call_or_return(world, message)) or settled
        world.tally.batches_settled += settled


class Spaced:
    """The simpler alternative: two executions at a time, each calling at half the rate, evenly."""

    executions_at_once = _SPACED_EXECUTIONS
    receives = Ours.receives

    def __init__(self, requests_per_minute: int) -> None:
        rate = requests_per_minute / (MINUTE_SECONDS + _SPACED_JITTER)
        self._spacing = _SPACED_EXECUTIONS / rate
        self._next_at = [0.0] * _SPACED_EXECUTIONS

    def execution(self, world: World, batch: Sequence[Message], container: int) -> Process:
        settled = False
        for message in batch:
            yield LEDGER_SECONDS
            yield self._next_at[container] - world.clock.now
            self._next_at[container] = world.clock.now + self._spacing
            settled = (yield from _call_or_return(world, message)) or settled
        world.tally.batches_settled += settled


def _call_or_return(world: World, message: Message) -> Steps[bool]:
    """Call; returns whether an e-mail went out, or else the message is back on the queue."""
    response = yield from world.call(message, world.clock.now)
    sent = isinstance(response, Answered) and response.http_status == 200
    if sent:
        yield LEDGER_SECONDS + PUBLISH_SECONDS
    else:
        world.put(message, round(RETRY_AFTER_SECONDS))
        yield LEDGER_SECONDS + SEND_SECONDS
    return sent


STRATEGIES: Mapping[str, Callable[[int], Strategy]] = {
    "naive": lambda _: Naive(),
    SPACED: Spaced,
    "ours": Ours,
}
