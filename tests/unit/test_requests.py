"""Each rule of a request, and each of the real inputs in tests/cases/."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import jmespath
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url

from invitations.messages import Message, RetryState
from invitations.orders import parts_of
from invitations.requests import (
    MAX_ID_LENGTH,
    MAX_USER_IDS,
    InvalidRequestError,
    OnActiveWindow,
    Order,
    Request,
    read_message,
    usable_id,
)
from invitations.results import Reason, Source

CASES = Path(__file__).parents[1] / "cases"
NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""
EVENT = {
    "id": "e1",
    "source": "crm",
    "detail-type": "user pending",
    "detail": {"user_id": "u1"},
}
INVISIBLE = ["a\x00b", "a\nb", "a\x7fb", "a\x9fb", "a\u200bb", "a\u2028b", "a\u2029b", "a\ud800b"]


def message_of(body: object, **fields: Any) -> Message:
    text = body if isinstance(body, str) else json.dumps(body)
    return Message(
        "m1", text, **{"source": Source.SQS, "sent_at": NOW, "received_at": NOW, **fields}
    )


def read(body: object, path: str = "detail.user_id", **fields: Any) -> Request | Order:
    return read_message(message_of(body, **fields), jmespath.compile(path))


def request_of(body: object, path: str = "detail.user_id", **fields: Any) -> Request:
    request = read(body, path, **fields)
    assert isinstance(request, Request)
    return request


def order_of(body: object, **fields: Any) -> Order:
    order = read(body, **fields)
    assert isinstance(order, Order)
    return order


def refusal_of(body: object, path: str = "detail.user_id", **fields: Any) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        read(body, path, **fields)
    return caught.value


def event_with(detail: object) -> dict[str, object]:
    return {**EVENT, "detail": detail}


def notification(text: object) -> dict[str, object]:
    return {
        "Type": "Notification",
        "MessageId": "n1",
        "TopicArn": "arn:aws:sns:eu-west-1:111122223333:topic",
        "Message": text if isinstance(text, str) else json.dumps(text),
    }


# A bare request


def test_request_with_only_a_user_id_is_read() -> None:
    assert request_of({"user_id": "u1"}) == Request("m1", "u1", Source.SQS)


def test_request_with_every_field_is_read() -> None:
    body = {
        "user_id": "u1",
        "request_id": "r1",
        "on_active_window": "defer",
        "not_after": "2027-01-15T09:00:00+01:00",
        "correlation_id": "c1",
    }

    assert request_of(body) == Request("r1", "u1", Source.SQS, OnActiveWindow.DEFER, NOW, "c1")


def test_unknown_fields_are_ignored() -> None:
    assert request_of({"user_id": "u1", "colour": {"red": [1]}}) == request_of({"user_id": "u1"})


@pytest.mark.parametrize("blank", [None, "", " ", "\t\u3000\n"])
@pytest.mark.parametrize(
    "name", ["request_id", "on_active_window", "not_after", "correlation_id", "dry_run"]
)
def test_blank_optional_field_counts_as_absent(name: str, blank: str | None) -> None:
    assert request_of({"user_id": "u1", name: blank}) == request_of({"user_id": "u1"})


def test_direct_invocation_is_the_source_of_its_request() -> None:
    assert request_of({"user_id": "u1"}, source=Source.DIRECT).source == "direct"


# user_id


@pytest.mark.parametrize("space", [" ", "\n", "\t", "\u00a0", "\u3000", "\u2003", "\r\n"])
def test_whitespace_around_user_id_is_trimmed(space: str) -> None:
    assert request_of({"user_id": f"{space}u1{space}"}).user_id == "u1"


@pytest.mark.parametrize(
    "user_id",
    ["x" * 128, "a/b", "a b", "%2e%2e", "...", "..%2f", "ä?#", "😀", "a:b@c", "~", "null"],
)
def test_other_user_id_is_taken_as_it_is(user_id: str) -> None:
    assert request_of({"user_id": user_id}).user_id == user_id


@pytest.mark.parametrize(
    ("user_id", "reason", "detail"),
    [
        (None, "user_id_missing", "has no user_id"),
        (12, "user_id_not_a_string", "a number; Partoo's ids are strings"),
        (1.5, "user_id_not_a_string", "a number"),
        (True, "user_id_not_a_string", "true or false"),
        (["u1"], "user_id_not_a_string", "an array"),
        ({"S": "u1"}, "user_id_not_a_string", "an object"),
        ("", "user_id_empty", "blank"),
        (" \u3000", "user_id_empty", "blank"),
        ("x" * 129, "user_id_too_long", "129 characters; 128 are allowed"),
        (".", "user_id_dot_segment", '"."'),
        (" .. ", "user_id_dot_segment", '".."'),
        *[(each, "user_id_unsafe_character", "invisible") for each in INVISIBLE],
        ("\ufeffu1", "user_id_unsafe_character", "invisible"),
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


# request_id, correlation_id


@pytest.mark.parametrize(
    ("value", "text"),
    [("c 1", "c 1"), (88213, "88213"), (0, "0"), (-7, "-7"), (10**50, "1" + "0" * 50)],
)
@pytest.mark.parametrize("name", ["request_id", "correlation_id"])
def test_identifier_is_a_string_or_the_text_of_a_whole_number(
    name: str, value: object, text: str
) -> None:
    assert getattr(request_of({"user_id": "u1", name: value}), name) == text


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (1.5, "is a number; send a string or a whole number"),
        (True, "is true or false"),
        ([], "is an array"),
        ({}, "is an object"),
        ("x" * 129, "too long"),
        (10**200, "too long"),
        *[(each, "invisible") for each in INVISIBLE],
    ],
)
@pytest.mark.parametrize("name", ["request_id", "correlation_id"])
def test_other_identifier_is_invalid_and_user_is_named(
    name: str, value: object, detail: str
) -> None:
    refusal = refusal_of({"user_id": " u1 ", name: value})

    assert (refusal.reason, refusal.user_id) == (f"{name}_malformed", "u1")
    assert (refusal.request_id, refusal.correlation_id) == ("m1", None)
    assert refusal.detail.startswith(name)
    assert detail in refusal.detail


def test_request_without_request_id_is_named_after_the_redriven_messages_attribute() -> None:
    assert request_of({"user_id": "u1"}, request_id="r0").request_id == "r0"
    assert request_of(EVENT, request_id="r0").request_id == "r0"


def test_request_id_in_the_body_comes_before_the_messages_attribute() -> None:
    assert request_of({"user_id": "u1", "request_id": "r1"}, request_id="r0").request_id == "r1"


# on_active_window


@pytest.mark.parametrize("value", ["skip", "defer"])
def test_on_active_window_is_read(value: str) -> None:
    assert request_of({"user_id": "u1", "on_active_window": value}).on_active_window == value


@pytest.mark.parametrize("value", ["DEFER", "wait", True, 1, ["skip"], {}])
def test_other_on_active_window_is_invalid_and_detail_names_the_choices(value: object) -> None:
    refusal = refusal_of({"user_id": "u1", "on_active_window": value})

    assert (refusal.reason, refusal.user_id) == ("on_active_window_unknown", "u1")
    assert refusal.detail == "on_active_window must be skip or defer."


# not_after


@pytest.mark.parametrize(
    ("not_after", "moment"),
    [
        ("2027-01-15T08:00:00Z", NOW),
        (" 2027-01-15T08:00:00Z ", NOW),
        ("2027-01-15T08:00:00.500Z", NOW + 0.5),
        ("2027-01-15T08:00Z", NOW),
        ("2027-01-15T03:00:00-05:00", NOW),
        ("20270115T080000Z", NOW),
        ("9999-12-31T23:59:59Z", 253_402_300_799),
    ],
)
def test_not_after_is_a_moment(not_after: str, moment: float) -> None:
    assert request_of({"user_id": "u1", "not_after": not_after}).not_after == moment


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


@pytest.mark.parametrize(
    ("day", "midnight"),
    [
        ("2027-01-14", NOW - 8 * 3600),
        ("20270115", NOW + 16 * 3600),
        ("9999-12-31", 253_402_300_800),
    ],
)
def test_not_after_without_a_time_is_the_end_of_that_day(day: str, midnight: float) -> None:
    not_after = request_of({"user_id": "u1", "not_after": day}).not_after

    assert not_after is not None
    assert midnight - 0.001 < not_after <= midnight


@pytest.mark.parametrize(
    "value",
    ["tomorrow", "2027-02-30", "2027-02-30T00:00:00Z", "15.01.2027", 1_800_000_000, True, [], {}],
)
def test_other_not_after_is_invalid_and_user_is_named(value: object) -> None:
    refusal = refusal_of({"user_id": "u1", "not_after": value})

    assert (refusal.reason, refusal.user_id) == ("not_after_malformed", "u1")
    assert "2030-06-30T18:00:00Z" in refusal.detail


# Misspelt fields and dry_run


@pytest.mark.parametrize(
    ("spelling", "right"),
    [
        ("requestId", "request_id"),
        ("request-id", "request_id"),
        ("REQUEST_ID", "request_id"),
        ("onActiveWindow", "on_active_window"),
        ("not-after", "not_after"),
        ("notAfter", "not_after"),
        ("CorrelationID", "correlation_id"),
    ],
)
@pytest.mark.parametrize("value", ["r1", None])
def test_misspelt_field_is_invalid_and_user_is_named(
    spelling: str, right: str, value: str | None
) -> None:
    for body in (
        {"user_id": "u1", spelling: value},
        event_with({"user_id": "u1", spelling: value}),
    ):
        refusal = refusal_of(body)

        assert (refusal.reason, refusal.user_id) == ("field_misspelt", "u1")
        assert refusal.detail == f'The field "{spelling}" must be spelt {right}.'


@pytest.mark.parametrize("spelling", ["userId", "user-id", "UserID", "USER_IDS", "userIds"])
def test_misspelt_user_id_is_the_first_thing_that_the_detail_names(spelling: str) -> None:
    refusal = refusal_of({spelling: "u1"})

    assert (refusal.reason, refusal.user_id) == ("field_misspelt", None)
    assert refusal.detail.startswith(f'The field "{spelling}" must be spelt user_id')


def test_event_may_call_its_users_id_as_it_likes() -> None:
    assert request_of(event_with({"userId": "u1"}), "detail.userId").user_id == "u1"


@pytest.mark.parametrize("value", [True, False, 0, "no"])
@pytest.mark.parametrize("name", ["dry_run", "dryRun", "dry-run"])
@pytest.mark.parametrize("form", ["request", "order", "event"])
def test_dry_run_in_a_request_is_invalid(form: str, name: str, value: object) -> None:
    body: dict[str, object] = {
        "request": {"user_id": "u1", name: value},
        "order": {"user_ids": ["u1"], name: value},
        "event": event_with({"user_id": "u1", name: value}),
    }[form]

    assert refusal_of(body).reason == "dry_run_not_supported"


# All faults in one detail


def test_detail_names_every_fault_and_reason_the_first() -> None:
    refusal = refusal_of(
        {
            "user_id": 7,
            "request_id": [],
            "correlation_id": True,
            "on_active_window": "DEFER",
            "not_after": "soon",
            "Not_After": "soon",
            "dry_run": True,
        }
    )

    assert refusal.reason == "field_misspelt"
    for text in (
        '"Not_After"',
        "dry_run",
        "user_id is a number",
        "request_id is an array",
        "correlation_id is true or false",
        "skip or defer",
        "ISO 8601",
    ):
        assert text in refusal.detail


def test_invalid_request_keeps_the_ids_that_are_right() -> None:
    refusal = refusal_of({"user_id": "", "request_id": 5, "correlation_id": "c1", "not_after": "x"})

    assert (refusal.request_id, refusal.correlation_id) == ("5", "c1")


def test_thousands_of_faults_make_a_detail_that_a_topic_takes() -> None:
    names = ["u" + "_" * count + "ser_id" for count in range(2, 3000)]
    refusal = refusal_of(dict.fromkeys(names, "u1"))

    assert refusal.reason == "field_misspelt"
    assert len(refusal.detail) < 2_000


# JSON


def test_byte_order_mark_before_the_json_is_skipped() -> None:
    mark = "\ufeff"

    assert request_of(mark + '{"user_id": "u1"}').user_id == "u1"
    assert request_of(notification(mark + '{"user_id": "u1"}')).user_id == "u1"


@pytest.mark.parametrize(
    ("body", "which"),
    [
        ('{"user_id": "u1", "user_id": "u2"}', "the key user_id"),
        ('{"user_id": "u1", "crm": {"name": 1, "name": 1}}', "the key name"),
        ('{"user_id": "u1", "ada@example.com": 1, "ada@example.com": 2}', "a key"),
    ],
)
def test_key_that_an_object_has_twice_is_invalid(body: str, which: str) -> None:
    refusal = refusal_of(body)

    assert refusal.reason == "duplicate_key"
    assert refusal.detail == f"An object has {which} twice; send each key once."


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "u1",
        "{'user_id': 'u1'}",
        '{"user_id": "u1",}',
        '{"user_id": "u1", "score": NaN}',
        '{"user_id": "u1", "score": -Infinity}',
        "[" * 100_000,
        '{"user_id": ' + "9" * 5_000 + "}",
        '{"user_id": "u1"} {"user_id": "u2"}',
        "\ufeff\ufeff{}",
    ],
)
def test_text_that_is_no_json_is_invalid(body: str) -> None:
    refusal = refusal_of(body)

    assert (refusal.reason, refusal.request_id) == ("malformed_json", "m1")
    assert "not valid JSON" in refusal.detail


def test_detail_says_where_the_json_breaks_off() -> None:
    assert "(line 2, column 3)" in refusal_of('{\n  user_id: "u1"}').detail


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("null", "null"),
        ("12", "a number"),
        ("true", "true or false"),
        ("[]", "an array"),
        ("[1]", "an array"),
    ],
)
def test_body_that_is_no_object_is_invalid_in_the_words_of_json(body: str, kind: str) -> None:
    refusal = refusal_of(body)

    assert refusal.reason == "not_an_object"
    assert refusal.detail == f"The body is {kind}; send a JSON object with a user_id."


# EventBridge events


def test_event_is_a_request_named_after_the_event() -> None:
    assert request_of(EVENT) == Request("e1", "u1", Source.EVENTBRIDGE)


def test_events_detail_may_have_the_fields_of_a_request() -> None:
    request = request_of(
        event_with({"user_id": "u1", "request_id": 7, "on_active_window": "defer"})
    )

    assert (request.request_id, request.on_active_window) == ("7", "defer")


def test_user_id_path_finds_the_users_id_anywhere_in_an_event() -> None:
    event = event_with({"contacts": [{"partoo": " u7 "}], "user_id": "u1"})

    assert request_of(event, "detail.contacts[0].partoo").user_id == "u7"


@pytest.mark.parametrize("event_id", ["", " ", None, 7, {}, "a\nb", "x" * 129])
def test_event_with_an_unusable_id_is_named_after_its_message(event_id: object) -> None:
    assert request_of({**EVENT, "id": event_id}).request_id == "m1"
    assert refusal_of({**EVENT, "id": event_id, "detail": {}}).request_id == "m1"


@pytest.mark.parametrize(
    "path",
    [
        "detail.nothing",
        "detail.none",
        "to_string(detail.none)",
        "to_string(detail.nothing)",
        "detail.user_id.deeper",
        "abs(detail.user_id)",
        "length(detail.none)",
        "detail.list[::0]",
        "avg(detail.huge)",
    ],
)
def test_path_that_yields_nothing_is_a_missing_user_id(path: str) -> None:
    event = event_with({"user_id": "u1", "none": None, "list": [1], "huge": [10**400]})
    refusal = refusal_of(event, path)

    assert (refusal.reason, refusal.request_id) == ("user_id_missing", "e1")
    assert "UserIdPath" in refusal.detail


def test_text_null_in_an_event_is_a_missing_user_id() -> None:
    assert refusal_of(event_with({"user_id": "null"})).reason == "user_id_missing"


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        ('{"user_id": "u1"}', "a string"),
        ([{"user_id": "u1"}], "an array"),
        (None, "null"),
        (7, "a number"),
    ],
)
def test_events_detail_that_is_no_object_is_an_unsupported_shape(detail: object, kind: str) -> None:
    refusal = refusal_of(event_with(detail), "detail")

    assert (refusal.reason, refusal.source) == ("unsupported_shape", "eventbridge")
    assert (refusal.request_id, refusal.user_id) == ("e1", None)
    assert refusal.detail.startswith(f"The event's detail is {kind}; send an object")


def test_user_ids_in_an_events_detail_are_no_order() -> None:
    assert isinstance(read(event_with({"user_id": "u1", "user_ids": ["u2"]})), Request)
    assert refusal_of(event_with({"user_ids": ["u2"]})).reason == "user_id_missing"


# SNS notifications


def test_notification_is_the_request_in_it() -> None:
    assert request_of(notification({"user_id": "u1"})) == Request("m1", "u1", Source.SNS)


def test_notification_may_contain_an_event() -> None:
    assert request_of(notification(EVENT)) == Request("e1", "u1", Source.SNS)


def test_notification_may_contain_an_order() -> None:
    assert order_of(notification({"user_ids": ["u1"]})).source == "sns"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello", "malformed_json"),
        ('{"user_id": ', "malformed_json"),
        ("[]", "not_an_object"),
        ('"u1"', "unsupported_shape"),
        ('{"user_id": 7}', "user_id_not_a_string"),
        (json.dumps(event_with("text")), "unsupported_shape"),
        (json.dumps(notification({"user_id": "u1"})), "unsupported_shape"),
    ],
)
def test_fault_inside_a_notification_has_source_sns(text: str, reason: str) -> None:
    refusal = refusal_of(notification(text))

    assert (refusal.reason, refusal.source) == (reason, "sns")


@pytest.mark.parametrize(
    "mark",
    [
        {"Type": "Notification", "Message": "{}"},
        {"Type": "Notification", "TopicArn": "arn:topic"},
        {"TopicArn": "arn:topic", "Message": "{}"},
        {"Records": []},
        {"requestContext": {}, "body": "{}"},
    ],
)
def test_object_that_names_a_user_is_a_request_whatever_else_it_contains(
    mark: dict[str, object],
) -> None:
    assert request_of({"user_id": "u1", **mark}) == Request("m1", "u1", Source.SQS)


# Shapes of others

FOREIGN = {
    "S3 test event": ({"Service": "Amazon S3", "Event": "s3:TestEvent"}, "S3"),
    "S3 notification": ({"Records": [{"eventSource": "aws:s3", "s3": {}}]}, "notification of S3"),
    "other records": ({"Records": [{"eventSource": "aws:kinesis"}]}, "send each record's request"),
    "no records": ({"Records": []}, "Records"),
    "SNS to Lambda": (
        {"Records": [{"EventSource": "aws:sns", "Sns": {}}]},
        "subscribe the request queue, not the function",
    ),
    "Pipes' array": ([{"messageId": "m", "body": "{}"}], "send each element by itself"),
    "Pipes' record": ({"messageId": "m", "body": "{}"}, "send the record's body"),
    "received message": ({"MessageId": "m", "Body": "{}"}, "send its Body"),
    "HTTP API": ({"requestContext": {"http": {}}, "headers": {}, "body": "{}"}, "send its body"),
    "HTTP API without body": ({"requestContext": {"http": {}}, "headers": {}}, "API Gateway"),
    "REST API": ({"httpMethod": "POST", "body": None}, "API Gateway"),
    "CloudEvents": ({"specversion": "1.0", "type": "t", "source": "s"}, "send its data"),
    "Lambda destination": (
        {"requestContext": {}, "requestPayload": {"user_id": "u1"}},
        "send its requestPayload",
    ),
    "subscription confirmation": (
        {"Type": "SubscriptionConfirmation", "TopicArn": "a", "Message": "You have chosen"},
        "subscribe the queue by its ARN",
    ),
    "unsubscribe confirmation": ({"Type": "UnsubscribeConfirmation"}, "subscribe the queue again"),
    "notification without a text": (
        {"Type": "Notification", "TopicArn": "a", "Message": {"user_id": "u1"}},
        "publish the request as text",
    ),
    "entry for PutEvents": ({"Source": "crm", "DetailType": "t", "Detail": "{}"}, "event bus"),
    "doubly encoded body": ('"{\\"user_id\\": \\"u1\\"}"', "send the object itself"),
}


@pytest.mark.parametrize("shape", FOREIGN)
def test_foreign_shape_is_named_with_what_to_send_instead(shape: str) -> None:
    body, instead = FOREIGN[shape]
    refusal = refusal_of(body)

    assert (refusal.reason, refusal.user_id) == ("unsupported_shape", None)
    assert instead in refusal.detail
    assert refusal.detail.endswith(".")


@pytest.mark.parametrize(
    "document", [{}, {"user": {"id": "u1"}}, {"key1": "value1"}, {"body": "x"}]
)
def test_any_other_object_without_user_id_is_told_which_field_is_read(
    document: dict[str, object],
) -> None:
    refusal = refusal_of(document)

    assert refusal.reason == "user_id_missing"
    assert "has no user_id" in refusal.detail
    assert "UserIdPath is for EventBridge events" in refusal.detail


# Orders


def test_order_names_each_user_once() -> None:
    order = order_of({"user_ids": ["u1", " u2 ", "u1 ", 7, "7", 7, None, ["u1"], {"a": 1}]})

    assert order.user_ids == ["u1", "u2", 7, "7", None, ["u1"], {"a": 1}]
    assert (order.order_id, order.source) == ("m1", "sqs")


def test_orders_other_fields_hold_for_all_users() -> None:
    fields = {"on_active_window": "defer", "not_after": "2030-01-01", "correlation_id": 7}
    order = order_of({"user_ids": ["u1"], "request_id": "o1", "user_id": None, "x": 1, **fields})

    assert (order.order_id, order.fields) == ("o1", fields)


@pytest.mark.parametrize("count", [1, MAX_USER_IDS])
def test_order_may_have_a_thousand_users(count: int) -> None:
    assert len(order_of({"user_ids": [f"u{each}" for each in range(count)]}).user_ids) == count


@pytest.mark.parametrize(
    ("fields", "reason", "detail"),
    [
        ({"user_ids": []}, "user_ids_malformed", "0 ids; send an array of 1 to 1000 ids"),
        ({"user_ids": ["u"] * 1001}, "user_ids_malformed", "1001 ids"),
        ({"user_ids": "u1,u2"}, "user_ids_malformed", "a string"),
        ({"user_ids": {"a": 1}}, "user_ids_malformed", "an object"),
        ({"user_ids": None}, "user_ids_malformed", "null"),
        ({"user_ids": ["u1"], "user_id": "u1"}, "user_ids_malformed", "not both"),
        ({"user_ids": ["u1"], "on_active_window": "no"}, "on_active_window_unknown", "skip"),
        ({"user_ids": ["u1"], "not_after": 7}, "not_after_malformed", "ISO 8601"),
        ({"user_ids": ["u1"], "notAfter": "x"}, "field_misspelt", "not_after"),
    ],
)
def test_faulty_order_is_one_invalid_result(
    fields: dict[str, object], reason: str, detail: str
) -> None:
    refusal = refusal_of({"request_id": "o1", "correlation_id": "c1", **fields})

    assert (refusal.reason, refusal.user_id) == (reason, None)
    assert (refusal.request_id, refusal.correlation_id) == ("o1", "c1")
    assert detail in refusal.detail


def test_nested_deeply_order_is_read_or_invalid() -> None:
    for depth in range(900, 1001):
        try:
            read('{"user_ids": ' + "[" * depth + "]" * depth + "}")
        except InvalidRequestError as error:
            assert error.reason in ("malformed_json", "user_ids_malformed")  # noqa: PT017


def test_each_users_request_is_named_after_the_order_and_the_user() -> None:
    def parts(user_ids: list[Any], **fields: Any) -> list[Message]:
        message = message_of({"user_ids": user_ids, **fields})
        order = read_message(message, jmespath.compile("a"))
        assert isinstance(order, Order)
        return parts_of(message, order)

    first, second = parts(["u1", "u2"], request_id="o1", correlation_id="c1")
    [again] = parts(["u1"], request_id="o1")
    [other] = parts(["u1"], request_id="o2")

    assert first.message_id == again.message_id
    assert len({first.message_id, second.message_id, other.message_id}) == 3
    request = request_of(first.body, retry_state=first.retry_state)
    assert request == Request(first.message_id, "u1", Source.SQS, correlation_id="c1")


@pytest.mark.parametrize(
    ("user_id", "reason"),
    [(7, "user_id_not_a_string"), (None, "user_id_missing"), ("", "user_id_empty")],
)
def test_unusable_id_in_an_order_is_the_invalid_request_of_that_user_alone(
    user_id: object, reason: str
) -> None:
    message = message_of({"user_ids": [user_id, "u2"], "request_id": "o1"})
    faulty, good = parts_of(message, order_of(message.body))

    refusal = refusal_of(faulty.body, retry_state=faulty.retry_state)
    assert (refusal.reason, refusal.request_id) == (reason, faulty.message_id)
    assert request_of(good.body, retry_state=good.retry_state).user_id == "u2"


# What travels beside the body


def test_deferred_copy_keeps_its_name_and_source() -> None:
    state = RetryState("r0", Source.SWEEP, NOW)
    request = request_of({"user_id": "u1", "request_id": "r1"}, retry_state=state, request_id="r2")

    assert (request.request_id, request.source) == ("r0", "sweep")


def test_deferred_copy_that_became_invalid_keeps_its_name_and_source() -> None:
    refusal = refusal_of("{", retry_state=RetryState("r0", Source.SNS, NOW))

    assert (refusal.request_id, refusal.source) == ("r0", "sns")


def test_redriven_message_keeps_its_source() -> None:
    assert request_of({"user_id": "u1"}, original_source="direct").source == "direct"
    assert refusal_of("{", original_source="direct").source == "direct"


@pytest.mark.parametrize("value", [None, 7, "", " ", "x" * 129, *INVISIBLE])
def test_unusable_identifier_names_nothing(value: object) -> None:
    assert usable_id(value) is None


@pytest.mark.parametrize("value", ["r1", " r 1", "x" * MAX_ID_LENGTH, "ä"])
def test_usable_identifier_is_itself(value: str) -> None:
    assert usable_id(value) == value


# tests/cases


def case(name: str) -> str:
    return (CASES / f"{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "user_id"),
    [
        ("02a-space-around-user-id", "64f0c1a27be35d0012b00000"),
        ("16-bom-body", "64f0c1a27be35d0012b00010"),
        ("22a-number-correlation-id", "64f0c1a27be35d0012b00019"),
        ("22c-empty-correlation-id", "64f0c1a27be35d0012b0001b"),
        ("23a-not-after-date-only-today", "64f0c1a27be35d0012b0001f"),
    ],
)
def test_case_is_a_request(name: str, user_id: str) -> None:
    assert request_of(case(name)).user_id == user_id


def test_case_of_a_number_as_correlation_id_has_its_text() -> None:
    assert request_of(case("22a-number-correlation-id")).correlation_id == "88213"


def test_case_of_an_empty_correlation_id_has_none() -> None:
    assert request_of(case("22c-empty-correlation-id")).correlation_id is None


def test_case_of_a_date_is_not_over_in_the_last_second_of_that_day() -> None:
    not_after = request_of(case("23a-not-after-date-only-today")).not_after

    assert not_after is not None
    # 2026-11-26T00:00:00Z
    assert 1_795_651_199 < not_after < 1_795_651_200


def test_case_of_user_ids_on_the_queue_is_an_order() -> None:
    order = order_of(case("12-user-ids-on-queue-as-after-redrive"))

    assert order.user_ids == ["64f0c1a27be35d0012b0000e", "64f0c1a27be35d0012b0000f"]


@pytest.mark.parametrize(
    ("name", "reason", "detail"),
    [
        ("01-hubspot-number-user-id", "user_id_not_a_string", "a number; Partoo's ids are strings"),
        ("02d-zero-width-space-in-user-id", "user_id_unsafe_character", "zero-width"),
        ("06-eventbridge-detail-as-string", "unsupported_shape", "detail is a string"),
        ("07b-sns-around-sns", "unsupported_shape", "inside another"),
        ("09-input-transformer-quoted", "unsupported_shape", "a JSON string"),
        ("11-lambda-destination-envelope", "unsupported_shape", "Lambda destination"),
        ("15-s3-test-event", "unsupported_shape", "S3"),
        ("19-duplicate-keys", "duplicate_key", "user_id twice"),
        ("22f-capital-defer", "on_active_window_unknown", "skip or defer"),
        ("26-cloudevents-structured", "unsupported_shape", "CloudEvents"),
        ("36-eventbridge-through-pipe-body-object", "unsupported_shape", "send the record's body"),
        ("40-dynamodb-json", "user_id_not_a_string", "an object"),
        ("41-user-object", "user_id_missing", "UserIdPath is for EventBridge events"),
        ("90-camel-case-optional-fields", "field_misspelt", "request_id"),
    ],
)
def test_case_on_the_queue_is_invalid(name: str, reason: str, detail: str) -> None:
    refusal = refusal_of(case(name))

    assert refusal.reason == reason
    assert detail in refusal.detail


def test_case_of_a_capital_defer_names_the_user() -> None:
    assert refusal_of(case("22f-capital-defer")).user_id == "64f0c1a27be35d0012b0001e"


def test_case_of_camel_case_names_the_user_and_each_right_field() -> None:
    refusal = refusal_of(case("90-camel-case-optional-fields"))

    assert refusal.user_id == "8fd41cc611d14e3c91d9eee0"
    for right in ("request_id", "on_active_window", "not_after"):
        assert f"must be spelt {right}" in refusal.detail


@pytest.mark.parametrize(
    ("name", "reason", "detail"),
    [
        ("50-sns-event-direct-subscription", "unsupported_shape", "subscribe the request queue"),
        ("54-api-gateway-proxy-event", "unsupported_shape", "API Gateway"),
        ("61-hello-world-console-event", "user_id_missing", "has no user_id"),
        ("91-dry-run-to-reinvite", "dry_run_not_supported", "sweeps"),
    ],
)
def test_case_of_an_invocation_is_invalid(name: str, reason: str, detail: str) -> None:
    refusal = refusal_of(case(name), source=Source.DIRECT)

    assert (refusal.reason, refusal.source) == (reason, "direct")
    assert detail in refusal.detail


def test_case_of_an_array_as_detail_is_an_unsupported_shape() -> None:
    refusal = refusal_of(event_with(json.loads(case("93c-bus-detail-array"))))

    assert refusal.reason == "unsupported_shape"
    assert "send an object" in refusal.detail


def test_case_of_empty_fields_in_a_detail_is_a_request() -> None:
    request = request_of(event_with(json.loads(case("93d-bus-empty-optional-fields"))))

    assert request == Request("e1", "70f61f6b31404884beb175ec", Source.EVENTBRIDGE)


def test_every_reason_of_invalid_input_has_a_test_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    first = list(Reason).index(Reason.MALFORMED_JSON)

    missing = {
        reason
        for reason in list(Reason)[first:]
        if f'"{reason}"' not in text and not reason.endswith("_id_malformed")
    }
    assert missing == set()
