"""Makes up an organisation for the fake Partoo server."""

import random
import string

from local.partoo.values import User

# The last is a role that the vendor may add tomorrow.
_ROLES = ("ORG_ADMIN", "GROUP_MANAGER", "BUSINESS_MANAGER", "PUBLISHER", "REGION_MANAGER")
# A new user can accept the invitation for 72 hours. Nobody is close to them, or a user would become
# due between the preview of a sweep and the sweep.
_RECENT, _OLD = (0, 71 * 3600), (73 * 3600, 3 * 365 * 86_400)


def organisation(size: int, seed: int, now: float) -> list[User]:
    """Return `size` users with distinct ids and addresses, the same for the same arguments.

    75 % are invited; of all users, 5 % are disabled, 5 % are limited to single sign-on, and 15 %
    were created in the 72 hours before `now` (epoch seconds), the others in the three years before.
    """
    rng = random.Random(seed)  # noqa: S311  # not for security
    users = []
    for number in range(size):
        ages = _RECENT if rng.random() < 0.15 else _OLD
        user = User(
            f"{rng.getrandbits(96):024x}",
            status="invited" if rng.random() < 0.75 else "active",
            disabled=rng.random() < 0.05,
            sso_only=rng.random() < 0.05,
            role=rng.choice(_ROLES),
            email=f"{rng.choice(string.ascii_lowercase)}.{number}@example.com",
            created_at=int(now - rng.uniform(*ages)),
        )
        users.append(user)
    return users
