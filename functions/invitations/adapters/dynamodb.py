"""The ledger: one table with an item for each user's window and one for each request.

| pk | attributes |
|---|---|
| `USER#<user_id>` | `window_ends_at`, `claim_id`, `request_id`, `sent_count`, `last_sent_at` |
| `REQUEST#<request_id>` | `user_id`, `attempts`, `pardons`, `claim_id`, `claim_ends_at`, and once |
| | it is answered `status`, `result`, `life_id` |

All times are epoch seconds. Items expire long after anything can ask for them (`expires_at`); no
condition trusts the expiry, because the table deletes late.

Two executions and one user; W is the window, and one conditional write decides:

    A  claim ───── call ──── finish              window_ends_at = answer + W
    B        claim: refused, WindowActive        condition: window_ends_at <= now - skew
    B                       └────── W ──────┘ claim ───── call
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from invitations.errors import LedgerUnavailableError
from invitations.models import (
    CLOCK_SKEW_SECONDS,
    AlreadyAnswered,
    AttemptsBehind,
    Claim,
    ClaimRefusal,
    ConclusionRefusal,
    InProgress,
    RequestIdReused,
    Result,
    Status,
    Tally,
    WindowActive,
    window_is_over,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

Attribute = dict[str, str]
Item = Mapping[str, Attribute]

_DAY_SECONDS = 86_400

# Two transactions that meet on one item are both turned away, whatever their conditions say.
_CONFLICT_TRIES = 5
_CONFLICT_PAUSE_SECONDS = 0.05

_ANOTHER_LIFE = "(#status = :failed AND life_id <> :life_id)"


class _RefusedError(Exception):
    """A condition did not hold; the items that stood in the way, in the order of the actions."""

    def __init__(self, items: list[Item]) -> None:
        super().__init__()
        self.items = items


@dataclass(frozen=True, slots=True)
class DynamoDbLedger:
    client: "DynamoDBClient"
    table_name: str
    history_days: int
    pause: Callable[[float], None] = time.sleep

    def claim(
        self, claim: Claim, *, life_id: str, tally: Tally, now: float, hold_until: float
    ) -> ClaimRefusal | None:
        window = self._update(
            _user_key(claim.user_id),
            set_to={
                "window_ends_at": _number(hold_until),
                "claim_id": _string(claim.claim_id),
                "request_id": _string(claim.request_id),
                "expires_at": self._expiry(hold_until),
            },
            condition="attribute_not_exists(window_ends_at) OR window_ends_at <= :over",
            values={":over": _over(now)},
        )
        request = self._update(
            _request_key(claim.request_id),
            set_to={
                "user_id": _string(claim.user_id),
                "claim_id": _string(claim.claim_id),
                "claim_ends_at": _number(hold_until),
                "attempts": _number(tally.attempts + 1),
                "pardons": _number(tally.pardons),
                "expires_at": self._expiry(hold_until),
            },
            remove=("status", "result", "life_id"),
            condition="attribute_not_exists(pk) OR (user_id = :user_id AND "
            f"((attribute_not_exists(#status) AND attempts <= :known) OR {_ANOTHER_LIFE}))",
            values={
                ":known": _number(tally.attempts),
                ":failed": _string(Status.FAILED),
                ":life_id": _string(life_id),
            },
        )
        try:
            self._transact(window, request)
        except _RefusedError as refused:
            return _claim_refusal(claim, tally, *refused.items)
        return None

    def finish(
        self,
        claim: Claim,
        result: Result,
        *,
        life_id: str,
        answered_at: float,
        window_ends_at: float | None,
    ) -> Result:
        sent = result.status is Status.SENT
        record = self._record(
            result,
            claim.user_id,
            life_id=life_id,
            moment=answered_at,
            condition="attribute_not_exists(#status)" + (" OR #status = :failed" if sent else ""),
            values={":failed": _string(Status.FAILED)} if sent else None,
        )
        settled = self._settle_window(claim, window_ends_at, answered_at if sent else None)
        # When the window has passed to another claim, it is no longer this one's to set.
        late = [[self._count_latest(claim, answered_at)], [self._count(claim)]] if sent else [[]]
        for user in ([settled], *late):
            try:
                self._transact(record, *user)
            except _RefusedError as refused:
                stored = refused.items[0]
                if "status" in stored:
                    return _stored_result(stored)
            else:
                return result
        raise LedgerUnavailableError("the table refused a write for no reason that it told")

    def release(self, claim: Claim, *, tally: Tally, window_ends_at: float | None) -> None:
        give_back = self._update(
            _request_key(claim.request_id),
            set_to={"attempts": _number(tally.attempts), "pardons": _number(tally.pardons)},
            remove=("claim_id", "claim_ends_at"),
            condition="claim_id = :claim_id",
            values={":claim_id": _string(claim.claim_id)},
        )
        try:
            self._transact(give_back, self._settle_window(claim, window_ends_at))
        except _RefusedError:
            return

    def conclude(
        self, result: Result, user_id: str, *, life_id: str, now: float
    ) -> ConclusionRefusal | None:
        record = self._record(
            result,
            user_id,
            life_id=life_id,
            moment=now,
            condition="attribute_not_exists(pk) OR (user_id = :user_id AND "
            "((attribute_not_exists(#status) AND attempts <= :attempts AND "
            "(attribute_not_exists(claim_id) OR claim_ends_at <= :over))"
            f" OR {_ANOTHER_LIFE}))",
            values={":over": _over(now), ":failed": _string(Status.FAILED)},
        )
        try:
            self._transact(record)
        except _RefusedError as refused:
            (request,) = refused.items
            if request["user_id"]["S"] != user_id:
                return RequestIdReused()
            if "status" in request:
                return AlreadyAnswered(_stored_result(request))
            if "claim_id" in request:
                ends_at = _float(request["claim_ends_at"])
                if not window_is_over(ends_at, now):
                    return InProgress(ends_at, _tally(request))
            return AttemptsBehind(_tally(request))
        return None

    def _record(
        self,
        result: Result,
        user_id: str,
        *,
        life_id: str,
        moment: float,
        condition: str,
        values: Item | None = None,
    ) -> "TransactWriteItemTypeDef":
        return self._update(
            _request_key(result.request_id),
            set_to={
                "status": _string(result.status),
                "result": _string(result.to_json()),
                "attempts": _number(result.attempts),
                "user_id": _string(user_id),
                "life_id": _string(life_id),
                "expires_at": self._expiry(moment),
            },
            remove=("claim_id", "claim_ends_at"),
            condition=condition,
            values=values,
        )

    def _settle_window(
        self, claim: Claim, window_ends_at: float | None, sent_at: float | None = None
    ) -> "TransactWriteItemTypeDef":
        freed = window_ends_at is None
        return self._update(
            _user_key(claim.user_id),
            set_to={
                **({} if window_ends_at is None else {"window_ends_at": _number(window_ends_at)}),
                **self._sent(sent_at),
            },
            remove=("claim_id", "request_id", "window_ends_at") if freed else ("claim_id",),
            add_one_to=None if sent_at is None else "sent_count",
            condition="claim_id = :claim_id",
            values={":claim_id": _string(claim.claim_id)},
        )

    def _count_latest(self, claim: Claim, sent_at: float) -> "TransactWriteItemTypeDef":
        return self._update(
            _user_key(claim.user_id),
            set_to=self._sent(sent_at),
            add_one_to="sent_count",
            condition="attribute_not_exists(last_sent_at) OR last_sent_at < :last_sent_at",
        )

    def _count(self, claim: Claim) -> "TransactWriteItemTypeDef":
        return self._update(_user_key(claim.user_id), set_to={}, add_one_to="sent_count")

    def _sent(self, sent_at: float | None) -> Item:
        if sent_at is None:
            return {}
        return {"last_sent_at": _number(sent_at), "expires_at": self._expiry(sent_at)}

    def _expiry(self, moment: float) -> Attribute:
        return {"N": str(int(moment) + self.history_days * _DAY_SECONDS)}

    def _update(
        self,
        key: Item,
        *,
        set_to: Item,
        remove: Sequence[str] = (),
        add_one_to: str | None = None,
        condition: str | None = None,
        values: Item | None = None,
    ) -> "TransactWriteItemTypeDef":
        """An update action; every attribute that it writes has the placeholders #name, :name."""
        clauses = []
        if set_to:
            clauses.append("SET " + ", ".join(f"#{name} = :{name}" for name in set_to))
        if remove:
            clauses.append("REMOVE " + ", ".join(f"#{name}" for name in remove))
        values = {**{f":{name}": value for name, value in set_to.items()}, **(values or {})}
        names = [*set_to, *remove]
        if add_one_to is not None:
            clauses.append(f"ADD #{add_one_to} :one")
            values = {**values, ":one": _number(1)}
            names.append(add_one_to)
        action: dict[str, Any] = {
            "TableName": self.table_name,
            "Key": key,
            "UpdateExpression": " ".join(clauses),
            "ExpressionAttributeNames": {f"#{name}": name for name in names},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        if condition is not None:
            action["ConditionExpression"] = condition
        if values:
            action["ExpressionAttributeValues"] = values
        return {"Update": action}  # type: ignore[typeddict-item]  # built piece by piece

    def _transact(self, *actions: "TransactWriteItemTypeDef") -> None:
        for tries_left in reversed(range(_CONFLICT_TRIES)):
            try:
                self.client.transact_write_items(TransactItems=actions)
            except ClientError as error:
                codes = [reason.get("Code") for reason in _reasons(error)]
                if "ConditionalCheckFailed" in codes:
                    raise _RefusedError(
                        [reason.get("Item", {}) for reason in _reasons(error)]
                    ) from error
                if "TransactionConflict" not in codes or not tries_left:
                    raise _unavailable(error) from error
            except BotoCoreError as error:
                raise _unavailable(error) from error
            else:
                return
            self.pause(_CONFLICT_PAUSE_SECONDS * random.uniform(0.5, 2))  # noqa: S311  # no secret


def _claim_refusal(claim: Claim, tally: Tally, user: Item, request: Item) -> ClaimRefusal | None:
    if request and request["user_id"]["S"] != claim.user_id:
        return RequestIdReused()
    if "status" in request:
        return AlreadyAnswered(_stored_result(request))
    if "claim_id" in user and user["claim_id"]["S"] == claim.claim_id:
        # The reply to this very claim was lost, and it was repeated.
        return None
    known = _tally(request) if request else tally
    if user and user["request_id"]["S"] == claim.request_id:
        return InProgress(_float(user["window_ends_at"]), known)
    if user:
        return WindowActive(_float(user["window_ends_at"]))
    return AttemptsBehind(known)


def _reasons(error: ClientError) -> list[Any]:
    reasons: list[Any] = error.response.get("CancellationReasons", [])
    return reasons


def _unavailable(error: Exception) -> LedgerUnavailableError:
    return LedgerUnavailableError(f"the table did not take a write: {error}")


def _stored_result(request: Item) -> Result:
    return Result.from_json(request["result"]["S"])


def _tally(request: Item) -> Tally:
    return Tally(int(request["attempts"]["N"]), int(request.get("pardons", {"N": "0"})["N"]))


def _user_key(user_id: str) -> Item:
    return {"pk": _string(f"USER#{user_id}")}


def _request_key(request_id: str) -> Item:
    return {"pk": _string(f"REQUEST#{request_id}")}


def _over(now: float) -> Attribute:
    """The latest end of a window that is over by every execution's clock."""
    return _number(now - CLOCK_SKEW_SECONDS)


def _string(value: str) -> Attribute:
    return {"S": str(value)}


def _number(value: float) -> Attribute:
    return {"N": f"{value:.3f}".rstrip("0").rstrip(".")}


def _float(attribute: Attribute) -> float:
    return float(attribute["N"])
