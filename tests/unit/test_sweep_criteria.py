"""Who is due, and what a sweep request may say."""

import json
from dataclasses import replace

import pytest

from invitations.ledger import UserRecord
from invitations.sweeps.criteria import (
    Criteria,
    InvalidSweepRequestError,
    SweepRequest,
    read_sweep_request,
)
from invitations.sweeps.cursor import FoundUser
from tests.fakes import START
from tests.sweep_world import HOUR, LONG_AGO

TOO_OFTEN = "max_invites_reached"
DEFAULTS = Criteria(min_age_hours=72, max_invites=3, max_users=0)
USER = FoundUser("u1", "invited", "PUBLISHER", created_at=LONG_AGO, org_id="1")


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, "due"),
        ({"created_at": None}, "user_unreadable"),
        ({"org_id": "2"}, "other_organisation"),
        ({"org_id": None}, "due"),
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
    criteria = replace(DEFAULTS, roles=("PUBLISHER",))

    assert criteria.verdict(user, "1", UserRecord(), START) == verdict


def test_user_of_any_organisation_is_due_unless_one_was_asked_for() -> None:
    assert DEFAULTS.verdict(USER, None, UserRecord(), START) == "due"


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        (UserRecord(sent_count=1, invited_at=(START - 72 * HOUR + 1,)), "asked_recently"),
        (UserRecord(sent_count=1, invited_at=(START - 72 * HOUR,)), "due"),
        (UserRecord(maybe_sent_count=1, invited_at=(START - HOUR,)), "asked_recently"),
        (UserRecord(sent_count=1, maybe_sent_count=2, invited_at=(LONG_AGO,)), TOO_OFTEN),
        (UserRecord(sent_count=1, maybe_sent_count=1, invited_at=(LONG_AGO,)), "due"),
    ],
)
def test_verdict_depends_on_what_was_or_may_have_been_sent(
    record: UserRecord, verdict: str
) -> None:
    assert DEFAULTS.verdict(USER, None, record, START) == verdict


def test_user_who_was_never_invited_here_is_not_due_if_the_deployer_wants_it() -> None:
    criteria = replace(DEFAULTS, first_invitation=False)
    invited = UserRecord(maybe_sent_count=1, invited_at=(LONG_AGO,))

    assert criteria.verdict(USER, None, UserRecord(), START) == "never_invited_here"
    assert criteria.verdict(USER, None, invited, START) == "due"


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
    assert read_sweep_request(event, DEFAULTS, START) == SweepRequest(criteria, START, dry_run=True)
    assert read_sweep_request({}, DEFAULTS, START) == SweepRequest(DEFAULTS, START)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "object"),
        (None, "object"),
        ({"max_user": 1}, "unknown: 'max_user'"),
        ({"max_users": -1}, "max_users must be"),
        ({"max_users": 1.5}, "max_users must be"),
        ({"max_users": True}, "max_users must be"),
        ({"max_users": "1"}, "max_users must be"),
        ({"max_users": 10**400}, "max_users must be"),
        ({"max_invites": -3}, "max_invites must be"),
        ({"min_age_hours": -0.1}, "min_age_hours must be"),
        ({"min_age_hours": float("nan")}, "min_age_hours must be"),
        ({"min_age_hours": float("inf")}, "min_age_hours must be"),
        ({"roles": "PUBLISHER"}, "roles must be"),
        ({"roles": ["publisher"]}, "roles must be"),
        ({"roles": ["A,B"]}, "roles must be"),
        ({"roles": [[]]}, "roles must be"),
        ({"org_ids": ["1&x=2"]}, "org_ids must be"),
        ({"org_ids": list(range(101))}, "org_ids must be"),
        ({"first_invitation": "false"}, "first_invitation must be"),
        ({"dry_run": 1}, "dry_run must be"),
        ({"asked_at": "yesterday"}, "asked_at must be"),
        ({"delays": -1}, "delays must be"),
    ],
)
def test_fault_of_a_sweep_request_is_named_with_its_field(event: object, message: str) -> None:
    with pytest.raises(InvalidSweepRequestError, match=message):
        read_sweep_request(event, DEFAULTS, START)


def test_sweep_request_stays_the_same_on_the_queue() -> None:
    criteria = Criteria(1.5, 2, 7, ("PUBLISHER", "PROVIDER"), ("1", "2"), False)
    request = SweepRequest(criteria, START, delays=3, has_appointment=True)

    document = json.loads(request.to_json())

    assert read_sweep_request(document, DEFAULTS, START + 900) == request
