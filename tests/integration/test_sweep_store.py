"""The item of the latest sweep; its queues and its topic have contracts of their own."""

import json
from dataclasses import replace

from invitations.sweeps.criteria import Criteria
from invitations.sweeps.cursor import Cursor
from invitations.sweeps.store import SweepStore
from invitations.sweeps.sweep import Organisation, Sweep
from invitations.table import DynamoDbTable

START = 1_800_000_000.0
SWEEP = Sweep(
    "sweep-1",
    Criteria(0.5, 3, 0, ("PUBLISHER",), ("1", "2")),
    START,
    (
        Organisation("1", "sweep_failed", "search_refused", "A sentence.", 403),
        Organisation("2", found=7, due=3, pages=2, skipped={"sso_only": 4}),
    ),
    Cursor(204, ("u1", "u2"), 90),
    "holder",
    START + 60,
)


def test_sweep_is_kept_whole(dynamodb: DynamoDbTable) -> None:
    store = SweepStore(dynamodb)
    assert store.read() == (None, {})

    item = store.write(SWEEP, {})

    assert store.read() == (SWEEP, item)


def test_sweep_does_not_replace_one_that_was_changed_since(dynamodb: DynamoDbTable) -> None:
    store = SweepStore(dynamodb)
    first = store.write(SWEEP, {}) or {}
    second = store.write(SWEEP.leased(None, 0), first)

    assert store.write(replace(SWEEP, sweep_id="other"), first) is None
    assert store.read() == (SWEEP.leased(None, 0), second)


def test_fields_that_a_newer_version_added_are_left_out() -> None:
    document = json.loads(SWEEP.to_json())
    document["new"] = document["cursor"]["new"] = document["organisations"][0]["new"] = 1

    assert Sweep.from_json(json.dumps(document)) == SWEEP
