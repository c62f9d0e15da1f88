"""Calls within the quota, and how requests wait for it, for a pause and for an outage to end."""

from itertools import pairwise

import pytest

from tests.fakes import START, Settings, StoredMessage, World, answers, in_short, not_sent


def world_at(requests_per_minute: int) -> World:
    """A world whose calls take no time, as if they were made side by side."""
    world = World(Settings(requests_per_minute=requests_per_minute))
    world.api.seconds = 0
    return world


def messages(world: World, number: int) -> list[StoredMessage]:
    return [world.message(f"u{each}", f"r{each}") for each in range(number)]


def test_full_bucket_lets_ten_requests_call_at_once() -> None:
    world = world_at(300)
    for message in messages(world, 10):
        world.deliver(message)

    assert [call.called_at for call in world.api.calls] == pytest.approx(
        [START] * 10, abs=0.01, rel=0
    )


@pytest.mark.parametrize("requests_per_minute", [1, 6, 60, 300])
def test_backlog_is_sent_within_quota(requests_per_minute: int) -> None:
    world = world_at(requests_per_minute)
    number = 2 * requests_per_minute + 2
    for message in messages(world, number):
        world.deliver(message)
    world.deliver_all_copies()

    called = sorted(call.called_at for call in world.api.calls)
    assert len(called) == number
    beyond = zip(called, called[requests_per_minute:], strict=False)
    assert all(later - earlier > 60 for earlier, later in beyond)


def test_request_that_needs_no_call_takes_no_token() -> None:
    world = world_at(300)
    world.ask("u1", "r1")
    before = len(world.steps.taken)
    world.ask("u1", "r1")
    world.ask("u1", "r2")
    world.ask("u1", "r3", on_active_window="defer")
    world.ask("u2", "r4", not_after="2020-01-01")

    assert "table.limiter" not in world.steps.taken[before:]


def outage() -> World:
    """A world whose API has just failed ten times in a row."""
    world = world_at(300)
    for message in messages(world, 10):
        world.api.script(message.message_id.replace("message-r", "u"), not_sent())
        world.deliver(message)
    assert len(world.api.calls) == 10
    return world


def test_outage_is_probed_by_one_call_at_a_time() -> None:
    world = outage()
    for number in range(10):
        world.api.script(f"u{number}", *[not_sent()] * 5)
    world.deliver_copies(30)

    probes = [call.called_at for call in world.api.calls[10:]]
    assert 0 < len(probes) < 5
    assert all(later - earlier >= 15 for earlier, later in pairwise(probes))


def test_outage_loses_nobody() -> None:
    world = outage()
    for number in range(10):
        world.ask(f"later-{number}", f"later-{number}")
    world.deliver_all_copies()

    assert [in_short(result) for result in world.published] == ["sent: invited"] * 20


def test_pause_loses_nobody() -> None:
    world = world_at(300)
    world.api.script("u0", answers(429, "1200"))
    for message in messages(world, 20):
        world.deliver(message)
    world.deliver_all_copies()

    assert [in_short(result) for result in world.published] == ["sent: invited"] * 20
    assert min(call.called_at for call in world.api.calls[1:]) >= START + 1_200
