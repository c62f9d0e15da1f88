"""Who is due, and what a sweep request may say."""

from dataclasses import replace

import pytest

from invitations.ledger import UserRecord
from invitations.sweeps.criteria import Criteria, InvalidSweepRequestError, read_sweep_request
from invitations.sweeps.cursor import FoundUser
from tests.fakes import START
from tests.sweep_world import CRITERIA, HOUR, LONG_AGO

USER = FoundUser("u1", "invited", "PUBLISHER", created_at=LONG_AGO, org_id="1")


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, "due"),
        ({"created_at": None}, "user_unreadable"),
        ({"org_id": "2"}, "other_organisation"),
        ({"status": "active"}, "not_invited"),
        ({"disabled": True}, "disabled"),
        ({"sso_only": True}, "sso_only"),
        ({"role": "ORG_ADMIN"}, "role_excluded"),
        ({"created_at": START - 72 * HOUR + 1}, "created_recently"),
        ({"created_at": START - 72 * HOUR}, "due"),
    ],
)
def test_verdict_depends_on_what_the_list_says(fields: dict[str, object], verdict: str) -> None:
    user = replace(USER, **fields)  # type: ignore[arg-type]  # as given
    criteria = replace(CRITERIA, roles=("PUBLISHER",))

    assert criteria.verdict(user, "1", UserRecord(), START) == verdict


@pytest.mark.parametrize(
    ("sent", "maybe_sent", "latest", "first_invitation", "verdict"),
    [
        (0, 0, None, True, "due"),
        (0, 0, None, False, "never_invited_here"),
        (0, 1, LONG_AGO, False, "due"),
        (1, 0, START - 72 * HOUR + 1, True, "asked_recently"),
        (1, 0, START - 72 * HOUR, True, "due"),
        (1, 2, LONG_AGO, True, "max_invites_reached"),
    ],
)
def test_verdict_depends_on_what_was_or_may_have_been_sent(
    sent: int, maybe_sent: int, latest: float | None, first_invitation: bool, verdict: str
) -> None:
    invited_at = () if latest is None else (latest,)
    record = UserRecord(sent_count=sent, maybe_sent_count=maybe_sent, invited_at=invited_at)
    criteria = replace(CRITERIA, first_invitation=first_invitation)

    assert criteria.verdict(USER, None, record, START) == verdict


def test_sweep_request_overrides_the_criteria_that_it_names() -> None:
    event = {
        "dry_run": True,
        "min_age_hours": 0.5,
        "max_invites": 1,
        "max_users": 10,
        "roles": ["PUBLISHER", "FRANCHISE_LEAD"],
        "org_ids": [12, "org-7", 12],
        "first_invitation": False,
    }

    criteria = Criteria(0.5, 1, 10, ("PUBLISHER", "FRANCHISE_LEAD"), ("12", "org-7"), False)
    assert read_sweep_request(event, CRITERIA) == criteria
    assert read_sweep_request({}, CRITERIA) == CRITERIA


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("max_users", value) for value in (-1, 1.5, True, "1")],
        ("min_age_hours", float("nan")),
        *[("roles", value) for value in ("PUBLISHER", ["publisher"], ["A,B"])],
        *[("org_ids", value) for value in (["1&x=2"], list(range(101)))],
        ("dry_run", 1),
        ("max_user", 1),
    ],
)
def test_fault_of_a_sweep_request_is_named_with_its_field(field: str, value: object) -> None:
    with pytest.raises(InvalidSweepRequestError, match=f"{field} must be|unknown: '{field}'"):
        read_sweep_request({field: value}, CRITERIA)
