"""Makes up an organisation for the fake Partoo server."""

import random
import string

from local.partoo.directory import User

_ROLES = {
    "PROVIDER": 2,
    "ORG_ADMIN": 6,
    "ORG_MANAGER": 6,
    "GROUP_MANAGER": 12,
    "BUSINESS_MANAGER": 58,
    "PUBLISHER": 10,
    # A role that the vendor may add tomorrow.
    "REGION_MANAGER": 6,
}
_INVITED, _DISABLED, _SSO_ONLY, _RECENT = 0.75, 0.05, 0.05, 0.15
# A new user can accept the invitation for this long.
_RECENT_SECONDS = 72 * 3600
_OLDEST_SECONDS = 3 * 365 * 86_400


def organisation(size: int, seed: int, now: float) -> list[User]:
    """Return `size` users with distinct ids and addresses, the same for the same arguments.

    75 % are invited; of all users, 5 % are disabled, 5 % are limited to single sign-on, and 15 %
    were created in the 72 hours before `now` (epoch seconds), the others in the three years before.
    A few hundred users contain every combination, and a role that the application does not know.
    """
    rng = random.Random(seed)  # noqa: S311  # not for security
    return [_user(rng, number, now) for number in range(size)]


def _user(rng: random.Random, number: int, now: float) -> User:
    ages = (0, _RECENT_SECONDS) if rng.random() < _RECENT else (_RECENT_SECONDS, _OLDEST_SECONDS)
    return User(
        f"{rng.getrandbits(96):024x}",
        status="invited" if rng.random() < _INVITED else "active",
        disabled=rng.random() < _DISABLED,
        sso_only=rng.random() < _SSO_ONLY,
        role=rng.choices(list(_ROLES), list(_ROLES.values()))[0],
        email=f"{rng.choice(string.ascii_lowercase)}.{number}@example.com",
        created_at=int(now - rng.uniform(*ages)),
    )
