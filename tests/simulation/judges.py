"""The promises, judged over the whole history of a world; a broken one raises AssertionError."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from invitations.results import Result, Status
from tests.simulation.world import SETTINGS, UserRequest, World

# The rate limiter counts on clocks half a second apart; here they are up to two.
MINUTE_SECONDS = 60.0 - 1.5
# The ledger notes the claim's time of a call whose end nobody saw, and no late action.
DAY_SECONDS = 86_400 - 120.0


def judge_history(world: World) -> None:
    """Judge what must hold at every moment."""
    emails: dict[str, list[float]] = defaultdict(list)
    for call in world.api.calls:
        assert not call.knew_of_email, f"once: {call.request_id} was sent and called again"
        if call.may_have_sent:
            emails[call.user_id].append(call.emailed_at)
    for user_id, moments in emails.items():
        _at_most(1, SETTINGS.window_seconds, moments, f"window of {user_id}")
        _at_most(SETTINGS.user_daily_limit, DAY_SECONDS, moments, f"daily limit of {user_id}")
    began = [call.began_at for call in world.api.calls]
    _at_most(world.requests_per_minute, MINUTE_SECONDS, began, "quota")
    _one_result(world)
    _counts(world)


def judge_end(world: World) -> None:
    """Judge what must hold once every fault has ended and nothing waits any more."""
    judge_history(world)
    answered = {(result.user_id or "", result.request_id) for result in world.published}
    kept = {name for dead in world.dead for name in world.names(dead)}
    lost = world.asked - answered - kept
    assert not lost, f"conservation: {sorted(lost)} vanished"


def _at_most(number: int, seconds: float, moments: Iterable[float], what: str) -> None:
    ordered = sorted(moments)
    for first, beyond in zip(ordered, ordered[number:], strict=False):
        assert beyond - first >= seconds, f"{what}: {number + 1} in {beyond - first:g} s"


def _one_result(world: World) -> None:
    contents: dict[str, Result] = {}
    ends: dict[UserRequest, str] = {}
    stored = world.stored_results()
    for result in world.published:
        name = (result.user_id or "", result.request_id)
        first = contents.setdefault(result.result_id, result)
        assert first == result, f"one result: one id, two contents: {first}, {result}"
        if result.status != Status.FAILED:
            end = ends.setdefault(name, result.result_id)
            assert end == result.result_id or name in world.overtaken, f"one result: {name} has two"
        if result.status == Status.SENT:
            kept = stored.get(name, result)
            assert kept.status == Status.SENT, f"one result: the sent of {name} was replaced"


def _counts(world: World) -> None:
    called = Counter(call.user_id for call in world.api.calls if call.may_have_sent)
    for user_id, number in called.items():
        item = world.user_item(user_id)
        counted = item.get("sent_count", 0) + item.get("maybe_sent_count", 0)
        counted += "claim_id" in item
        assert counted >= number, f"counts: {user_id} got {number} e-mails, {counted} are counted"
