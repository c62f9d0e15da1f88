"""The rules of the fake Partoo server."""

import json
from typing import Any

import pytest

from local.partoo.state import (
    ANY_KEY_LIST,
    ANY_SEARCH,
    ANY_USER,
    Answer,
    ApiKey,
    Call,
    PartooState,
    Request,
    User,
)

KEY = "the-key"
RIGHT_HEADERS = (("x-APIKey", KEY), ("Content-Type", "application/json"))


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> PartooState:
    state = PartooState(api_key=KEY, window_seconds=300, requests_per_minute=300, clock=clock)
    state.add_users([User("u1"), User("u2")])
    return state


def invite(
    state: PartooState, user_id: str = "u1", headers: tuple[tuple[str, str], ...] = RIGHT_HEADERS
) -> Answer:
    _, answer = state.receive(Request("POST", f"/v2/user/{user_id}/invite", headers))
    return answer


def search(state: PartooState, query: str = "") -> Answer:
    _, answer = state.receive(Request("GET", f"/v2/user/search?{query}", RIGHT_HEADERS))
    return answer


def body(answer: Answer) -> Any:
    return json.loads(answer.content())


def found(answer: Answer) -> list[str]:
    return [user["id"] for user in body(answer)["users"]]


def last_call(state: PartooState) -> Call:
    return state.calls()[-1]


class TestInvite:
    def test_sends_an_email_to_an_invited_user(self, state: PartooState) -> None:
        answer = invite(state)

        assert (answer.status, body(answer)) == (200, {"status": "success"})
        assert last_call(state).email_sent

    @pytest.mark.parametrize(
        ("headers", "key"),
        [
            ((("Content-Type", "application/json"),), "missing"),
            ((("Content-Type", "application/json"), ("X-ApiKey", "another")), "wrong"),
        ],
    )
    def test_needs_the_key(
        self, state: PartooState, headers: tuple[tuple[str, str], ...], key: str
    ) -> None:
        answer = invite(state, headers=headers)

        assert (answer.status, list(body(answer)["errors"])) == (401, ["authentication"])
        assert (last_call(state).key, last_call(state).email_sent) == (key, False)

    @pytest.mark.parametrize("content_type", ["text/plain", "", "application/jsonp"])
    def test_needs_the_json_content_type(self, state: PartooState, content_type: str) -> None:
        headers = (("x-APIKey", KEY), ("Content-Type", content_type))

        assert invite(state, headers=headers).status == 415

    def test_reads_the_media_type_without_its_parameters(self, state: PartooState) -> None:
        headers = (("x-APIKey", KEY), ("content-type", "Application/JSON; charset=utf-8"))

        assert invite(state, headers=headers).status == 200

    @pytest.mark.parametrize(
        ("user", "status", "error"),
        [
            (User("other"), 404, "json"),
            (User("u", forbidden=True), 403, "authorization"),
            (User("u", status="active"), 400, "json"),
            (User("u", disabled=True), 400, "json"),
            (User("u", sso_only=True), 400, "json"),
        ],
    )
    def test_refuses_without_an_email(
        self, state: PartooState, user: User, status: int, error: str
    ) -> None:
        state.add_users([user])

        answer = invite(state, "u")

        assert (answer.status, list(body(answer)["errors"])) == (status, [error])
        assert not last_call(state).email_sent

    def test_refuses_a_second_email_inside_the_window(
        self, state: PartooState, clock: Clock
    ) -> None:
        invite(state)
        clock.now += 299.9

        assert invite(state).status == 400
        assert (last_call(state).too_soon, last_call(state).email_sent) == (True, False)

    def test_sends_again_when_the_window_is_over(self, state: PartooState, clock: Clock) -> None:
        invite(state)
        clock.now += 300

        assert invite(state).status == 200
        assert not last_call(state).too_soon

    def test_a_refused_call_does_not_prolong_the_window(
        self, state: PartooState, clock: Clock
    ) -> None:
        invite(state)
        clock.now += 200
        invite(state)
        clock.now += 100

        assert invite(state).status == 200

    def test_the_window_is_one_users_own(self, state: PartooState) -> None:
        invite(state, "u1")

        assert invite(state, "u2").status == 200

    @pytest.mark.parametrize(
        ("segment", "user_id"),
        [("a%2Fb", "a/b"), ("a%252Fb", "a%2Fb"), ("%C3%A9", "é"), ("a+b", "a+b"), ("%2E%2E", "..")],
    )
    def test_decodes_the_segment_exactly_once(
        self, state: PartooState, segment: str, user_id: str
    ) -> None:
        state.add_users([User(user_id)])

        assert invite(state, segment).status == 200
        assert last_call(state).user_id == user_id


class TestRouting:
    @pytest.mark.parametrize(
        "target",
        [
            "/",
            "/v2",
            "/v2/user",
            "/v2/user/a/b/invite",
            "/v2/user/u1/invite/",
            "/v1/user/u1/invite",
        ],
    )
    def test_an_unknown_path_is_not_found(self, state: PartooState, target: str) -> None:
        _, answer = state.receive(Request("POST", target, RIGHT_HEADERS))

        assert (answer.status, list(body(answer)["errors"])) == (404, ["json"])
        assert last_call(state).operation == "other"

    @pytest.mark.parametrize(
        ("method", "target", "allowed"),
        [("GET", "/v2/user/u1/invite", "POST"), ("POST", "/v2/user/search", "GET")],
    )
    def test_wrong_method_is_answered_with_the_right_one(
        self, state: PartooState, method: str, target: str, allowed: str
    ) -> None:
        _, answer = state.receive(Request(method, target, RIGHT_HEADERS))

        assert (answer.status, answer.headers) == (405, {"Allow": allowed})
        assert not last_call(state).email_sent


class TestSearch:
    @pytest.fixture
    def state(self, clock: Clock) -> PartooState:
        state = PartooState(api_key=KEY, window_seconds=300, requests_per_minute=300, clock=clock)
        state.add_users(
            [
                User("a", role="ORG_ADMIN", org_id=2, first_name="Grace", email="g@example.org"),
                User("b", status="active", group_id=7, business_ids=("shop",)),
                User("c", disabled=True, role="PUBLISHER", first_name="Zoé"),
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
            ("role=ORG_ADMIN,PUBLISHER", ["a", "c"]),
            ("role=ORG_ADMIN%2CPUBLISHER", ["a", "c"]),
            ("email=g%40example.org", ["a"]),
            ("email=g", []),
            ("query=zo%C3%A9", ["c"]),
            ("org_id=2", ["a"]),
            ("status=invited&disabled=False&org_id=1", []),
            ("order_by=-first_name", ["c", "a", "b"]),
            ("order_by=group_id", ["b", "a", "c"]),
            ("per_page=2", ["a", "b"]),
            ("per_page=2&page=2", ["c"]),
            ("per_page=2&page=3", []),
        ],
    )
    def test_finds(self, state: PartooState, query: str, ids: list[str]) -> None:
        assert found(search(state, query)) == ids

    @pytest.mark.parametrize(
        ("query", "page", "max_page", "count"),
        [("per_page=2&page=2", 2, 2, 3), ("per_page=1", 1, 3, 3), ("email=nobody", 1, 1, 0)],
    )
    def test_says_where_in_the_list_it_is(
        self, state: PartooState, query: str, page: int, max_page: int, count: int
    ) -> None:
        listing = body(search(state, query))

        assert (listing["page"], listing["max_page"], listing["count"]) == (page, max_page, count)

    def test_shows_thirty_users_a_page_by_default(self, state: PartooState) -> None:
        state.add_users([User(f"u{number}") for number in range(40)])

        assert len(found(search(state))) == 30

    def test_finds_a_user_who_came_between_two_pages(self, state: PartooState) -> None:
        search(state, "order_by=email&per_page=1")
        state.add_users([User("d", email="a@example.org")])

        assert found(search(state, "order_by=email&per_page=1")) == ["d"]

    def test_leaves_out_business_ids_on_demand(self, state: PartooState) -> None:
        shown = body(search(state, "status=active"))["users"][0]
        hidden = body(search(state, "status=active&display_business_ids=False"))["users"][0]

        assert shown == hidden | {"business_ids": ["shop"]}

    def test_shows_no_field_that_only_the_fake_server_has(self, state: PartooState) -> None:
        assert "forbidden" not in body(search(state))["users"][0]

    @pytest.mark.parametrize(
        "query",
        [
            "status=pending",
            "disabled=0",
            "role=",
            "role=BOSS",
            "role=ORG_ADMIN,",
            "org_id=x",
            "page=0",
            "page=%D9%A1",
            "per_page=0",
            "per_page=101",
            "display_business_ids=no",
            "order_by=created_at",
            "state=invited",
        ],
    )
    def test_refuses_a_bad_parameter_by_name(self, state: PartooState, query: str) -> None:
        answer = search(state, query)

        assert answer.status == 400
        assert list(body(answer)["errors"]["json"]) == [query.partition("=")[0]]

    def test_needs_the_key(self, state: PartooState) -> None:
        _, answer = state.receive(Request("GET", "/v2/user/search", ()))

        assert answer.status == 401

    def test_sends_no_email(self, state: PartooState) -> None:
        search(state)

        assert not last_call(state).email_sent


class TestChurn:
    @pytest.fixture
    def state(self, clock: Clock) -> PartooState:
        state = PartooState(api_key=KEY, window_seconds=300, requests_per_minute=300, clock=clock)
        state.add_users([User(f"u{number:03}") for number in range(100)])
        return state

    def test_users_accept_after_each_page(self, state: PartooState) -> None:
        state.set_churn(accepting=3, appearing=0)
        counts = [body(search(state, "status=invited"))["count"] for _ in range(3)]

        assert counts == [100, 97, 94]

    def test_users_appear_after_each_page(self, state: PartooState, clock: Clock) -> None:
        state.set_churn(accepting=0, appearing=2)
        search(state)
        newcomers = state.users()[100:]

        assert len({user.id for user in newcomers}) == 2
        assert {(len(user.id), user.status, user.created_at) for user in newcomers} == {
            (24, "invited", int(clock.now))
        }
        assert body(search(state))["count"] == 102

    def test_is_spread_over_the_whole_list(self, state: PartooState) -> None:
        state.set_churn(accepting=1, appearing=1)
        for _ in range(60):
            search(state)
        accepted = {user.email[:3] for user in state.users() if user.status == "active"}
        appeared = {user.email[:3] for user in state.users()[100:]}

        assert accepted == appeared == {f"u0{tens}" for tens in range(10)}

    def test_chooses_the_same_users_after_a_reset(self, state: PartooState) -> None:
        users = state.users()
        state.set_churn(accepting=5, appearing=5)
        search(state)
        changed = state.users()
        state.reset()
        state.add_users(users)
        state.set_churn(accepting=5, appearing=5)
        search(state)

        assert state.users() == changed

    def test_ends_when_nobody_is_left_to_accept(self, state: PartooState) -> None:
        state.set_churn(accepting=101, appearing=0)
        search(state)
        search(state)

        assert {user.status for user in state.users()} == {"active"}

    def test_may_start_with_nobody(self, state: PartooState) -> None:
        state.reset()
        state.set_churn(accepting=1, appearing=1)

        assert [len(found(search(state))), len(found(search(state)))] == [0, 1]

    @pytest.mark.parametrize("query", ["page=0", "state=invited"])
    def test_waits_for_an_answer_of_200(self, state: PartooState, query: str) -> None:
        users = state.users()
        state.set_churn(accepting=1, appearing=1)
        search(state, query)

        assert state.users() == users

    def test_other_calls_do_not_change_the_list(self, state: PartooState) -> None:
        users = state.users()
        state.set_churn(accepting=1, appearing=1)
        invite(state, "u001")

        assert state.users() == users

    @pytest.mark.parametrize(("accepting", "appearing"), [(-1, 0), (0, -1)])
    def test_is_not_negative(self, state: PartooState, accepting: int, appearing: int) -> None:
        with pytest.raises(ValueError, match="-1"):
            state.set_churn(accepting, appearing)


class TestQuota:
    @pytest.fixture
    def state(self, clock: Clock) -> PartooState:
        state = PartooState(api_key=KEY, window_seconds=0, requests_per_minute=2, clock=clock)
        state.add_users([User("u1")])
        return state

    def test_refuses_what_is_above_it_without_an_email(self, state: PartooState) -> None:
        search(state)
        invite(state)

        answer = invite(state)

        assert (answer.status, answer.headers) == (429, {"Retry-After": "60"})
        assert not last_call(state).email_sent

    def test_counts_calls_without_a_key(self, state: PartooState) -> None:
        invite(state, headers=())
        invite(state, headers=())

        assert invite(state).status == 429

    def test_slides(self, state: PartooState, clock: Clock) -> None:
        invite(state)
        clock.now += 30
        invite(state)
        clock.now += 30

        assert [invite(state).status, invite(state).status] == [200, 429]

    def test_refused_calls_do_not_count(self, state: PartooState, clock: Clock) -> None:
        invite(state)
        invite(state)
        clock.now += 59
        invite(state)
        clock.now += 1

        assert [invite(state).status, invite(state).status] == [200, 200]

    def test_can_be_changed(self, state: PartooState) -> None:
        state.set_requests_per_minute(1)

        assert [invite(state).status, invite(state).status] == [200, 429]


class TestScript:
    def test_is_used_up_and_then_the_rules_apply_again(self, state: PartooState) -> None:
        state.script("u1", [Answer(status=503), Answer(status=404)])

        assert [invite(state).status for _ in range(3)] == [503, 404, 200]

    def test_goes_before_one_for_any_user(self, state: PartooState) -> None:
        state.script(ANY_USER, [Answer(status=503)])
        state.script("u1", [Answer(status=500)])

        assert [invite(state).status for _ in range(3)] == [500, 503, 200]

    def test_takes_the_place_of_an_earlier_one(self, state: PartooState) -> None:
        state.script("u1", [Answer(status=503), Answer(status=503)])
        state.script("u1", [Answer(status=500)])

        assert [invite(state).status for _ in range(2)] == [500, 200]

    def test_decides_in_place_of_key_and_users(self, state: PartooState) -> None:
        state.script("nobody", [Answer()])

        assert invite(state, "nobody", headers=()).status == 200
        assert (last_call(state).key, last_call(state).email_sent) == ("missing", True)

    def test_counts_for_the_quota(self, state: PartooState) -> None:
        state.set_requests_per_minute(1)
        state.script("u1", [Answer(status=503)])

        assert [invite(state).status, invite(state).status] == [503, 429]

    def test_does_not_answer_searches(self, state: PartooState) -> None:
        state.script(ANY_USER, [Answer(status=503)])

        assert search(state).status == 200

    def test_for_searches_answers_nothing_else(self, state: PartooState) -> None:
        state.script(ANY_SEARCH, [Answer(status=503), Answer(status=429)])
        state.receive(Request("POST", "/v2/user/search", RIGHT_HEADERS))

        assert invite(state).status == 200
        assert [search(state).status for _ in range(3)] == [503, 429, 200]

    @pytest.mark.parametrize("content", ["{", "[]", '{"page": 1}', ""])
    def test_for_searches_may_give_any_body(self, state: PartooState, content: str) -> None:
        state.script(ANY_SEARCH, [Answer(body=content)])

        assert search(state).content() == content.encode()

    def test_for_searches_finds_the_page_unless_it_gives_a_body(self, state: PartooState) -> None:
        state.script(ANY_SEARCH, [Answer(headers={"X-Page": "1"}), Answer(delay_seconds=30)])
        first, second = search(state, "per_page=1"), search(state, "per_page=1&page=2")

        assert (found(first), first.headers) == (["u1"], {"X-Page": "1"})
        assert (found(second), second.delay_seconds) == (["u2"], 30)

    def test_for_searches_needs_the_key_to_find_a_page(self, state: PartooState) -> None:
        state.script(ANY_SEARCH, [Answer()])
        _, answer = state.receive(Request("GET", "/v2/user/search", ()))

        assert (answer.status, list(body(answer)["errors"])) == (401, ["authentication"])

    @pytest.mark.parametrize(
        ("answer", "statuses"),
        [
            (Answer(), {"active"}),
            (Answer(status=503), {"invited"}),
            (Answer(drop="before"), {"invited"}),
            (Answer(drop="after"), {"invited"}),
        ],
    )
    def test_for_searches_lets_users_accept_only_after_a_200(
        self, state: PartooState, answer: Answer, statuses: set[str]
    ) -> None:
        state.set_churn(accepting=2, appearing=0)
        state.script(ANY_SEARCH, [answer])
        search(state)

        assert {user.status for user in state.users()} == statuses

    @pytest.mark.parametrize("answer", [Answer(), Answer(drop="after")])
    def test_for_searches_sends_no_email(self, state: PartooState, answer: Answer) -> None:
        state.script(ANY_SEARCH, [answer])
        search(state)

        assert not last_call(state).email_sent

    @pytest.mark.parametrize(
        ("answer", "email_sent"),
        [
            (Answer(), True),
            (Answer(body_base64="/w=="), True),
            (Answer(delay_seconds=30), True),
            (Answer(hold=True), True),
            (Answer(drop="after"), True),
            (Answer(drop="before"), False),
            (Answer(status=202), False),
            (Answer(status=302), False),
            (Answer(status=503), False),
            (Answer(status=503, email=True), True),
            (Answer(email=False), False),
        ],
    )
    def test_sends_an_email_for_a_200_and_a_drop_after_it_by_default(
        self, state: PartooState, answer: Answer, email_sent: bool
    ) -> None:
        state.script("u1", [answer])
        invite(state)

        assert last_call(state).email_sent == email_sent

    def test_its_email_opens_a_window(self, state: PartooState) -> None:
        state.script("u1", [Answer(drop="after")])
        invite(state)

        assert invite(state).status == 400
        assert last_call(state).too_soon

    def test_late_email_opens_its_window_when_it_goes_out(
        self, state: PartooState, clock: Clock
    ) -> None:
        state.script("u1", [Answer(acts_after=10)])
        invite(state)
        assert last_call(state).emailed_at == clock.now + 10

        clock.now += 10 + 299
        invite(state)
        assert last_call(state).too_soon
        clock.now += 1
        assert invite(state).status == 200

    def test_shows_calls_that_come_too_soon(self, state: PartooState) -> None:
        state.script("u1", [Answer(), Answer(status=503)])
        invite(state)
        invite(state)

        assert last_call(state).too_soon


class TestAnswer:
    @pytest.mark.parametrize(
        ("answer", "content"),
        [
            (Answer(body="é"), b"\xc3\xa9"),
            (Answer(body=""), b""),
            (Answer(body_base64="/w=="), b"\xff"),
            (Answer(body_bytes=3), b"xxx"),
            (Answer(status=503), b'{"errors": {"json": "Service Unavailable"}}'),
            (Answer(status=599), b'{"errors": {"json": "Unknown"}}'),
        ],
    )
    def test_has_the_body_given_or_one_for_its_status(self, answer: Answer, content: bytes) -> None:
        assert answer.content() == content

    @pytest.mark.parametrize("status", [100, 600])
    def test_has_a_final_status(self, status: int) -> None:
        with pytest.raises(ValueError, match=str(status)):
            Answer(status=status)

    @pytest.mark.parametrize("status", [100, 101, 200])
    def test_has_interim_statuses_that_continue_the_connection(self, status: int) -> None:
        with pytest.raises(ValueError, match=str(status)):
            Answer(interim=(102, status))


class TestUser:
    def test_has_a_status_that_the_vendor_has(self) -> None:
        with pytest.raises(ValueError, match="'pending'"):
            User("u", status="pending")

    def test_has_a_role_that_the_vendor_has(self) -> None:
        with pytest.raises(ValueError, match="'BOSS'"):
            User("u", role="BOSS")


class TestLog:
    def test_has_everything_but_the_headers_values(self, state: PartooState, clock: Clock) -> None:
        headers = (*RIGHT_HEADERS, ("User-Agent", "tester"), ("Accept", "*/*"))
        sequence, _ = state.receive(Request("POST", "/v2/user/%75%31/invite?a=b", headers))
        clock.now += 2
        state.answered(sequence, 200)

        assert state.calls() == [
            Call(
                sequence=1,
                received_at=1_800_000_000.0,
                answered_at=1_800_000_002.0,
                method="POST",
                path="/v2/user/%75%31/invite?a=b",
                operation="invite",
                user_id="u1",
                key="right",
                content_type="application/json",
                user_agent="tester",
                status=200,
                emailed_at=1_800_000_000.0,
                too_soon=False,
                headers=("Accept", "Content-Type", "User-Agent", "x-APIKey"),
            )
        ]

    def test_shows_an_unanswered_call_as_such(self, state: PartooState) -> None:
        invite(state)

        assert (last_call(state).answered_at, last_call(state).status) == (None, None)

    def test_can_be_read_from_where_one_left_off(self, state: PartooState) -> None:
        invite(state, "u1")
        invite(state, "u2")

        assert [call.user_id for call in state.calls(since=1)] == ["u2"]


class TestReset:
    def test_takes_everything_back_to_the_start(self, state: PartooState) -> None:
        state.set_key("another")
        state.set_requests_per_minute(1)
        state.set_churn(accepting=1, appearing=1)
        state.script("u1", [Answer(status=503)])
        state.script(ANY_SEARCH, [Answer(), Answer(status=503)])
        search(state)

        state.reset()
        state.add_users([User("u1")])

        assert state.calls() == []
        assert [invite(state).status, invite(state).status] == [200, 400]
        assert found(search(state)) == ["u1"]
        assert state.users() == [User("u1")]

    def test_an_answer_from_before_it_marks_no_newer_call(self, state: PartooState) -> None:
        sequence, _ = state.receive(Request("POST", "/v2/user/u1/invite", RIGHT_HEADERS))
        state.reset()
        invite(state)
        state.answered(sequence, 200)

        assert last_call(state).answered_at is None


def list_keys(state: PartooState, query: str = "", key: str = KEY) -> Answer:
    request = Request("GET", f"/v2/api_keys?{query}", (("x-APIKey", key),))
    return state.receive(request)[1]


def expiry_dates(answer: Answer) -> list[str | None]:
    return [each["expiration_date"] for each in body(answer)["api_keys"]]


class TestKeys:
    """The fixture's clock says 2027-01-15."""

    def test_two_are_right_side_by_side(self, state: PartooState) -> None:
        state.add_key(ApiKey("new"))

        headers = (("x-APIKey", "new"), ("Content-Type", "application/json"))
        assert [invite(state).status, invite(state, "u2", headers).status] == [200, 200]
        assert [call.key for call in state.calls()] == ["right", "right"]

    def test_one_that_was_revoked_is_wrong_and_the_other_still_right(
        self, state: PartooState
    ) -> None:
        state.add_key(ApiKey("new"))
        state.revoke_key(KEY)

        headers = (("x-APIKey", "new"), ("Content-Type", "application/json"))
        assert [invite(state).status, invite(state, "u2", headers).status] == [401, 200]
        assert [call.key for call in state.calls()] == ["wrong", "right"]

    def test_one_that_there_is_not_cannot_be_revoked(self, state: PartooState) -> None:
        with pytest.raises(KeyError):
            state.revoke_key("another")

    @pytest.mark.parametrize(("day", "status"), [("2027-01-16", 200), ("2027-01-15", 401)])
    def test_one_is_over_on_its_date(self, state: PartooState, day: str, status: int) -> None:
        state.add_key(ApiKey(KEY, day))

        assert invite(state).status == status

    def test_a_date_is_one_of_the_calendar(self) -> None:
        with pytest.raises(ValueError, match="day"):
            ApiKey("new", "2027-02-30")

    @pytest.mark.parametrize(
        ("query", "dates"),
        [
            ("", [None, "2027-02-01", "2027-01-01", "2027-03-01"]),
            ("status=active", [None, "2027-02-01"]),
            ("status=disabled", ["2027-03-01"]),
            ("status=expired", ["2027-01-01"]),
            ("status=inactive", ["2027-01-01", "2027-03-01"]),
            ("per_page=1", [None]),
        ],
    )
    def test_are_listed(self, state: PartooState, query: str, dates: list[str | None]) -> None:
        state.add_key(ApiKey("new", "2027-02-01"))
        state.add_key(ApiKey("old", "2027-01-01"))
        state.add_key(ApiKey("revoked", "2027-03-01", revoked=True))

        assert expiry_dates(list_keys(state, query)) == dates

    def test_a_page_says_how_many_there_are(self, state: PartooState) -> None:
        state.add_key(ApiKey("new"))

        listing = body(list_keys(state, "per_page=1"))

        assert (listing["page"], listing["max_page"], listing["count"]) == (1, 2, 2)

    def test_are_listed_without_their_values(self, state: PartooState) -> None:
        assert KEY not in list_keys(state).content().decode()

    def test_are_not_shown_to_one_that_may_not_list(self, state: PartooState) -> None:
        state.add_key(ApiKey(KEY, may_list=False))

        assert list_keys(state).status == 403

    def test_are_not_shown_without_a_right_one(self, state: PartooState) -> None:
        assert list_keys(state, key="another").status == 401

    @pytest.mark.parametrize("query", ["status=any", "per_page=101", f"search_text={KEY}"])
    def test_a_bad_parameter_is_refused(self, state: PartooState, query: str) -> None:
        assert list_keys(state, query).status == 400

    def test_a_list_is_answered_by_its_script_and_nothing_else_is(self, state: PartooState) -> None:
        state.script(ANY_KEY_LIST, [Answer(status=503), Answer(headers={"X-Page": "1"})])

        assert (invite(state).status, search(state).status) == (200, 200)
        assert list_keys(state).status == 503
        assert expiry_dates(list_keys(state)) == [None]
        assert last_call(state).operation == "keys"


def test_a_changed_key_is_the_only_right_one(state: PartooState) -> None:
    state.set_key("another")

    assert invite(state).status == 401
