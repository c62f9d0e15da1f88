"""A small world around the real Reinviter: queues, redrives, retention, and what is known of it.

The machine decides who asks, what is delivered and when; executions.py has the executions, api.py
the API.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jmespath

from invitations.errors import DependencyUnavailableError
from invitations.reinvite import Execution, Reinviter
from invitations.requests import Order, read_message
from invitations.results import Result, Source
from invitations.table import Item
from tests.fakes import EXECUTION_SECONDS, Settings, StoredMessage
from tests.simulation.api import OK, ApiAnswer, SimulatedApi
from tests.simulation.executions import Executions, Running

VISIBILITY_SECONDS = 360.0
# Far fewer than the template's, so that SQS often moves a message to the dead-letter queue.
MAX_RECEIVES = 3
# Lambda invokes an asynchronous event once and repeats it twice.
MAX_INVOCATIONS = 3
SETTINGS = Settings(300, max_attempts=3, user_daily_limit=4)

MOST_DELIVERIES = 1_500
"""In which everything that waits must end, once all faults are over."""

UserRequest = tuple[str, str]
"""A user and a request_id."""

_result = cache(Result.from_json)


@dataclass
class Delivery:
    """A message at rest, or an asynchronous event that Lambda keeps."""

    stored: StoredMessage
    source: Source
    visible_at: float
    receive_count: int = 0
    acknowledged: bool = False
    unsaved: UserRequest | None = None
    """The request whose end it carries, because the table did not take it."""


class World(Executions):
    def __init__(self, requests_per_minute: int = 6_000) -> None:
        super().__init__(replace(SETTINGS, requests_per_minute=requests_per_minute))
        self.requests_per_minute = requests_per_minute
        self.api: SimulatedApi = SimulatedApi(self)
        self.deliveries: list[Delivery] = []
        self.dead: list[StoredMessage] = []
        self.asked = set[UserRequest]()
        self.overtaken = set[UserRequest]()
        """Requests whose end only a message knew for longer than a window."""

    # What outsiders do.

    def ask(self, fields: Mapping[str, Any], source: Source = Source.SQS) -> Delivery:
        name = self.new_name("message")
        stored = StoredMessage("requests", name, json.dumps(fields), sent_at=self.now)
        return self._put(stored, source)

    def redrive(self) -> None:
        """Redrive: every message of the dead-letter queue becomes a new one."""
        for dead in self.dead:
            name = self.new_name("message")
            redriven = replace(dead, queue="requests", message_id=name, sent_at=self.now)
            # Nobody got as far as writing its name down: it may come back as another request.
            self.asked -= self.names(dead) - self.names(redriven)
            self._put(redriven)
        self.dead.clear()

    def change_key(self) -> None:
        """The vendor accepts only a new key, which the secret will hold after the next change."""
        if self.secret == self.api.accepted_key:
            self.api.accepted_key = self.new_name("key")
        else:
            self.secret = self.api.accepted_key

    # What the platform does.

    def deliverable(self) -> list[Delivery]:
        return [each for each in self.waiting() if each.visible_at <= self.now]

    def repeatable(self) -> list[Delivery]:
        """Messages that may be delivered again, acknowledged or not."""
        return [each for each in self.deliveries if each.stored.due_at <= self.now]

    def waiting(self) -> list[Delivery]:
        """What is still to be carried out."""
        return [each for each in self.deliveries if not each.acknowledged]

    def next_waiting(self) -> Delivery | None:
        """What is due first."""
        return min(self.waiting(), key=lambda each: each.visible_at, default=None)

    def deliver(self, delivery: Delivery, offset: float = 0.0) -> Running | None:
        """Start an execution for a message; one received too often is moved away instead."""
        is_direct = delivery.source == Source.DIRECT
        limit = MAX_INVOCATIONS if is_direct else MAX_RECEIVES
        if delivery.receive_count >= limit and not delivery.acknowledged:
            self._move_away(delivery, is_direct=is_direct)
            return None
        delivery.receive_count += 1
        delivery.visible_at = self.now + VISIBILITY_SECONDS
        received = delivery.stored.received(self.now, delivery.receive_count)
        execution = Execution(self.now + offset + EXECUTION_SECONDS)

        def work(reinviter: Reinviter) -> None:
            messages = [received]
            if is_direct:
                event = replace(received, source=Source.DIRECT, given_request_id=None)
                messages = reinviter.split_small_order(event)
            try:
                for message in messages:
                    reinviter.carry_out(message, execution)
            except DependencyUnavailableError:
                return
            delivery.acknowledged = not self.fails_at("acknowledge") or delivery.acknowledged

        return self.start(work, offset)

    def deliver_and_run(
        self, delivery: Delivery, offset: float = 0.0, answer: ApiAnswer = OK
    ) -> None:
        execution = self.deliver(delivery, offset)
        if execution is not None:
            self.run(execution, answer)

    def advance(self, seconds: float) -> None:
        """Let time pass, if it is to; executions whose time is over die."""
        self.now += max(seconds, 0.0)
        for execution in [each for each in self.executions if each.ends_at < self.now]:
            self.kill(execution)
        for each in self.waiting():
            if each.unsaved and each.stored.sent_at + SETTINGS.window_seconds < self.now:
                self.overtaken.add(each.unsaved)

    def heal(self) -> None:
        """End every fault and carry out what waits."""
        for execution in list(self.executions):
            self.run(execution)
        self.down.clear()
        self.secret = self.api.accepted_key
        for _ in range(MOST_DELIVERIES):
            first = self.next_waiting()
            if first is None:
                return
            self.advance(first.visible_at - self.now)
            if not first.acknowledged:
                self.deliver_and_run(first)
        causes = {str(each.stored.text("retry_state")) for each in self.waiting()[:3]}
        raise AssertionError(f"conservation: a message circulates for ever: {causes}")

    def after(self, step: str) -> None:
        """Whatever the execution sent is on its queue by now."""
        for stored in self.messages:
            if stored.queue == "dead":
                self.dead.append(stored)
            else:
                self._put(stored)
        self.messages.clear()
        super().after(step)

    # What is known.

    def names(self, stored: StoredMessage) -> set[UserRequest]:
        """The requests that a message asks for."""
        message = stored.received(self.now)
        read = read_message(message, jmespath.compile("detail.user_id"))
        if not isinstance(read, Order):
            return {(str(read.user_id), read.request_id)}
        requests = zip(read.messages(), read.user_ids, strict=True)
        return {(user_id, message.request_id) for message, user_id in requests}

    def user_item(self, user_id: str) -> Item:
        """What the table knows of a user."""
        return self.table.items.get((f"USER#{user_id}", "USER"), {})

    def stored_results(self) -> Mapping[UserRequest, Result]:
        return {
            (user.removeprefix("USER#"), kind.removeprefix("REQUEST#")): _result(item["result"])
            for (user, kind), item in self.table.items.items()
            if kind.startswith("REQUEST#")
        }

    def _put(self, stored: StoredMessage, source: Source = Source.SQS) -> Delivery:
        delivery = Delivery(stored, source, visible_at=stored.due_at)
        names = self.names(stored)
        if stored.queue != "requests" and stored.state.unsaved is not None:
            (delivery.unsaved,) = names
        self.asked |= names
        self.deliveries.append(delivery)
        return delivery

    def _move_away(self, delivery: Delivery, *, is_direct: bool) -> None:
        """Move a message to the dead-letter queue."""
        name = self.new_name("message") if is_direct else delivery.stored.message_id
        dead = replace(delivery.stored, queue="dead", message_id=name)
        if is_direct:
            self.asked -= self.names(delivery.stored) - self.names(dead)
            self.asked |= self.names(dead)
        self.dead.append(dead)
        delivery.acknowledged = True
