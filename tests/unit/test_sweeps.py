"""What an order may say, and what a summary says."""

import json

import pytest

from invitations.errors import InvalidOrderError
from invitations.sweeps import Counts, Order, Sweep, Terms, read_order, summarize, write_order
from tests.fakes import START

DEFAULTS = Terms(min_age_hours=72, max_invites=3, max_users=0)


class TestOrder:
    def test_says_nothing_of_its_own_by_default(self) -> None:
        assert read_order({}, DEFAULTS, START) == Order(DEFAULTS, START)

    def test_overrides_what_it_names(self) -> None:
        order = read_order(
            {
                "dry_run": True,
                "min_age_hours": 0.5,
                "max_invites": 1,
                "max_users": 10,
                "roles": ["PUBLISHER"],
            },
            DEFAULTS,
            START,
        )

        assert order == Order(Terms(0.5, 1, 10, ("PUBLISHER",)), START, dry_run=True)

    @pytest.mark.parametrize(
        ("event", "message"),
        [
            ([], "object"),
            ("sweep", "object"),
            (None, "object"),
            ({"max_user": 1}, "unknown: 'max_user'"),
            ({"max_users": -1}, "max_users must be"),
            ({"max_users": 1.5}, "max_users must be"),
            ({"max_users": True}, "max_users must be"),
            ({"max_users": "1"}, "max_users must be"),
            ({"max_invites": -3}, "max_invites must be"),
            ({"max_invites": None}, "max_invites must be"),
            ({"min_age_hours": -0.1}, "min_age_hours must be"),
            ({"min_age_hours": "72"}, "min_age_hours must be"),
            ({"min_age_hours": float("nan")}, "min_age_hours must be"),
            ({"min_age_hours": float("inf")}, "min_age_hours must be"),
            ({"roles": "PUBLISHER"}, "roles must be"),
            ({"roles": ["OWNER"]}, "roles must be"),
            ({"roles": [[]]}, "roles must be"),
            ({"dry_run": 1}, "dry_run must be"),
            ({"ordered_at": "yesterday"}, "ordered_at must be"),
            ({"failures": -1}, "failures must be"),
        ],
    )
    def test_with_something_wrong_is_refused_with_its_name(
        self, event: object, message: str
    ) -> None:
        with pytest.raises(InvalidOrderError, match=message):
            read_order(event, DEFAULTS, START)

    def test_that_is_put_off_stays_what_it_was(self) -> None:
        order = Order(Terms(1.5, 2, 7, ("PUBLISHER", "PROVIDER")), START, failures=3)

        assert read_order(json.loads(write_order(order)), DEFAULTS, START + 900) == order


class TestSummary:
    def test_says_what_was_found_and_how_long_it_took(self) -> None:
        counts = Counts(found=7, due=3, queued=2, skipped={"sso_only": 3, "disabled": 1}, pages=2)
        sweep = Sweep("sweep-1", DEFAULTS, START, counts=counts)

        document = json.loads(summarize(sweep, "completed", START + 1.5).to_json())

        assert document == {
            "schema_version": "1.0",
            "sweep_id": "sweep-1",
            "status": "swept",
            "reason": "completed",
            "found": 7,
            "due": 3,
            "queued": 2,
            "skipped": {"disabled": 1, "sso_only": 3},
            "pages": 2,
            "seconds": 1.5,
            "http_status": None,
            "started_at": "2027-01-15T08:00:00.000Z",
            "occurred_at": "2027-01-15T08:00:01.500Z",
        }
