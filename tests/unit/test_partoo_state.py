"""The rules of the fake Partoo server; the contract tests hold its answers against the API's."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from local.partoo.answers import Answer, Call
from local.partoo.directory import ApiKey, User
from local.partoo.state import ANY_KEY_LIST, ANY_SEARCH, ANY_USER, PartooState

KEY = "the-key"
NOW = 1_800_000_000.0
HEADERS = {"x-apikey": KEY, "content-type": "application/json"}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> PartooState:
    state = PartooState(api_key=KEY, window_seconds=300, requests_per_minute=100, clock=clock)
    state.add_users([User("u1"), User("u2")])
    return state


def invite(state: PartooState, user_id: str = "u1", headers: Mapping[str, str] = HEADERS) -> Answer:
    return state.receive("POST", f"/v2/user/{user_id}/invite", headers)[0]


def search(state: PartooState, query: str = "") -> Answer:
    return state.receive("GET", f"/v2/user/search?{query}", HEADERS)[0]


def list_keys(state: PartooState, query: str = "") -> Answer:
    return state.receive("GET", f"/v2/api_keys?{query}", HEADERS)[0]


def body(answer: Answer) -> Any:
    return json.loads(answer.content())


def found(answer: Answer) -> list[str]:
    return [user["id"] for user in body(answer)["users"]]


# Invitations


@pytest.mark.parametrize(
    "user",
    [
        User("other"),
        User("u", forbidden=True),
        User("u", org_id=2),
        User("u", status="active"),
        User("u", disabled=True),
        User("u", sso_only=True),
    ],
)
def test_refused_invitation_sends_no_email(state: PartooState, user: User) -> None:
    state.add_users([user])

    assert invite(state, "u").status in (400, 403, 404)
    assert not state.calls()[-1].email_sent


def test_email_opens_a_window(state: PartooState, clock: Clock) -> None:
    statuses = []
    for seconds in (0, 200, 99.9, 0.1):
        clock.now += seconds
        statuses.append(invite(state).status)

    assert statuses == [200, 400, 400, 200]
    assert invite(state, "u2").status == 200


def test_late_email_opens_its_window_when_it_goes_out(state: PartooState, clock: Clock) -> None:
    state.script("u1", [Answer(acts_after=10)])
    invite(state)
    clock.now += 305
    refused = invite(state)
    clock.now += 5

    assert state.calls()[0].emailed_at == NOW + 10
    assert (refused.status, invite(state).status) == (400, 200)


@pytest.mark.parametrize(
    ("segment", "user_id"),
    [("a%2Fb", "a/b"), ("a%252Fb", "a%2Fb"), ("%C3%A9", "é"), ("a+b", "a+b")],
)
def test_user_id_is_decoded_exactly_once(state: PartooState, segment: str, user_id: str) -> None:
    state.add_users([User(user_id)])

    assert invite(state, segment).status == 200
    assert state.calls()[-1].user_id == user_id


# Searches


@pytest.fixture
def organisation(state: PartooState) -> PartooState:
    state.reset()
    state.add_users(
        [
            User("a", role="ORG_ADMIN", email="z@example.org"),
            User("b", status="active"),
            User("c", disabled=True, role="PUBLISHER"),
            User("other", org_id=2),
        ]
    )
    return state


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", ["a", "b", "c"]),
        ("status=invited", ["a", "c"]),
        ("disabled=False", ["a", "b"]),
        ("disabled=true", ["c"]),
        ("role=ORG_ADMIN%2CPUBLISHER", ["a", "c"]),
        ("role=ROLE_OF_TOMORROW", []),
        ("status=invited&disabled=False", ["a"]),
        ("order_by=email", ["b", "c", "a"]),
    ],
)
def test_search_finds(organisation: PartooState, query: str, ids: list[str]) -> None:
    assert found(search(organisation, query)) == ids


@pytest.mark.parametrize(
    ("query", "page", "max_page", "shown"),
    [
        ("per_page=2&page=2", 2, 2, ["c"]),
        ("per_page=1&page=4", 4, 3, []),
        ("", 1, 1, ["a", "b", "c"]),
    ],
)
def test_search_shows_a_page_and_says_which(
    organisation: PartooState, query: str, page: int, max_page: int, shown: list[str]
) -> None:
    answer = search(organisation, query)

    listing = body(answer)
    assert (listing["page"], listing["max_page"], listing["count"]) == (page, max_page, 3)
    assert found(answer) == shown


def test_search_shows_thirty_users_without_the_fake_servers_fields(state: PartooState) -> None:
    state.add_users([User(f"u{number}") for number in range(40)])

    users = body(search(state))["users"]

    assert (len(users), "forbidden" in users[0]) == (30, False)


def test_search_finds_a_user_who_came_between_two_pages(state: PartooState) -> None:
    search(state, "order_by=email&per_page=1")
    state.add_users([User("d", email="a@example.org")])

    assert found(search(state, "order_by=email&per_page=1")) == ["d"]


@pytest.mark.parametrize(
    "query",
    ["status=pending", "role=ORG_ADMIN,", "page=%D9%A1", "state=invited"],
)
def test_bad_parameter_of_a_search_is_refused_by_name(state: PartooState, query: str) -> None:
    answer = search(state, query)

    assert answer.status == 400
    assert list(body(answer)["errors"]["json"]) == [query.partition("=")[0]]


@pytest.mark.parametrize(
    ("role", "query", "ids", "status"),
    [
        ("PROVIDER", "", ["a", "b", "c"], 200),
        ("PROVIDER", "org_id=2", ["other"], 200),
        ("ORG_ADMIN", "org_id=2", ["a", "b", "c"], 403),
    ],
)
def test_provider_alone_reaches_another_organisation(
    organisation: PartooState, role: str, query: str, ids: list[str], status: int
) -> None:
    organisation.add_key(ApiKey(KEY, role=role))

    assert found(search(organisation, query)) == ids
    assert invite(organisation, "other").status == status


def test_users_accept_after_each_page_until_none_is_left(state: PartooState) -> None:
    state.add_users([User(f"u{number:03}") for number in range(98)])
    state.set_churn(accepting=30)
    counts = [body(search(state, "status=invited"))["count"] for _ in range(5)]

    assert counts == [100, 70, 40, 10, 0]


def test_users_accept_after_a_search_that_is_answered_200_alone(state: PartooState) -> None:
    users = state.users()
    state.set_churn(accepting=1)
    state.script(ANY_SEARCH, [Answer(status=503), Answer(drop="before")])
    search(state)
    search(state)
    search(state, "page=0")
    invite(state)

    assert state.users() == users


# Quota and keys


def test_call_above_the_quota_is_refused_and_not_counted(clock: Clock) -> None:
    state = PartooState(api_key=KEY, window_seconds=0, requests_per_minute=2, clock=clock)
    state.add_users([User("u1")])
    statuses = [search(state).status]
    for seconds in (30, 29, 1, 0):
        clock.now += seconds
        statuses.append(invite(state).status)

    assert statuses == [200, 200, 429, 200, 429]
    assert [call.email_sent for call in state.calls()] == [False, True, False, True, False]


def test_key_is_right_until_it_is_revoked(state: PartooState) -> None:
    state.add_key(ApiKey("second"))
    second = HEADERS | {"x-apikey": "second"}
    before = [invite(state, "u1").status, invite(state, "u2", second).status]
    state.add_key(ApiKey(KEY, revoked=True))

    assert before == [200, 200]
    assert [search(state).status, invite(state, "u2", second).status] == [401, 400]


def test_replaced_key_is_wrong(state: PartooState) -> None:
    state.set_key("another")

    assert invite(state).status == 401
    assert invite(state, headers=HEADERS | {"x-apikey": "another"}).status == 200


@pytest.mark.parametrize(("day", "status"), [("2027-01-15", 401), ("2027-01-16", 200)])
def test_key_is_over_on_its_date(state: PartooState, day: str, status: int) -> None:
    state.add_key(ApiKey(KEY, day))

    assert invite(state).status == status


@pytest.mark.parametrize(
    ("query", "dates"),
    [
        ("", [None, "2027-01-01", "2027-02-01"]),
        ("status=active", [None, "2027-02-01"]),
        ("per_page=1", [None]),
    ],
)
def test_keys_are_listed_without_their_values(
    state: PartooState, query: str, dates: list[str | None]
) -> None:
    state.add_key(ApiKey("over", "2027-01-01"))
    state.add_key(ApiKey("later", "2027-02-01"))

    listing = body(list_keys(state, query))

    assert [key["expiration_date"] for key in listing["api_keys"]] == dates
    assert "later" not in json.dumps(listing)


# Scripts


def test_script_is_used_up_and_then_the_rules_apply_again(state: PartooState) -> None:
    state.script("u1", [Answer(status=503)])
    state.script("u1", [Answer(status=500), Answer(status=502)])

    assert [invite(state).status for _ in range(3)] == [500, 502, 200]


def test_script_of_a_user_goes_before_one_for_any_user(state: PartooState) -> None:
    state.script(ANY_USER, [Answer(status=500)])
    state.script("u1", [Answer(status=503)])

    assert [invite(state).status, invite(state).status] == [503, 500]


def test_script_decides_in_place_of_key_and_users(state: PartooState) -> None:
    state.script("nobody", [Answer()])

    assert invite(state, "nobody", headers={}).status == 200


def test_script_answers_its_operation_alone(state: PartooState) -> None:
    state.script(ANY_SEARCH, [Answer(status=429)])
    state.script(ANY_KEY_LIST, [Answer(status=503)])

    statuses = [call(state).status for call in (invite, search, list_keys)]
    assert statuses == [200, 429, 503]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(Answer(delay_seconds=30), ["u1", "u2"]), (Answer(body='{"users": []}'), [])],
)
def test_scripted_search_finds_the_page_unless_it_has_a_body(
    state: PartooState, answer: Answer, expected: list[str]
) -> None:
    state.script(ANY_SEARCH, [answer])

    assert found(search(state)) == expected


@pytest.mark.parametrize(
    ("answer", "sends"),
    [
        (Answer(), True),
        (Answer(drop="after"), True),
        (Answer(drop="before"), False),
        (Answer(status=202), False),
        (Answer(status=503, email=True), True),
        (Answer(email=False), False),
    ],
)
def test_scripted_answer_sends_an_email_for_a_200_and_a_drop_after_it_by_default(
    state: PartooState, answer: Answer, sends: bool
) -> None:
    state.script("u1", [answer])
    invite(state)

    assert state.calls()[-1].email_sent == sends


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        (Answer(body="é"), "é".encode()),
        (Answer(body=""), b""),
        (Answer(body="\udcff"), b"\xff"),
        (Answer(status=503), b'{"errors": {"json": "Service Unavailable"}}'),
        (Answer(status=599), b'{"errors": {"json": "Unknown"}}'),
    ],
)
def test_answer_has_the_body_given_or_one_for_its_status(answer: Answer, content: bytes) -> None:
    assert answer.content() == content


@pytest.mark.parametrize("status", [100, 600])
def test_answer_has_a_final_status(status: int) -> None:
    with pytest.raises(ValueError, match=str(status)):
        Answer(status=status)


# The log


def test_log_has_each_call_and_then_its_status(state: PartooState) -> None:
    invite(state, "u2")
    _, note = state.receive("POST", "/v2/user/%75%31/invite?a=b", HEADERS)
    before = state.calls(since=1)
    note()

    assert before == [Call(2, NOW, "/v2/user/%75%31/invite?a=b", "invite", "u1", NOW)]
    assert state.calls()[-1].status == 200


def test_reset_forgets_everything_and_what_was_under_way(state: PartooState) -> None:
    state.set_key("another")
    state.set_churn(accepting=1)
    state.script("u1", [Answer(status=503)])
    _, note = state.receive("POST", "/v2/user/u1/invite", HEADERS)
    state.reset()
    note()

    assert (state.users(), state.calls()) == ([], [])
    state.add_users([User("u1")])
    assert (invite(state).status, found(search(state, "status=invited"))) == (200, ["u1"])
    assert found(search(state, "status=invited")) == ["u1"]
