import re

import pytest

from local.partoo.organisation import organisation
from local.partoo.state import User

NOW = 1_800_000_000.0
HOURS = 3600
SIZE = 1000


@pytest.fixture(scope="module")
def users() -> list[User]:
    return organisation(SIZE, 1, NOW)


def test_is_the_same_for_the_same_seed_only(users: list[User]) -> None:
    assert organisation(SIZE, 1, NOW) == users
    assert organisation(SIZE, 2, NOW) != users


@pytest.mark.parametrize("size", [0, 1, 10_000])
def test_has_as_many_different_users_as_asked_for(size: int) -> None:
    users = organisation(size, 1, NOW)

    assert len({user.id for user in users}) == len({user.email for user in users}) == size


def test_names_users_as_the_vendor_does(users: list[User]) -> None:
    assert all(re.fullmatch("[0-9a-f]{24}", user.id) for user in users)
    assert all(re.fullmatch(r"[a-z0-9.]+@example\.com", user.email) for user in users)


def test_spreads_addresses_over_the_alphabet(users: list[User]) -> None:
    assert len({user.email[0] for user in users}) == 26


def test_is_mostly_invited(users: list[User]) -> None:
    invited = sum(user.status == "invited" for user in users)

    assert 0.7 * SIZE < invited < 0.8 * SIZE


def test_is_mostly_older_than_an_invitation_lasts(users: list[User]) -> None:
    recent = sum(user.created_at > NOW - 72 * HOURS for user in users)

    assert 0.1 * SIZE < recent < 0.2 * SIZE
    assert max(user.created_at for user in users) <= NOW


@pytest.mark.parametrize("seed", range(20))
def test_has_every_kind_of_user_in_a_few_hundred(seed: int) -> None:
    users = organisation(400, seed, NOW)
    invited = [user for user in users if user.status == "invited"]

    assert {(user.disabled, user.sso_only) for user in invited} >= {
        (False, False),
        (True, False),
        (False, True),
    }
    assert {user.role for user in invited} == {
        "PROVIDER",
        "ORG_ADMIN",
        "GROUP_MANAGER",
        "BUSINESS_MANAGER",
        "PUBLISHER",
    }
    assert any(user.created_at > NOW - 72 * HOURS for user in invited)
