"""Users and API keys of the fake Partoo server, and how they are searched and listed."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from local.partoo.answers import Answer

_ITEMS_PER_PAGE = 30
_PER_PAGE = "[1-9][0-9]?|100"
# The vendor adds roles.
_ROLE = "[A-Z]+(_[A-Z]+)*"
# No number may have more digits than int() reads.
_OF_A_SEARCH = {
    "status": "active|invited",
    # The vendor does not document the spelling of this boolean.
    "disabled": "True|False|true|false",
    "role": f"{_ROLE}(,{_ROLE})*",
    "org_id": "-?[0-9]{1,4000}",
    "page": "[1-9][0-9]{0,3999}",
    "per_page": _PER_PAGE,
    "display_business_ids": "True|False",
    "order_by": "email",
}
_OF_A_LIST_OF_KEYS = {"status": "active", "per_page": _PER_PAGE}


@dataclass(frozen=True)
class User:
    """A user of an organisation; `created_at` is in epoch seconds.

    `forbidden`: the key has no write access to this user. An empty `email` becomes
    `<id>@example.com`.
    """

    id: str
    status: str = "invited"
    forbidden: bool = False
    disabled: bool = False
    sso_only: bool = False
    role: str = "BUSINESS_MANAGER"
    org_id: int = 1
    email: str = ""
    created_at: int = 1_577_836_800

    def __post_init__(self) -> None:
        if not self.email:
            object.__setattr__(self, "email", f"{self.id}@example.com")


@dataclass(frozen=True)
class ApiKey:
    """An API key; `expiration_date` is `yyyy-mm-dd`, or None if the key does not expire.

    `may_list`: the key may list the organisation's keys. A key with the role PROVIDER has access to
    every organisation, another one to its own.
    """

    value: str
    expiration_date: str | None = None
    may_list: bool = True
    revoked: bool = False
    role: str = "ORG_ADMIN"
    org_id: int = 1

    def may_access(self, org_id: int) -> bool:
        return self.role == "PROVIDER" or org_id == self.org_id

    def is_active(self, now: float) -> bool:
        # The vendor's guide: a key has expired on its date. The time zone is not documented.
        today = datetime.fromtimestamp(now, UTC).date().isoformat()
        return not self.revoked and not (self.expiration_date or "9999") <= today


Cache = dict[object, list[User]]
"""What searches have found among the same users, because paging repeats a search."""


def search(users: Iterable[User], key: ApiKey, query: Mapping[str, str], cache: Cache) -> Answer:
    if refusal := _refusal(query, _OF_A_SEARCH):
        return refusal
    # The vendor does not document the answer to a choice that the key may not make.
    org_id = int(query.get("org_id", key.org_id))
    org_id = org_id if key.may_access(org_id) else key.org_id
    filters = {name: query[name] for name in ("status", "disabled", "role") if name in query}
    searched = (org_id, "order_by" in query, *filters.items())
    if searched not in cache:
        found = [user for user in users if user.org_id == org_id and _passes(user, filters)]
        if "order_by" in query:
            found.sort(key=lambda user: user.email)
        cache[searched] = found
    return _page("users", cache[searched], query)


def _passes(user: User, filters: Mapping[str, str]) -> bool:
    return (
        user.status == filters.get("status", user.status)
        and str(user.disabled) == filters.get("disabled", str(user.disabled)).title()
        and user.role in filters.get("role", user.role).split(",")
    )


def list_keys(keys: Iterable[ApiKey], key: ApiKey, query: Mapping[str, str], now: float) -> Answer:
    if refusal := _refusal(query, _OF_A_LIST_OF_KEYS):
        return refusal
    # The vendor requires a right to list keys, and does not document the answer without it.
    if not key.may_list:
        return Answer(status=403)
    found = [
        {
            "id": number,
            "label": f"Key {number}",
            "user_role": each.role,
            "disabled": each.revoked,
            "expiration_date": each.expiration_date,
        }
        for number, each in enumerate(keys, start=1)
        if "status" not in query or each.is_active(now)
    ]
    return _page("api_keys", found, query)


def bad_request(detail: object) -> Answer:
    return Answer(status=400, body=json.dumps({"errors": {"json": detail}}))


def _page(name: str, found: Sequence[Any], query: Mapping[str, str]) -> Answer:
    page, size = int(query.get("page", 1)), int(query.get("per_page", _ITEMS_PER_PAGE))
    listing = {
        "page": page,
        "max_page": max(1, math.ceil(len(found) / size)),
        "count": len(found),
        name: found[(page - 1) * size : page * size],
    }
    return Answer(body=json.dumps(listing, default=_shown))


def _shown(user: User) -> dict[str, Any]:
    shown = vars(user) | {"first_name": "Ada", "last_name": "Lovelace", "lang": "en"}
    del shown["forbidden"]
    return shown


def _refusal(query: Mapping[str, str], grammar: Mapping[str, str]) -> Answer | None:
    # The vendor does not document unknown parameters. The fake server refuses them, so that a
    # misspelt filter fails a test.
    refused = {
        name: f"Not a valid parameter: {name}={value}"
        for name, value in query.items()
        if name not in grammar or not re.fullmatch(grammar[name], value)
    }
    return bad_request(refused) if refused else None
