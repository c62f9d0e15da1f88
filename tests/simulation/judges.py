"""The promises, judged over the whole history of a world; a broken one raises AssertionError."""

from collections import defaultdict
from itertools import pairwise

from invitations.results import Result
from tests.simulation.world import SETTINGS, WINDOW_SECONDS, UserRequest, World

# The rate limiter counts on clocks half a second apart; here they are up to two.
MINUTE_SECONDS = 60.0 - 1.5
# The ledger notes the claim's time of a call whose end nobody saw, and no late action.
DAY_SECONDS = 86_400 - 120.0


def judge_history(world: World) -> None:
    """Judge what must hold at every moment."""
    _window(world)
    _once(world)
    _one_result(world)
    _counts(world)
    _daily_limit(world)
    _quota(world)


def judge_end(world: World) -> None:
    """Judge what must hold once every fault has ended and nothing waits any more."""
    judge_history(world)
    _key(world)
    answered = {(result.user_id or "", result.request_id) for result in world.published}
    kept = {name for dead in world.dead for name in world.names(dead)}
    lost = world.asked - answered - kept
    assert not lost, f"conservation: {sorted(lost)} vanished"


def _window(world: World) -> None:
    emails = _emails(world)
    for user_id, moments in emails.items():
        for earlier, later in pairwise(sorted(moments)):
            gap = later - earlier
            assert gap >= WINDOW_SECONDS, f"window: two e-mails to {user_id} within {gap:g} s"


def _once(world: World) -> None:
    for call in world.calls:
        assert not call.knew_of_email, f"once: {call.request_id} was sent and called again"


def _one_result(world: World) -> None:
    contents: dict[str, set[Result]] = defaultdict(set)
    ends: dict[UserRequest, set[str]] = defaultdict(set)
    for result in world.published:
        contents[result.result_id].add(result)
        if result.status != "failed":
            ends[result.user_id or "", result.request_id].add(result.result_id)
    for versions in contents.values():
        assert len(versions) == 1, f"one result: one id, two contents: {versions}"
    for name, ids in ends.items():
        assert len(ids) == 1 or name in world.overtaken, f"one result: {name} has {len(ids)}"
    _sent_stays(world)


def _sent_stays(world: World) -> None:
    stored = world.stored_results()
    for result in world.published:
        if result.status == "sent":
            name: UserRequest = (result.user_id or "", result.request_id)
            now = stored.get(name, result)
            assert now.status == "sent", f"one result: the sent of {name} was replaced"


def _counts(world: World) -> None:
    called: dict[str, int] = defaultdict(int)
    for call in world.calls:
        if call.may_have_sent and call.arrived_at > world.forgotten_at.get(call.user_id, 0.0):
            called[call.user_id] += 1
    for user_id, number in called.items():
        item = world.table.items.get((f"USER#{user_id}", "USER"), {})
        counted = item.get("sent_count", 0) + item.get("maybe_sent_count", 0)
        counted += "claim_id" in item
        assert counted >= number, f"counts: {user_id} got {number} e-mails, {counted} are counted"


def _daily_limit(world: World) -> None:
    limit = SETTINGS.user_daily_limit
    for user_id, moments in _emails(world).items():
        ordered = sorted(moments)
        for first, beyond in zip(ordered, ordered[limit:], strict=False):
            gap = beyond - first
            assert gap >= DAY_SECONDS, f"daily limit: {limit + 1} e-mails to {user_id} in {gap:g} s"


def _quota(world: World) -> None:
    quota = world.requests_per_minute
    began = sorted(call.began_at for call in world.calls)
    for first, beyond in zip(began, began[quota:], strict=False):
        gap = beyond - first
        assert gap >= MINUTE_SECONDS, f"quota: {quota + 1} calls within {gap:g} s"


def _key(world: World) -> None:
    written = [*world.published, *(each.stored for each in world.deliveries), *world.dead]
    assert not any("key-" in str(each) for each in written), "key: written to a queue or the topic"


def _emails(world: World) -> dict[str, list[float]]:
    emails: dict[str, list[float]] = defaultdict(list)
    for call in world.calls:
        if call.may_have_sent:
            emails[call.user_id].append(call.emailed_at)
    return emails
