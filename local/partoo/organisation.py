"""Makes up an organisation for the fake Partoo server."""

import random

from local.partoo.state import User

_ROLES = {
    "PROVIDER": 2,
    "ORG_ADMIN": 6,
    "GROUP_MANAGER": 12,
    "BUSINESS_MANAGER": 70,
    "PUBLISHER": 10,
}
_FIRST_NAMES = (
    "Ada Bruno Chloe Dario Elif Farid Greta Hugo Ines Jonas Katja Lars Maya Nils Olga Paul "
    "Quentin Rosa Sami Tove Ugo Vera Wim Xenia Yusuf Zoe"
)
_LAST_NAMES = (
    "Albers Bianchi Costa Dubois Eriksen Faure Gomez Haas Ivanov Jansen Keller Lopez Moreau "
    "Novak Olsen Petit Quist Rossi Silva Tanaka Urban Vogel Weber Xu Yilmaz Zeman"
)
_INVITED = 0.75
_DISABLED = 0.05
_SSO_ONLY = 0.05
_RECENT = 0.15
# A new user can accept the invitation for this long.
_RECENT_SECONDS = 72 * 3600
_OLDEST_SECONDS = 3 * 365 * 86_400


def organisation(size: int, seed: int, now: float) -> list[User]:
    """Return `size` users with distinct ids and addresses, the same for the same arguments.

    75 % are invited; of all users, 5 % are disabled, 5 % are limited to single sign-on, and 15 %
    were created in the 72 hours before `now` (epoch seconds), the others in the three years before.
    A few hundred users contain every combination.
    """
    rng = random.Random(seed)  # noqa: S311  # not for security
    return [_user(rng, number, now) for number in range(size)]


def _user(rng: random.Random, number: int, now: float) -> User:
    first_name, last_name = rng.choice(_FIRST_NAMES.split()), rng.choice(_LAST_NAMES.split())
    [role] = rng.choices(list(_ROLES), list(_ROLES.values()))
    if rng.random() < _RECENT:
        age = rng.uniform(0, _RECENT_SECONDS)
    else:
        age = rng.uniform(_RECENT_SECONDS, _OLDEST_SECONDS)
    return User(
        f"{rng.getrandbits(96):024x}",
        status="invited" if rng.random() < _INVITED else "active",
        disabled=rng.random() < _DISABLED,
        sso_only=rng.random() < _SSO_ONLY,
        role=role,
        email=f"{first_name}.{last_name}.{number}@example.com".lower(),
        first_name=first_name,
        last_name=last_name,
        created_at=int(now - age),
    )
