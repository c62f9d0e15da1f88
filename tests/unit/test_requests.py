"""The fields of a request and of an order; tests/unit/test_shapes.py has what is around them."""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import jmespath
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from invitations.messages import Message, RetryState
from invitations.requests import (
    MAX_USER_IDS,
    InvalidRequestError,
    OnActiveWindow,
    Order,
    Request,
    read_message,
)
from invitations.results import Source

NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""
EVENT = {"id": "e1", "source": "crm", "detail-type": "t", "detail": {"user_id": "u1"}}
INVISIBLE = ["a\nb", "a\u200bb", "a\u2028b", "a\ud800b"]
"""One of each category: control, format, line separator, surrogate."""


def read(body: object, path: str = "detail.user_id", **fields: Any) -> Request | Order:
    text = body if isinstance(body, str) else json.dumps(body)
    known = {"source": Source.SQS, "sent_at": NOW, "received_at": NOW, **fields}
    return read_message(Message("m1", text, **known), jmespath.compile(path))


def request_of(body: object, path: str = "detail.user_id", **fields: Any) -> Request:
    request = read(body, path, **fields)
    assert isinstance(request, Request)
    return request


def order_of(body: object) -> Order:
    order = read(body)
    assert isinstance(order, Order)
    return order


def refusal_of(body: object, path: str = "detail.user_id", **fields: Any) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        read(body, path, **fields)
    return caught.value


def summary(request: Request) -> tuple[object, ...]:
    return (
        request.request_id,
        request.user_id,
        request.source,
        request.on_active_window,
        request.not_after,
        request.correlation_id,
    )


BARE = ("m1", "u1", Source.SQS, "skip", None, None)
"""The summary of a request with only a user id."""


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"colour": {"red": [1]}},
        *[
            {"request_id": blank, "on_active_window": blank, "not_after": blank, "dry_run": blank}
            for blank in (None, "", "\t\u3000\n")
        ],
    ],
)
def test_unknown_and_blank_fields_are_ignored(fields: dict[str, object]) -> None:
    assert summary(request_of({"user_id": "u1", **fields})) == BARE


def test_request_with_every_field_is_read() -> None:
    body = {
        "user_id": "u1",
        "request_id": "r1",
        "on_active_window": "defer",
        "not_after": "2027-01-15T09:00:00+01:00",
        "correlation_id": "c1",
    }

    assert summary(request_of(body)) == ("r1", "u1", Source.SQS, OnActiveWindow.DEFER, NOW, "c1")


@pytest.mark.parametrize(
    ("user_id", "read_as"),
    [("\r\n\u00a0u1\u2003", "u1"), *[(each, each) for each in ("x" * 128, "..%2f", "a/b", "😀")]],
)
def test_user_id_is_trimmed_and_otherwise_taken_as_it_is(user_id: str, read_as: str) -> None:
    assert request_of({"user_id": user_id}).user_id == read_as


@pytest.mark.parametrize(
    ("user_id", "reason", "detail"),
    [
        (None, "user_id_missing", "has no user_id"),
        (12, "user_id_not_a_string", "a number; Partoo's ids are strings"),
        (True, "user_id_not_a_string", "true or false"),
        (["u1"], "user_id_not_a_string", "an array"),
        ({"S": "u1"}, "user_id_not_a_string", "an object"),
        (" \u3000", "user_id_empty", "blank"),
        ("x" * 129, "user_id_too_long", "129 characters; 128 are allowed"),
        (" .. ", "user_id_dot_segment", '".."'),
        (".", "user_id_dot_segment", '"."'),
        *[(each, "user_id_unsafe_character", "invisible") for each in INVISIBLE],
        ("u1\uffff", "user_id_unsafe_character", "invisible"),
    ],
)
def test_unusable_user_id_is_invalid(user_id: object, reason: str, detail: str) -> None:
    refusal = refusal_of({"user_id": user_id})

    assert (refusal.reason, refusal.user_id) == (reason, None)
    assert detail in refusal.detail


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())) | st.text(st.sampled_from("./%\\;?#@: eE2fF")))
@example("..%2f")
@example("%2E%2e")
def test_any_accepted_user_id_is_one_segment_of_the_path(text: str) -> None:
    try:
        user_id = request_of({"user_id": text}).user_id
    except InvalidRequestError:
        return
    url = parse_url(f"https://api.example.com/v2/user/{quote(user_id, safe='')}/invite")

    assert (url.host, url.query, url.fragment) == ("api.example.com", None, None)
    before, segment, after = (url.path or "").rsplit("/", 2)
    assert (before, unquote(segment), after) == ("/v2/user", user_id, "invite")


@pytest.mark.parametrize(("value", "text"), [("c 1", "c 1"), (0, "0"), (10**50, "1" + "0" * 50)])
@pytest.mark.parametrize("name", ["request_id", "correlation_id"])
def test_identifier_is_a_string_or_the_text_of_a_whole_number(
    name: str, value: object, text: str
) -> None:
    assert getattr(request_of({"user_id": "u1", name: value}), name) == text


@pytest.mark.parametrize(
    ("fields", "reason", "detail"),
    [
        ({"request_id": 1.5}, "request_id_malformed", "request_id is a number; send a string"),
        ({"request_id": True}, "request_id_malformed", "request_id is true or false"),
        ({"request_id": 10**200}, "request_id_malformed", "request_id is too long"),
        ({"correlation_id": []}, "correlation_id_malformed", "correlation_id is an array"),
        ({"correlation_id": "x" * 129}, "correlation_id_malformed", "correlation_id is too long"),
        ({"on_active_window": "DEFER"}, "on_active_window_unknown", "must be skip or defer."),
        ({"on_active_window": ["skip"]}, "on_active_window_unknown", "must be skip or defer."),
        ({"not_after": "2027-02-30"}, "not_after_malformed", "such as 2030-06-30T18:00:00Z"),
        ({"not_after": "15.01.2027"}, "not_after_malformed", "ISO 8601"),
        ({"not_after": 1_800_000_000}, "not_after_malformed", "ISO 8601"),
        ({"requestId": None}, "field_misspelt", 'The field "requestId" must be spelt request_id.'),
        ({"not-after": "x"}, "field_misspelt", 'The field "not-after" must be spelt not_after.'),
        ({"REQUEST_ID": "x"}, "field_misspelt", "must be spelt request_id."),
        *[({name: 0}, "dry_run_not_supported", "dry_run") for name in ("dry_run", "dryRun")],
    ],
)
@pytest.mark.parametrize("is_event", [False, True])
def test_faulty_field_is_invalid_and_the_user_is_named(
    fields: dict[str, object], reason: str, detail: str, is_event: bool
) -> None:
    request = {"user_id": " u1 ", **fields}
    refusal = refusal_of({**EVENT, "detail": request} if is_event else request)

    assert (refusal.reason, refusal.user_id) == (reason, "u1")
    assert (refusal.request_id, refusal.correlation_id) == ("e1" if is_event else "m1", None)
    assert detail in refusal.detail


@pytest.mark.parametrize(
    ("not_after", "moment"),
    [
        (" 2027-01-15T08:00:00Z ", NOW),
        ("2027-01-15T08:00:00.500Z", NOW + 0.5),
        ("2027-01-15T03:00:00-05:00", NOW),
        ("20270115T080000Z", NOW),
        # Without a time: the end of that day.
        ("2027-01-14", NOW - 8 * 3600),
        ("20270115", NOW + 16 * 3600),
        ("9999-12-31", 253_402_300_800),
    ],
)
def test_not_after_is_a_moment_or_the_end_of_a_day(not_after: str, moment: float) -> None:
    read = request_of({"user_id": "u1", "not_after": not_after}).not_after

    assert read is not None
    assert moment - 0.001 < read <= moment


@pytest.fixture
def _far_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this machine be in another time zone."""
    with monkeypatch.context() as there:
        there.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_far_away")
def test_not_after_without_an_offset_is_utc_wherever_this_runs() -> None:
    assert request_of({"user_id": "u1", "not_after": "2027-01-15T08:00:00"}).not_after == NOW


@pytest.mark.parametrize("spelling", ["userId", "user-id", "USER_IDS"])
def test_misspelt_user_id_is_the_first_thing_that_the_detail_names(spelling: str) -> None:
    refusal = refusal_of({spelling: "u1"})

    assert (refusal.reason, refusal.user_id) == ("field_misspelt", None)
    assert refusal.detail.startswith(f'The field "{spelling}" must be spelt user_id')


def test_detail_names_every_fault_and_reason_the_first() -> None:
    refusal = refusal_of(
        {"user_id": 7, "request_id": 5, "correlation_id": "c1", "Not_After": 1, "dry_run": True}
    )

    assert refusal.reason == "field_misspelt"
    found = [
        refusal.detail.find(text) for text in ('"Not_After"', "dry_run", "user_id is a number")
    ]
    assert found[0] >= 0
    assert found == sorted(found)
    # The ids that are right are kept.
    assert (refusal.request_id, refusal.correlation_id) == ("5", "c1")


def test_thousands_of_faults_make_a_detail_that_a_topic_takes() -> None:
    names = ["u" + "_" * count + "ser_id" for count in range(2, 3000)]

    assert len(refusal_of(dict.fromkeys(names, "u1")).detail) < 2_000


def test_order_names_each_user_once_and_its_other_fields_hold_for_all() -> None:
    fields = {"on_active_window": "defer", "not_after": "2030-01-01", "correlation_id": 7}
    user_ids = ["u1", " u2 ", "u1 ", 7, "7", 7, None, ["u1"], {"a": 1}]
    order = order_of({"user_ids": user_ids, "request_id": "o1", "user_id": None, "x": 1, **fields})

    assert order.user_ids == ["u1", "u2", 7, "7", None, ["u1"], {"a": 1}]
    assert len(order_of({"user_ids": list(map(str, range(MAX_USER_IDS)))}).user_ids) == 1_000
    assert (order.order_id, order.source, order.fields) == ("o1", "sqs", fields)


@pytest.mark.parametrize(
    ("fields", "reason", "detail"),
    [
        ({"user_ids": []}, "user_ids_malformed", "0 ids; send an array of 1 to 1000 ids"),
        ({"user_ids": ["u"] * 1001}, "user_ids_malformed", "1001 ids"),
        ({"user_ids": "u1,u2"}, "user_ids_malformed", "a string"),
        ({"user_ids": None}, "user_ids_malformed", "null"),
        ({"user_ids": ["u1"], "user_id": "u1"}, "user_ids_malformed", "not both"),
        ({"user_ids": ["u1"], "on_active_window": "no"}, "on_active_window_unknown", "skip"),
        ({"user_ids": ["u1"], "notAfter": "x"}, "field_misspelt", "not_after"),
        ({"user_ids": ["u1"], "dry-run": "no"}, "dry_run_not_supported", "sweeps"),
    ],
)
def test_faulty_order_is_one_invalid_result(
    fields: dict[str, object], reason: str, detail: str
) -> None:
    refusal = refusal_of({"request_id": "o1", "correlation_id": "c1", **fields})

    assert (refusal.reason, refusal.user_id) == (reason, None)
    assert (refusal.request_id, refusal.correlation_id) == ("o1", "c1")
    assert detail in refusal.detail


def test_request_of_an_order_is_named_after_the_order_and_the_user() -> None:
    fields = {"request_id": "o1", "correlation_id": "c1"}
    (good, first), (_, second) = order_of({"user_ids": ["u1", "u2"], **fields}).requests()
    [(_, again)] = order_of({"user_ids": ["u1"], **fields}).requests()
    [(faulty, other)] = order_of({"user_ids": [7], "request_id": "o2"}).requests()

    assert first.request_id == again.request_id
    assert len({first.request_id, second.request_id, other.request_id}) == 3
    request = request_of(good, retry_state=first)
    assert summary(request) == (first.request_id, "u1", "sqs", "skip", None, "c1")
    # An unusable id is the invalid request of that user alone.
    refusal = refusal_of(faulty, retry_state=other)
    assert (refusal.reason, refusal.request_id) == ("user_id_not_a_string", other.request_id)


@pytest.mark.parametrize(
    ("fields", "request_id", "source"),
    [
        ({"source": Source.DIRECT}, "m1", "direct"),
        # What a redriven message and a deferred copy bring along.
        ({"request_id": "r0", "original_source": "sns"}, "r0", "sns"),
        ({"retry_state": RetryState("r9", Source.SWEEP, NOW), "request_id": "r0"}, "r9", "sweep"),
    ],
)
def test_name_and_source_are_those_of_the_message(
    fields: dict[str, Any], request_id: str, source: str
) -> None:
    request, refusal = request_of({"user_id": "u1"}, **fields), refusal_of("{", **fields)

    assert (request.request_id, request.source) == (request_id, source)
    assert (refusal.request_id, refusal.source) == (request_id, source)


def test_request_id_in_the_body_comes_before_the_messages_attribute() -> None:
    assert request_of({"user_id": "u1", "request_id": "r1"}, request_id="r0").request_id == "r1"
    assert request_of(EVENT, request_id="r0").request_id == "r0"


@pytest.mark.parametrize(
    ("body", "request_id"),
    [
        ({"user_id": "u1"}, "invocation-1"),
        ({"user_id": "u1", "request_id": "r1"}, "r1"),
        (EVENT, "e1"),
    ],
)
def test_redriven_invocation_names_a_request_that_nothing_else_names(
    body: object, request_id: str
) -> None:
    assert request_of(body, invocation_id="invocation-1").request_id == request_id
