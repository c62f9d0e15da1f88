"""Sweeps and their requests, simulated: overlaps, deaths, outages, a list that moves and lies.

Whatever happens, with every seed:
- no user is called twice within the minimum age, nor more often than the maximum
- every sweep ends, within a bounded number of searches
- a sweep that ends well has asked for all who stayed on the list and were never asked before
- no 60 seconds see more calls than the quota
"""

import json
import random
from bisect import bisect_left
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from invitations.errors import DependencyUnavailableError
from invitations.outcomes import Cause, Outcome, judge
from tests.fakes import START, ExecutionDiedError
from tests.sweep_world import BULK, HOUR, SWEEPS, SweepWorld, people, user

DAYS = 8


class Simulation:
    """A week of daily sweeps of 300 users at 60 calls a minute, with all that can go wrong."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.world = SweepWorld(people(300), requests_per_minute=60)
        self.world.partoo.after_search = self.move
        self.world.partoo.distort = self.lie
        self.invite = self.world.partoo.invite
        self.world.partoo.invite = self.mail  # type: ignore[method-assign]
        self.publish = self.world.publish
        self.world.publish = self.judge  # type: ignore[method-assign]
        self.listed_since = {each["id"]: START - 1 for each in people(300)}
        self.lied_at = START
        self.missed: list[str] = []
        self.judged = 0
        self.newcomers = 0
        self.lies = False
        self.depth = 0
        self.maybe_sent: list[tuple[float, str]] = []

    def run(self) -> None:
        world = self.world
        for day in range(DAYS):
            now = START + day * 24 * HOUR
            world.clock.now = max(world.clock.now, now)
            self.lies = self.rng.random() < 0.2
            for _ in range(self.rng.choice((1, 1, 2))):
                self.attempt(world.sweep)
            self.drain(until=now + 24 * HOUR)
        self.lies = False
        self.drain(until=float("inf"))

    def drain(self, until: float) -> None:
        """Carry messages out in the order of their times."""
        world = self.world
        for _ in range(20_000):
            first = min(world.messages, key=lambda each: each.due_at, default=None)
            if first is None or first.due_at > until:
                return
            is_sweep = first.queue == SWEEPS
            if not self.attempt(world.resume if is_sweep else world.carry_out_request):
                # SQS delivers it again.
                visible_at = world.clock() + (360 if is_sweep else 70)
                world.messages.append(replace(first, due_at=visible_at))
        raise AssertionError("messages circulate for ever")

    def attempt(self, execute: Any) -> bool:
        """Whether an execution ended well; some die, and some meet an outage."""
        if self.rng.random() < 0.05:
            self.world.steps.until_death = self.rng.randrange(40)
        if self.rng.random() < 0.03:
            service = self.rng.choice(("table", "queue", "topic"))
            self.world.steps.failures[service] = self.rng.randrange(1, 4)
        try:
            execute()
        except (ExecutionDiedError, DependencyUnavailableError):
            return False
        finally:
            self.world.steps.until_death = None
        return True

    def move(self) -> None:
        """People accept and are added; now and then another sweep begins in the middle."""
        partoo, rng = self.world.partoo, self.rng
        for user_id in rng.sample(sorted(partoo.users), rng.choice((0, 0, 1, 3))):
            del partoo.users[user_id]
            del self.listed_since[user_id]
        for _ in range(rng.choice((0, 0, 1, 5))):
            self.newcomers += 1
            name = f"user-{rng.randrange(300):05}-{self.newcomers}"
            partoo.add([user(name, created_at=int(self.world.clock()))])
            self.listed_since[name] = self.world.clock()
        if self.depth == 0 and rng.random() < 0.05:
            self.depth += 1
            try:
                self.world.clock.advance(rng.choice((0, 100)))
                self.world.sweep()
            except DependencyUnavailableError:
                pass
            finally:
                self.depth -= 1

    def lie(self, _: dict[str, str], document: dict[str, Any]) -> dict[str, Any]:
        if not self.lies or self.rng.random() < 0.7:
            return document
        self.lied_at = self.world.clock()
        return {
            **document,
            **self.rng.choice(
                (
                    {"count": document["count"] + 200},
                    {"users": document["users"][:50]},
                    {"count": self.rng.randrange(400), "max_page": None},
                    {"page": 1},
                )
            ),
        }

    def judge(self, text: str) -> None:
        """Note users whom a sweep missed, at the moment of its summary."""
        document = json.loads(text)
        if document.get("reason") == "completed":
            started_at = datetime.fromisoformat(document["started_at"]).timestamp()
            if self.lied_at < started_at:
                self.judged += 1
                bodies = [json.loads(each.body) for each in self.world.on(BULK)]
                sweep_id = document["sweep_id"]
                asked = {each["user_id"] for each in bodies if each["correlation_id"] == sweep_id}
                self.missed += [
                    user_id
                    for user_id, since in self.listed_since.items()
                    if since < started_at
                    and self.world.partoo.users[user_id]["created_at"] <= started_at - 72 * HOUR
                    and (f"USER#{user_id}", "USER") not in self.world.table.items
                    and user_id not in asked
                ]
        self.publish(text)

    def mail(self, user_id: str, api_key: str) -> Outcome:
        """Some answers say nothing of the e-mail that went out."""
        response = self.invite(user_id, api_key)
        self.maybe_sent.append((self.world.clock(), user_id))
        fate = self.rng.random()
        if fate < 0.1:
            return judge(502, self.world.clock())
        if fate < 0.15:
            return Outcome(cause=Cause.NO_ANSWER, emailed_at=self.world.clock())
        return response


@pytest.mark.parametrize("seed", range(12))
def test_sweeps_hold_their_promises_whatever_happens(seed: int) -> None:
    simulation = Simulation(seed)
    world = simulation.world

    simulation.run()

    times: dict[str, list[float]] = {}
    for at, user_id in simulation.maybe_sent:
        times.setdefault(user_id, []).append(at)
    for each in times.values():
        assert len(each) <= 3
        assert all(later - first >= 72 * HOUR for first, later in pairwise(each))
    ended = {each["sweep_id"]: each for each in world.summaries}
    assert all(each["pages"] <= 200 for each in ended.values())
    assert not world.on(SWEEPS)
    assert not world.on(BULK)
    assert (simulation.judged > 0, simulation.missed) == (True, [])
    calls = sorted([at for at, _ in world.partoo.searches + world.partoo.invitations])
    assert max(bisect_left(calls, at + 60) - index for index, at in enumerate(calls)) <= 60
