"""The operator's commands delete and change the items that the functions write.

tests/e2e/test_operator.py shows what the commands print.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from invitations.ledger import Ledger
from invitations.messages import StoredResult
from invitations.results import Reason, request_result
from invitations.table import Table
from local.aws import LocalAws
from local.errors import CommandError
from ops import limiter
from ops.forget import forget
from tests.fakes import START, a_request

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

SENT = request_result(a_request(), Reason.INVITED, START, sent_count=1)
LIMITER: Any = {"pk": {"S": "LIMITER"}, "sk": {"S": "LIMITER"}}


@dataclass(frozen=True)
class Written:
    """A table that the functions' ledger writes and the commands change."""

    client: "DynamoDBClient"
    table_name: str

    def send(self, request_id: str) -> None:
        ledger = Ledger(Table(self.client, self.table_name), 90, lambda: START)
        user = ledger.read("u1", request_id).user
        claim_id = ledger.claim("u1", user, request_id, START + 360)
        result = replace(SENT, request_id=request_id)
        stored = StoredResult(result, START, claim_id, START + 300, START)
        ledger.save("u1", stored, START)

    def forget(self, now: float, *, force: bool = False) -> int:
        return forget(self.client, self.table_name, "u1", now=now, force=force)

    def items(self) -> list[Any]:
        return self.client.scan(TableName=self.table_name)["Items"]


@pytest.fixture
def written(aws: LocalAws, dynamodb: Table, name: str) -> Written:
    return Written(aws.client("dynamodb"), name)


def test_items_of_a_user_alone_are_deleted_by_force_or_once_no_clock_sees_a_window(
    written: Written,
) -> None:
    other = {"pk": {"S": "USER#u11"}, "sk": {"S": "USER"}}
    written.client.put_item(TableName=written.table_name, Item=other)
    written.send("r1")
    with pytest.raises(CommandError, match="FORCE=1"):
        written.forget(START + 300 + 1.9)
    assert len(written.items()) == 3

    assert [written.forget(START + 300 + 2), written.forget(START)] == [2, 0]
    written.send("r1")
    assert written.forget(START, force=True) == 2
    assert written.items() == [other]


def test_resume_ends_an_operators_pause_alone_and_voids_appointments_but_no_debt_of_tokens(
    written: Written,
) -> None:
    before = {"full_at": 5, "failures": 3, "probe_until": 9}
    numbers = {name: {"N": str(number)} for name, number in before.items()}
    line_at = {"M": {"event": {"N": "6"}, "bulk": {"N": "7"}}}
    throttled = {**LIMITER, **numbers, "line_at": line_at, "pause_reason": {"S": "throttled"}}
    written.client.put_item(TableName=written.table_name, Item=throttled)
    assert not limiter.resume(written.client, written.table_name, START)
    assert written.items() == [throttled]

    limiter.pause(written.client, written.table_name)
    [paused] = written.items()
    assert paused["paused_until"] == {"N": "32503680000"}
    resumed = [limiter.resume(written.client, written.table_name, START) for _ in range(2)]

    [item] = written.items()
    assert resumed == [True, False]
    assert item.pop("revision") != paused["revision"]
    assert {name: float(value["N"]) for name, value in item.items() if name not in LIMITER} == {
        "paused_until": START,
        "full_at": 5,
        "failures": 0,
    }
