"""The ledger's table.

| pk | sk | attributes |
|---|---|---|
| `USER#<user_id>` | `USER` | `version` and what else `UserRecord` says |
| `USER#<user_id>` | `REQUEST#<request_id>` | `result`, `life_id` of an earlier request |

All times are epoch seconds. Items expire long after anything can ask for them (`expires_at`); no
rule trusts the expiry, because the table deletes late.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from invitations.errors import LedgerUnavailableError
from invitations.ledger import Change, Filed, Standing, Subject, UserRecord
from invitations.models import Result, Tally
from invitations.ports import Clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Attribute = dict[str, str]
Item = Mapping[str, Attribute]

MOST_KEYS_AT_ONCE = 100

_DAY_SECONDS = 86_400
_TRIES = 4
_PAUSE_SECONDS = 0.1


class DynamoDbTable:
    def __init__(
        self,
        client: "DynamoDBClient",
        table_name: str,
        history_days: int,
        clock: Clock = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.client = client
        self.table_name = table_name
        self.history_days = history_days
        self.clock = clock
        self.pause = pause

    def read(self, subjects: Sequence[Subject]) -> list[Standing]:
        users = self._get({_user_key(each.user_id) for each in subjects})
        standings = [_standing(each, users.get(_user_key(each.user_id))) for each in subjects]
        # A user without a record has no earlier request.
        earlier = [each.subject for each in standings if each.version and not each.is_latest]
        filed = self._get({_request_key(subject) for subject in earlier})
        return [
            standing._replace(filed=_filed(filed[_request_key(standing.subject)]))
            if _request_key(standing.subject) in filed
            else standing
            for standing in standings
        ]

    def write(self, seen: Standing, change: Change) -> Standing | None:
        user = None if change.user is None else self._put_user(seen, change.user)
        try:
            if change.files is not None:
                first = {"Update": self._touch(seen)} if user is None else {"Put": user}
                put = self._put_filed(seen, change.files, guarded=user is not None)
                actions: Any = [first, {"Put": put}]
                self.client.transact_write_items(TransactItems=actions)
            elif user is not None:
                self.client.put_item(**user)
        except ClientError as error:
            if not _others_were_faster(error):
                raise _unavailable(error) from error
            # The reply to this very write may have been lost, and the write was repeated.
            if user is None or _stored(error) != user["Item"]:
                return None
        except BotoCoreError as error:
            raise _unavailable(error) from error
        return seen._replace(version=seen.version + 1, user=change.user or seen.user)

    def _put_user(self, seen: Standing, user: UserRecord) -> dict[str, Any]:
        item = {**_key(_user_key(seen.subject.user_id)), **_attributes(user)}
        item["version"] = _number(seen.version + 1)
        item["expires_at"] = self._expiry()
        return {
            "TableName": self.table_name,
            "Item": item,
            **_only_if("version", _number(seen.version) if seen.version else None),
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def _touch(self, seen: Standing) -> dict[str, Any]:
        return {
            "TableName": self.table_name,
            "Key": _key(_user_key(seen.subject.user_id)),
            "UpdateExpression": "ADD version :one SET expires_at = :expires_at",
            "ConditionExpression": "attribute_not_exists(request_id) OR request_id <> :request_id",
            "ExpressionAttributeValues": {
                ":one": _number(1),
                ":expires_at": self._expiry(),
                ":request_id": _string(seen.subject.request_id),
            },
        }

    def _put_filed(self, seen: Standing, answer: Filed, *, guarded: bool) -> dict[str, Any]:
        """`guarded`: the condition on the user's record protects this one too."""
        key = _request_key(Subject(seen.subject.user_id, answer.result.request_id))
        put: dict[str, Any] = {
            "TableName": self.table_name,
            "Item": {
                **_key(key),
                "result": _string(answer.result.to_json()),
                "life_id": _string(answer.life_id),
                "expires_at": self._expiry(),
            },
        }
        if not guarded:
            before = None if seen.filed is None else _string(seen.filed.result.to_json())
            put |= _only_if("result", before)
        return put

    def _expiry(self) -> Attribute:
        return _number(int(self.clock()) + self.history_days * _DAY_SECONDS)

    def _get(self, keys: Collection["_Key"]) -> dict["_Key", Item]:
        wanted, found = sorted(keys), {}
        for start in range(0, len(wanted), MOST_KEYS_AT_ONCE):
            for item in self._get_batch(wanted[start : start + MOST_KEYS_AT_ONCE]):
                found[item["pk"]["S"], item["sk"]["S"]] = item
        return found

    def _get_batch(self, keys: Sequence["_Key"]) -> list[Item]:
        items: list[Item] = []
        left: Any = {"Keys": [_key(key) for key in keys], "ConsistentRead": True}
        for tries in range(_TRIES):
            try:
                answer = self.client.batch_get_item(RequestItems={self.table_name: left})
            except (BotoCoreError, ClientError) as error:
                raise _unavailable(error) from error
            items += answer["Responses"].get(self.table_name, [])  # type: ignore[arg-type]  # as sent
            left = answer.get("UnprocessedKeys", {}).get(self.table_name)
            if left is None:
                return items
            self.pause(_PAUSE_SECONDS * 2**tries)
        raise LedgerUnavailableError("the table left keys unread")


_Key = tuple[str, str]


def _user_key(user_id: str) -> _Key:
    return f"USER#{user_id}", "USER"


def _request_key(subject: Subject) -> _Key:
    return f"USER#{subject.user_id}", f"REQUEST#{subject.request_id}"


def _key(key: _Key) -> dict[str, Attribute]:
    return {"pk": _string(key[0]), "sk": _string(key[1])}


def _standing(subject: Subject, item: Item | None) -> Standing:
    if item is None:
        return Standing(subject)
    return Standing(subject, int(item["version"]["N"]), _user(item))


def _user(item: Item) -> UserRecord:
    result = _text(item, "result")
    return UserRecord(
        window_ends_at=_moment(item, "window_ends_at"),
        request_id=_text(item, "request_id"),
        life_id=_text(item, "life_id") or "",
        claim_id=_text(item, "claim_id"),
        tally=Tally(_count(item, "attempts"), _count(item, "pardons")),
        result=None if result is None else Result.from_json(result),
        sent_count=_count(item, "sent_count"),
        last_sent_at=_moment(item, "last_sent_at"),
    )


def _attributes(user: UserRecord) -> dict[str, Attribute]:
    """What a user's record says; what it does not say takes no room."""
    texts = {
        "request_id": user.request_id,
        "life_id": user.life_id or None,
        "claim_id": user.claim_id,
        "result": None if user.result is None else user.result.to_json(),
    }
    numbers = {
        "window_ends_at": user.window_ends_at,
        "attempts": user.tally.attempts or None,
        "pardons": user.tally.pardons or None,
        "sent_count": user.sent_count or None,
        "last_sent_at": user.last_sent_at,
    }
    return {
        **{name: _string(text) for name, text in texts.items() if text is not None},
        **{name: _number(number) for name, number in numbers.items() if number is not None},
    }


def _filed(item: Item) -> Filed:
    return Filed(Result.from_json(item["result"]["S"]), item["life_id"]["S"])


def _only_if(name: str, value: Attribute | None) -> dict[str, Any]:
    """A condition: the attribute is as it was, or there was no item."""
    if value is None:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {
        "ConditionExpression": "#guard = :guard",
        "ExpressionAttributeNames": {"#guard": name},
        "ExpressionAttributeValues": {":guard": value},
    }


_FASTER = {"ConditionalCheckFailedException", "TransactionConflictException"}


def _others_were_faster(error: ClientError) -> bool:
    if error.response["Error"]["Code"] in _FASTER:
        return True
    codes = {reason.get("Code", "None") for reason in _reasons(error)}
    return bool(codes) and codes <= {"None", "ConditionalCheckFailed", "TransactionConflict"}


def _stored(error: ClientError) -> Item | None:
    """The user's record that stood in the way."""
    response: Any = error.response
    first, *_ = _reasons(error) or [response]
    item: Item | None = first.get("Item")
    return item


def _reasons(error: ClientError) -> list[Any]:
    reasons: list[Any] = error.response.get("CancellationReasons", [])
    return reasons


def _unavailable(error: Exception) -> LedgerUnavailableError:
    return LedgerUnavailableError(f"the table did not take a call: {error}")


def _text(item: Item, name: str) -> str | None:
    return item[name]["S"] if name in item else None


def _moment(item: Item, name: str) -> float | None:
    return float(item[name]["N"]) if name in item else None


def _count(item: Item, name: str) -> int:
    return int(item[name]["N"]) if name in item else 0


def _string(value: str) -> Attribute:
    return {"S": str(value)}


def _number(value: float) -> Attribute:
    return {"N": f"{value:.3f}".rstrip("0").rstrip(".")}
