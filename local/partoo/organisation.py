"""A plausible organisation for the stand-in."""

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
# As long as the invitation of a new user can be accepted.
_RECENT_SECONDS = 72 * 3600
_OLDEST_SECONDS = 3 * 365 * 86_400


def organisation(size: int, seed: int, now: float) -> list[User]:
    """Return `size` users with distinct ids and addresses, the same for the same arguments.

    Three in four are invited. One in twenty is disabled and one in twenty limited to single
    sign-on, whatever their status. One in seven was created in the 72 hours before `now` (epoch
    seconds), the others in the three years before those. In a few hundred users every kind occurs.
    """
    rng = random.Random(seed)  # noqa: S311  # makes people up, guards nothing
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
