"""The vendor's API: it answers as the machine says, and notes when an e-mail may have gone out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from invitations.outcomes import Cause, Outcome, judge
from invitations.partoo import PartooApi
from invitations.results import Status

if TYPE_CHECKING:
    from tests.simulation.world import World

LATE_SECONDS = 60.0
"""A server may act on a call this long after its caller gave up."""


@dataclass(frozen=True)
class ApiAnswer:
    """What the API does with a call that reaches it; without a status its answer is lost."""

    status: int | None
    sends: bool = False
    late: bool = False
    """The e-mail goes out a minute after the caller gave up."""


OK = ApiAnswer(200, sends=True)
LATE = (ApiAnswer(None, sends=True, late=True), ApiAnswer(500, sends=True, late=True))
ANSWERS = (
    OK,
    *LATE,
    ApiAnswer(None, sends=True),
    ApiAnswer(500, sends=True),
    *map(ApiAnswer, (None, 302, 404, 408, 429)),
)


@dataclass
class Call:
    """A call that reached the API."""

    user_id: str
    request_id: str
    began_at: float
    may_have_sent: bool
    emailed_at: float
    """When the server acted, at the latest."""
    knew_of_email: bool
    """Whether the table or the topic already said that this request's e-mail had gone out."""


class SimulatedApi(PartooApi):
    def __init__(self, world: "World") -> None:
        self.calls: list[Call] = []
        self.accepted_key = "key-1"
        self._world = world

    def invite(self, user_id: str, api_key: str) -> Outcome:
        world, began_at = self._world, self._world.now
        if world.fails_at("api.invite"):
            return Outcome(cause=Cause.CONNECTION_FAILED)
        answer = world.running.answer if api_key == self.accepted_key else ApiAnswer(401)
        call = self._arrive(user_id, began_at, answer)
        try:
            is_lost = world.fails_at("api.answer")
        finally:
            call.emailed_at = world.now + LATE_SECONDS if answer.late else call.emailed_at
        ended_at = world.now + world.running.container.offset
        if is_lost or answer.status is None:
            return Outcome(cause=Cause.NO_ANSWER, emailed_at=ended_at)
        return judge(answer.status, ended_at)

    def _arrive(self, user_id: str, began_at: float, answer: ApiAnswer) -> Call:
        world = self._world
        request_id = str(world.user_item(user_id).get("window_request_id"))
        sent = [
            (each.user_id, each.request_id)
            for each in (*world.stored_results().values(), *world.published)
            if each.status == Status.SENT
        ]
        knew = (user_id, request_id) in sent
        self.calls.append(Call(user_id, request_id, began_at, answer.sends, world.now, knew))
        return self.calls[-1]
