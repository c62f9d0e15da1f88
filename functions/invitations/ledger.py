"""The ledger: who may call for whom, and what became of each request.

The rules are pure: what the table says of a user and a request, and what each event makes of it.
Every time is epoch seconds. A user has one record, with the window, the claim and the answer of the
latest request; when another request takes its place, the answer is filed beside it. Nothing about a
user changes without a new version of that record, and a change is written only on the version that
it was decided on:

    A  look up (v1) ── claim (v1 → v2) ── call ── finish (v2 → v3)      the window: answer + W
    B     look up (v1) ──── claim (v1 → v2) is refused, looks up (v3): WindowActive
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from invitations.errors import LedgerUnavailableError
from invitations.models import Cap, Claim, Result, Status, Tally, window_is_over

T = TypeVar("T")

# Who was too slow looks again, a little later than the others.
_TRIES = 20
_PAUSE_SECONDS = 0.01


class Subject(NamedTuple):
    """What one looks up: a user, and one of the user's requests."""

    user_id: str
    request_id: str


class Filed(NamedTuple):
    """A final result, and the life of the request that it ended."""

    result: Result
    life_id: str

    def stands_in(self, life_id: str) -> bool:
        """Whether it answers the request in that life too: a failed one may begin another."""
        return self.result.status is not Status.FAILED or self.life_id == life_id


class UserRecord(NamedTuple):
    """What is known of a user, and of the request that was claimed last."""

    window_ends_at: float | None = None
    """When the next e-mail may be sent at the earliest; None when no earlier one is in the way."""
    request_id: str | None = None
    life_id: str = ""
    claim_id: str | None = None
    """None when no execution is at work for the request."""
    tally: Tally = Tally()
    result: Result | None = None
    """The request's, once it has ended."""
    sent_count: int = 0
    last_sent_at: float | None = None

    @property
    def answer(self) -> Filed | None:
        return None if self.result is None else Filed(self.result, self.life_id)

    def window_at(self, now: float) -> float | None:
        """When the window ends that is not over yet by every clock."""
        ends_at = self.window_ends_at
        return None if ends_at is None or window_is_over(ends_at, now) else ends_at

    def beyond(self, cap: Cap, now: float) -> str | None:
        """Why a sweep must leave the user alone, or None."""
        if self.sent_count >= cap.max_invites:
            return "max_invites_reached"
        if self.last_sent_at is not None and now - self.last_sent_at < cap.min_age_seconds:
            return "asked_recently"
        return None


class Standing(NamedTuple):
    """What the table said of a subject at one moment."""

    subject: Subject
    version: int = 0
    user: UserRecord = UserRecord()
    filed: Filed | None = None
    """The answer of a request that is not the user's latest."""

    @property
    def is_latest(self) -> bool:
        return self.user.request_id == self.subject.request_id

    @property
    def answer(self) -> Filed | None:
        return self.user.answer if self.is_latest else self.filed

    def known(self, tally: Tally) -> Tally:
        """How often was called for the request, at least `tally`."""
        if self.is_latest and self.user.result is None:
            return max(self.user.tally, tally, key=lambda each: each.attempts)
        return tally

    def refuses(
        self, life_id: str, tally: Tally, now: float, cap: Cap | None
    ) -> "ClaimRefusal | None":
        """Why nobody may call for the request now, or None."""
        if self.answer is not None and self.answer.stands_in(life_id):
            return AlreadyAnswered(self.answer.result)
        if cap is not None and self.user.beyond(cap, now) is not None:
            return NotDue()
        known, ends_at = self.known(tally), self.user.window_at(now)
        if ends_at is not None:
            return InProgress(ends_at, known) if self.is_latest else WindowActive(ends_at)
        return None if known.attempts <= tally.attempts else AttemptsBehind(known)


class Change(NamedTuple):
    """What is to be written; at most one answer is filed with it."""

    user: UserRecord | None
    """None: as it was, whatever others make of it meanwhile."""
    files: Filed | None = None


class AlreadyAnswered(NamedTuple):
    """The request has its final result."""

    result: Result


class InProgress(NamedTuple):
    """An earlier execution claimed this very request, and an e-mail may have gone out."""

    ends_at: float
    tally: Tally


class WindowActive(NamedTuple):
    """Another request holds the user's window."""

    ends_at: float


class AttemptsBehind(NamedTuple):
    """More calls were made for the request than the message knows of."""

    tally: Tally


class NotDue:
    """A sweep asked for it, and meanwhile the user was invited."""


ClaimRefusal = AlreadyAnswered | InProgress | WindowActive | AttemptsBehind | NotDue
ConclusionRefusal = AlreadyAnswered | InProgress | AttemptsBehind


class Table(Protocol):
    """Both methods raise LedgerUnavailableError when their effect is unknown or absent."""

    def read(self, subjects: Sequence[Subject]) -> list[Standing]:
        """What is written now; the user's record is read before what is filed."""

    def write(self, seen: Standing, change: Change) -> Standing | None:
        """Write all of the change, or nothing and return None, when others were faster.

        A change of the user's record needs the version that was seen. One that only files an answer
        needs that the request is still not the latest, and that nobody filed another meanwhile.
        """


class Ledger:
    """Every method raises LedgerUnavailableError when its effect is unknown or absent.

    `seen` is what the caller knows already; None, or when it is out of date: it is looked up.
    """

    def __init__(self, table: Table, pause: Callable[[float], None]) -> None:
        self._table = table
        self._pause = pause

    def look_up(self, subjects: Sequence[Subject]) -> list[Standing]:
        return self._table.read(subjects)

    def claim(
        self,
        claim: Claim,
        seen: Standing | None,
        *,
        life_id: str,
        tally: Tally,
        now: float,
        hold_until: float,
        cap: Cap | None = None,
    ) -> Standing | ClaimRefusal:
        """Take the user's window until `hold_until`, and count one more attempt than `tally`.

        A request that ended `failed` starts anew when it comes in another life.
        """

        def decide(standing: Standing) -> Change | ClaimRefusal:
            refusal = standing.refuses(life_id, tally, now, cap)
            if refusal is not None:
                return refusal
            user = standing.user._replace(
                window_ends_at=hold_until,
                request_id=claim.request_id,
                life_id=life_id,
                claim_id=claim.claim_id,
                tally=tally._replace(attempts=tally.attempts + 1),
                result=None,
            )
            return Change(user, files=None if standing.is_latest else standing.user.answer)

        return self._change(claim, seen, decide)

    def finish(
        self,
        claim: Claim,
        seen: Standing | None,
        result: Result,
        *,
        life_id: str,
        answered_at: float,
        window_ends_at: float | None,
    ) -> Result:
        """Record the result, and let the user's window end at `window_ends_at` (None: now).

        Returns the result on record, which is another one only if the request ended before. A
        `sent` replaces a `failed`: the e-mail is out, whatever was said of it meanwhile. A window
        that has passed to another claim is left alone.
        """
        sent = result.status is Status.SENT

        def decide(standing: Standing) -> Change | Result:
            answer, user = standing.answer, standing.user
            corrects = sent and answer is not None and answer.result.status is Status.FAILED
            if answer is not None and answer.stands_in(life_id) and not corrects:
                return answer.result
            if sent:
                last_sent_at = max(answered_at, user.last_sent_at or 0)
                user = user._replace(sent_count=user.sent_count + 1, last_sent_at=last_sent_at)
            if not standing.is_latest:
                return Change(user, files=Filed(result, life_id))
            if user.claim_id == claim.claim_id:
                user = user._replace(window_ends_at=window_ends_at)
            return Change(user._replace(claim_id=None, life_id=life_id, result=result))

        on_record = self._change(claim, seen, decide)
        return result if isinstance(on_record, Standing) else on_record

    def release(
        self, claim: Claim, seen: Standing | None, *, tally: Tally, window_ends_at: float | None
    ) -> None:
        """Give up the claim without a result; nothing happens when it is no longer held."""

        def decide(standing: Standing) -> Change | None:
            user = standing.user
            if user.claim_id != claim.claim_id:
                return None
            return Change(user._replace(claim_id=None, tally=tally, window_ends_at=window_ends_at))

        self._change(claim, seen, decide)

    def conclude(
        self, result: Result, subject: Subject, seen: Standing | None, *, life_id: str, now: float
    ) -> Standing | ConclusionRefusal:
        """Record a result that needed no call."""

        def decide(standing: Standing) -> Change | ConclusionRefusal:
            answer, user = standing.answer, standing.user
            if answer is not None and answer.stands_in(life_id):
                return AlreadyAnswered(answer.result)
            if not standing.is_latest:
                return Change(None, files=Filed(result, life_id))
            known, ends_at = standing.known(Tally(result.attempts)), user.window_at(now)
            if user.claim_id is not None and ends_at is not None:
                return InProgress(ends_at, known)
            if known.attempts > result.attempts:
                return AttemptsBehind(known)
            return Change(user._replace(claim_id=None, life_id=life_id, result=result))

        return self._change(subject, seen, decide)

    def _change(
        self,
        about: Subject | Claim,
        seen: Standing | None,
        decide: Callable[[Standing], Change | T],
    ) -> Standing | T:
        for tries in range(_TRIES):
            if seen is None:
                (seen,) = self._table.read([Subject(about.user_id, about.request_id)])
            decision = decide(seen)
            if not isinstance(decision, Change):
                return decision
            written = self._table.write(seen, decision)
            if written is not None:
                return written
            seen = None
            self._pause(_PAUSE_SECONDS * tries * random.random())  # noqa: S311  # no secret
        raise LedgerUnavailableError("the user's record was changed by others all the time")
