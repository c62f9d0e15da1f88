"""Faults that a hand might put into the service or the ledger, each of which must be noticed."""

import logging
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from invitations import models, service
from invitations.errors import QueueUnavailableError
from invitations.ledger import Change, ClaimRefusal, Ledger, Standing, Subject
from invitations.models import (
    Claim,
    Queued,
    Result,
    Status,
    Tally,
    Unrecorded,
    Verdict,
)
from invitations.observability import logger
from invitations.service import ReinviteService
from tests.fakes import InMemoryTable
from tests.simulation.machine import HISTORY_STEPS, Simulation
from tests.simulation.world import World

MOST_HISTORIES = 5_000


class SeesNoWindow(InMemoryTable):
    def standing(self, subject: Subject) -> Standing:
        standing = super().standing(subject)
        return standing._replace(user=standing.user._replace(window_ends_at=None))


class SettlesWhoeverOwnsTheWindow(Ledger):
    def _change(self, about: Any, seen: Standing | None, decide: Any) -> Any:
        def decide_as_owner(standing: Standing) -> Any:
            if isinstance(about, Claim):
                standing = standing._replace(user=standing.user._replace(claim_id=about.claim_id))
            return decide(standing)

        return super()._change(about, seen, decide_as_owner)

    def finish(self, claim: Claim, seen: Standing | None, result: Result, **terms: Any) -> Result:
        self.release(claim, None, tally=Tally(), window_ends_at=terms["window_ends_at"])
        return super().finish(claim, None, result, **terms)


class StoresNoResult(Ledger):
    def finish(self, claim: Claim, seen: Standing | None, result: Result, **terms: Any) -> Result:
        self.release(claim, seen, tally=Tally(), window_ends_at=terms["window_ends_at"])
        return result


class ForgetsTheAnswerThatAClaimReplaces(Ledger):
    def _change(self, about: Any, seen: Standing | None, decide: Any) -> Any:
        def decide_without_filing(standing: Standing) -> Any:
            decision = decide(standing)
            if isinstance(decision, Change) and decision.user is not None:
                return decision._replace(files=None)
            return decision

        return super()._change(about, seen, decide_without_filing)


class WritesOnAnyVersion(InMemoryTable):
    def write(self, seen: Standing, change: Change) -> Standing | None:
        return super().write(self.standing(seen.subject), change)


class ComparesWithoutSkew(InMemoryTable):
    def standing(self, subject: Subject) -> Standing:
        standing = super().standing(subject)
        ends_at = standing.user.window_ends_at
        if ends_at is None:
            return standing
        early = standing.user._replace(window_ends_at=ends_at - models.CLOCK_SKEW_SECONDS)
        return standing._replace(user=early)


class HoldsFromTheClaim(Ledger):
    def claim(self, claim: Claim, seen: Standing | None, **terms: Any) -> Standing | ClaimRefusal:
        short = {**terms, "hold_until": terms["hold_until"] - 60}
        return super().claim(claim, seen, **short)


class FreesTheWindowOnTimeOut(ReinviteService):
    def _window_end(self, verdict: Verdict) -> float | None:
        return None if verdict.http_status is None else super()._window_end(verdict)


class PublishesBeforeFinishing(ReinviteService):
    def _finish(self, errand: Any, outcome: Unrecorded) -> Any:
        self.topic.publish([outcome.result])
        return super()._finish(errand, outcome)


class AcknowledgesBeforeDeferring(ReinviteService):
    def _defer(self, errand: Any, cause: str, wait_seconds: float) -> Queued:
        try:
            return super()._defer(errand, cause, wait_seconds)
        except QueueUnavailableError:
            return Queued(errand.request.request_id, errand.request.user_id, cause, 0)


class DefersUnderANewName(ReinviteService):
    def _defer(self, errand: Any, cause: str, wait_seconds: float) -> Queued:
        renamed = errand.progress._replace(request_id=self.new_id())
        return super()._defer(errand._replace(progress=renamed), cause, wait_seconds)


class SkipsWithoutRecord(ReinviteService):
    def _conclude(self, errand: Any, status: Status, reason: str, *_: Any, **__: Any) -> Any:
        result = models.answer_request(
            errand.request, status, reason, occurred_at=self.clock(), attempts=0
        )
        return service._Answer(errand.delivery, result, errand)


@dataclass(frozen=True)
class Mutant:
    """A world in which one thing is done wrong."""

    name: str
    make_service: type[ReinviteService] = ReinviteService
    make_ledger: type[Ledger] = Ledger
    make_table: type[InMemoryTable] = InMemoryTable

    def make_world(self) -> World:
        return World(self.make_service, self.make_ledger, self.make_table())


MUTANTS = [
    Mutant("window not looked at", make_table=SeesNoWindow),
    Mutant("written on any version", make_table=WritesOnAnyVersion),
    Mutant("owner of the window not checked", make_ledger=SettlesWhoeverOwnsTheWindow),
    Mutant("window freed on time-out", FreesTheWindowOnTimeOut),
    Mutant("window held from the claim only", make_ledger=HoldsFromTheClaim),
    Mutant("clocks compared without skew", make_table=ComparesWithoutSkew),
    Mutant("finish after publish", PublishesBeforeFinishing),
    Mutant("result not stored", make_ledger=StoresNoResult),
    Mutant("replaced answer not filed", make_ledger=ForgetsTheAnswerThatAClaimReplaces),
    Mutant("skip not stored", SkipsWithoutRecord),
    Mutant("acknowledge before deferring", AcknowledgesBeforeDeferring),
    Mutant("deferring with a new request_id", DefersUnderANewName),
]


def first_violation(mutant: Mutant, most_histories: int) -> str | None:
    """What the simulation says of the mutant; None when it notices nothing."""

    class MutatedSimulation(Simulation):
        make_world = staticmethod(mutant.make_world)

    try:
        run_state_machine_as_test(
            MutatedSimulation,
            settings=settings(
                max_examples=most_histories,
                stateful_step_count=HISTORY_STEPS,
                deadline=None,
                derandomize=True,
                database=None,
                # Found is enough: the shortest history would take longer than the search.
                phases=[Phase.generate],
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            ),
        )
    except AssertionError as violation:
        return str(violation).splitlines()[0]
    return None


def main() -> None:
    logger.setLevel(logging.CRITICAL)
    width = max(len(mutant.name) for mutant in MUTANTS)
    for mutant in MUTANTS:
        print(f"{mutant.name:{width}}  {first_violation(mutant, MOST_HISTORIES) or 'NOT NOTICED'}")


if __name__ == "__main__":
    main()
