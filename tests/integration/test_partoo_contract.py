"""The fake Partoo server seen by clients: its answers fit the API's description.

tests/unit/test_partoo_state.py has its window and quota.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import settings

from local.partoo.control import Answer, ApiKey, PartooControl, User
from local.partoo.server import running_fake_partoo

KEY = "contract-key"
HEADERS = {"x-APIKey": KEY, "Content-Type": "application/json"}
REPOSITORY = Path(__file__).parents[2]
DESCRIPTION = schemathesis.openapi.from_path(REPOSITORY / "local/partoo/openapi.yaml")
# All calls have the key, except those of the check for missing keys.
DESCRIPTION.config.generation.with_security_parameters = False
INVITE = DESCRIPTION["/user/{user_id}/invite"]["POST"]
SEARCH = DESCRIPTION["/user/search"]["GET"]
KEYS = DESCRIPTION["/api_keys"]["GET"]
# The description's example of a user id, and the "0" that schemathesis likes to call first.
DESCRIBED_USERS = (User("5d2c1b7e90f3a4468be01c57"), User("0"))


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Base URL of a fake server without window and quota, which repeats its answers."""
    with running_fake_partoo(KEY, window_seconds=0, requests_per_minute=1_000_000) as url:
        users = (*DESCRIBED_USERS, User("u1"), User("active", status="active"))
        PartooControl(url).add_users(*users)
        PartooControl(url).script("forbidden", Answer(status=403))
        PartooControl(url).add_key(ApiKey("may-not-list", "2100-01-01", may_list=False))
        yield url


@DESCRIPTION.parametrize()
@settings(derandomize=True, database=None, max_examples=40, deadline=None)
def test_any_call_is_answered_as_described(case: schemathesis.Case[Any], base_url: str) -> None:
    case.call_and_validate(base_url=base_url, headers=HEADERS, timeout=60)


@pytest.mark.parametrize(
    ("operation", "given", "headers", "status"),
    [
        (INVITE, "u1", HEADERS, 200),
        (INVITE, "active", HEADERS, 400),
        (INVITE, "u1", HEADERS | {"x-APIKey": "another"}, 401),
        (INVITE, "forbidden", HEADERS, 403),
        (INVITE, "nobody", HEADERS, 404),
        (INVITE, "u1", HEADERS | {"Content-Type": "text/plain"}, 415),
        (SEARCH, {}, HEADERS, 200),
        (SEARCH, {"per_page": "101"}, HEADERS, 400),
        (SEARCH, {}, {}, 401),
        (KEYS, {"status": "active"}, HEADERS, 200),
        (KEYS, {"status": "any"}, HEADERS, 400),
        (KEYS, {}, {}, 401),
        (KEYS, {}, HEADERS | {"x-APIKey": "may-not-list"}, 403),
    ],
)
def test_each_answer_is_as_described(
    base_url: str,
    operation: Any,
    given: str | dict[str, str],
    headers: dict[str, str],
    status: int,
) -> None:
    """`given`: the user of an invitation, else the query."""
    part = {"path_parameters": {"user_id": given}} if operation is INVITE else {"query": given}

    response = operation.Case(**part).call(base_url=base_url, headers=headers, timeout=60)

    assert response.status_code == status
    operation.validate_response(response)


def test_answer_above_the_quota_is_as_described() -> None:
    with running_fake_partoo(KEY, requests_per_minute=0) as base_url:
        response = SEARCH.Case().call(base_url=base_url, headers=HEADERS, timeout=60)

    assert (response.status_code, response.headers["retry-after"]) == (429, ["60"])
    SEARCH.validate_response(response)
