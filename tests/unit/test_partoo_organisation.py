import pytest

from local.partoo.organisation import organisation

NOW = 1_800_000_000.0


@pytest.mark.parametrize("size", [0, 1, 10_000])
def test_organisation_has_as_many_different_users_as_asked_for(size: int) -> None:
    users = organisation(size, 1, NOW)

    assert len({user.id for user in users}) == len({user.email for user in users}) == size


def test_organisation_is_the_same_for_the_same_seed_only() -> None:
    assert organisation(100, 1, NOW) == organisation(100, 1, NOW) != organisation(100, 2, NOW)


@pytest.mark.parametrize("seed", range(5))
def test_few_hundred_users_are_of_every_kind_and_mostly_invited_long_ago(seed: int) -> None:
    users = organisation(400, seed, NOW)
    invited = [user for user in users if user.status == "invited"]
    recent = [user for user in invited if user.created_at > NOW - 72 * 3600]

    assert 0.6 * 400 < len(invited) < 0.9 * 400
    assert 0 < len(recent) < 0.3 * len(invited)
    assert {(user.disabled, user.sso_only) for user in invited} >= {
        (False, False),
        (True, False),
        (False, True),
    }
    assert len({user.role for user in invited}) == 7
