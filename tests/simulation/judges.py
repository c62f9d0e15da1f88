"""The rules, judged over the whole history of a world; a broken one raises AssertionError."""

from collections import defaultdict
from itertools import pairwise

from tests.simulation.world import WINDOW_SECONDS, World


def judge_history(world: World) -> None:
    """What must hold at every moment."""
    _window(world)
    _once(world)
    _one_answer(world)
    _key(world)


def judge_end(world: World) -> None:
    """What must hold once every fault has ended and nothing waits any more."""
    judge_history(world)
    answered = {result.request_id for result in world.published}
    kept = {message.request_id for message in world.dead}
    lost = world.asked - answered - kept
    assert not lost, f"conservation: {sorted(lost)} vanished"


def _window(world: World) -> None:
    moments = defaultdict(list)
    for call in world.calls:
        if call.may_have_sent:
            moments[call.user_id].append(call.arrived_at)
    for user_id, arrivals in moments.items():
        for earlier, later in pairwise(sorted(arrivals)):
            gap = later - earlier
            assert gap >= WINDOW_SECONDS, f"window: two e-mails to {user_id} within {gap:g} s"


def _once(world: World) -> None:
    for call in world.calls:
        assert not call.knew_of_email, f"once: {call.request_id} was sent and called again"


def _one_answer(world: World) -> None:
    # A failed request may be answered anew when it is asked for again, or redriven.
    finals = defaultdict(set)
    for result in world.published:
        if result.status != "failed":
            finals[result.request_id].add(result.to_json())
    for request_id, answers in finals.items():
        assert len(answers) == 1, f"conservation: {request_id} has {len(answers)} answers"


def _key(world: World) -> None:
    told = [result.to_json() for result in world.published]
    told += [message.body + (message.notes or "") for message in world.messages + world.dead]
    assert not any("key-" in text for text in told), "key: told to somebody else"
