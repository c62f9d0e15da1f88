"""The fields of a request and of an order; tests/unit/test_shapes.py has what is around them."""

import json
from dataclasses import replace
from typing import Any

import jmespath
import pytest

from invitations.messages import Message, RetryState
from invitations.requests import Order, Request, read_message
from invitations.results import Result, Source
from tests.fakes import START

EVENT = {"id": "e1", "source": "crm", "detail-type": "t", "detail": {"user_id": "u1"}}
BODY = {"user_id": "u1"}
MESSAGE = Message("m1", "", Source.SQS, RetryState(START))


def read(body: object, path: str = "detail.user_id", **fields: Any) -> Request | Order | Result:
    text = body if isinstance(body, str) else json.dumps(body)
    return read_message(replace(MESSAGE, body=text, **fields), jmespath.compile(path))


def request_of(body: object, path: str = "detail.user_id", **fields: Any) -> Request:
    request = read(body, path, **fields)
    assert isinstance(request, Request)
    return request


def order_of(body: object) -> Order:
    order = read(body)
    assert isinstance(order, Order)
    return order


def refusal_of(body: object, path: str = "detail.user_id", **fields: Any) -> Result:
    refusal = read(body, path, **fields)
    assert isinstance(refusal, Result)
    return refusal


# Fields of a request


@pytest.mark.parametrize("blank", [None, "", "\t\u3000\n"])
def test_unknown_and_blank_fields_are_ignored(blank: str | None) -> None:
    names = ("request_id", "on_active_window", "not_after", "correlation_id", "dry_run")
    request = request_of({"user_id": "u1", "colour": {"red": [1]}, **dict.fromkeys(names, blank)})

    assert replace(request, message=MESSAGE) == Request(MESSAGE, "u1")
    assert (request.request_id, request.message.source) == ("m1", "sqs")


@pytest.mark.parametrize(
    ("name", "value", "read_as"),
    [
        ("user_id", "\r\n\u00a0u1\u2003", "u1"),
        *[("user_id", each, each) for each in ("x" * 128, "..%2f", "😀")],
        *[(name, 0, "0") for name in ("request_id", "correlation_id")],
        ("correlation_id", "c 1", "c 1"),
        ("on_active_window", "defer", "defer"),
        ("not_after", " 2027-01-15T08:00:00Z ", START),
        ("not_after", "2027-01-15T03:00:00-05:00", START),
        ("not_after", "2027-01-15T08:00:00.000", START),
        # Without a time: the end of that day.
        ("not_after", "2027-01-14", START - 8 * 3600),
        ("not_after", "9999-12-31", 253_402_300_800),
    ],
)
def test_field_is_read(name: str, value: object, read_as: object) -> None:
    request = request_of({"user_id": "u1", name: value})

    assert getattr(request, name) == pytest.approx(read_as, abs=0.001)


@pytest.mark.parametrize(
    ("fields", "reason", "detail"),
    [
        ({"request_id": 1.5}, "request_id_malformed", "request_id must be a string of at most"),
        ({"request_id": 10**200}, "request_id_malformed", "128 visible characters"),
        ({"correlation_id": []}, "correlation_id_malformed", "or a whole number."),
        ({"on_active_window": ["skip"]}, "on_active_window_unknown", "must be skip or defer."),
        ({"not_after": "2027-02-30"}, "not_after_malformed", "such as 2030-06-30T18:00:00Z"),
        ({"not_after": 1_800_000_000}, "not_after_malformed", "ISO 8601"),
        ({"requestId": None}, "field_misspelt", "Fields are misspelt; write request_id."),
        ({"not-after": 1, "NotAfter": 1}, "field_misspelt", "misspelt; write not_after."),
        ({"dryRun": 0}, "dry_run_not_supported", "dry_run"),
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
    assert detail in str(refusal.detail)


@pytest.mark.parametrize(
    ("fields", "reason", "detail"),
    [
        ({"user_id": None}, "user_id_missing", "has no user_id"),
        ({"user_id": 12}, "user_id_not_a_string", "a number; Partoo's ids are strings"),
        ({"user_id": " \u3000"}, "user_id_empty", "blank"),
        ({"user_id": "x" * 129}, "user_id_too_long", "129 characters; 128 are allowed"),
        ({"user_id": " .. "}, "user_id_dot_segment", '".."'),
        # tests/unit/test_schemas.py has all kinds of them.
        ({"user_id": "a\u200bb"}, "user_id_unsafe_character", "invisible"),
        ({"user_ids": []}, "user_ids_malformed", "must be an array of 1 to 1000 ids"),
        ({"user_ids": ["u"] * 1001}, "user_ids_malformed", "1 to 1000"),
        ({"user_ids": ["u1"], "user_id": "u1"}, "user_ids_malformed", "without a user_id"),
        ({"user_ids": ["u1"], "on_active_window": "no"}, "on_active_window_unknown", "skip"),
        ({"user_ids": ["u1"], "notAfter": "x"}, "field_misspelt", "not_after"),
    ],
)
def test_unusable_user_id_and_faulty_order_are_one_invalid_result_without_a_user(
    fields: dict[str, object], reason: str, detail: str
) -> None:
    refusal = refusal_of({"request_id": "o1", "correlation_id": "c1", **fields})

    assert (refusal.reason, refusal.user_id) == (reason, None)
    assert (refusal.request_id, refusal.correlation_id) == ("o1", "c1")
    assert detail in str(refusal.detail)


def test_detail_names_all_misspelt_fields_because_they_explain_a_missing_user_id() -> None:
    refusal = refusal_of({"user-ID": 1, "notAfter": "x"})

    assert (refusal.reason, refusal.user_id) == ("field_misspelt", None)
    assert refusal.detail == "Fields are misspelt; write user_id, not_after."


# Orders


def test_order_names_each_user_once_and_its_other_fields_hold_for_all() -> None:
    fields = {"on_active_window": "defer", "not_after": "2030-01-01", "correlation_id": 7}
    user_ids = ["u1", " u2 ", "u1 ", 7, "7", 7, None, ["u1"], {"a": 1}]
    document = {"user_ids": user_ids, "request_id": "o1", "user_id": None, "x": 1, **fields}
    order = order_of(document)

    assert order.user_ids == ["u1", "u2", 7, "7", None, ["u1"], {"a": 1}]
    assert (order.message.request_id, order.fields) == ("o1", fields)
    assert len(order_of({"user_ids": list(map(str, range(1_000)))}).user_ids) == 1_000


def test_request_of_an_order_is_named_after_the_order_and_the_user() -> None:
    first, second = order_of(
        {"user_ids": ["u1", "u2"], "request_id": "o1", "correlation_id": "c1"}
    ).messages()
    [again] = order_of({"user_ids": ["u1"], "request_id": "o1"}).messages()
    [other] = order_of({"user_ids": [7], "request_id": "o2"}).messages()

    assert first.request_id == again.request_id
    assert len({first.request_id, second.request_id, other.request_id}) == 3
    request = request_of(first.body, given_request_id=first.request_id)
    assert (request.request_id, request.user_id) == (first.request_id, "u1")
    assert request.correlation_id == "c1"
    # An unusable id is the invalid request of that user alone.
    refusal = refusal_of(other.body, given_request_id=other.request_id)
    assert (refusal.reason, refusal.request_id) == ("user_id_not_a_string", other.request_id)
