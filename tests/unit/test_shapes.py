"""What a body may be: JSON, an event, a notification; and the shapes of other services."""

import json

import pytest

from invitations.requests import InvalidRequestError, Request
from invitations.results import Source
from tests.unit.test_requests import EVENT, read, refusal_of, request_of, summary


def event_with(detail: object) -> dict[str, object]:
    return {**EVENT, "detail": detail}


def notification(text: object) -> dict[str, object]:
    return {
        "Type": "Notification",
        "TopicArn": "arn:aws:sns:eu-west-1:111122223333:topic",
        "Message": text if isinstance(text, str) else json.dumps(text),
    }


@pytest.mark.parametrize(
    ("body", "which"),
    [
        ('{"user_id": "u1", "user_id": "u2"}', "the key user_id"),
        ('{"user_id": "u1", "crm": {"name": 1, "name": 1}}', "the key name"),
        # Another text could be an e-mail address.
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
        "{'user_id': 'u1'}",
        '{"user_id": "u1", "score": NaN}',
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


def test_deeply_nested_order_is_read_or_invalid() -> None:
    reasons = {"read"}
    for depth in range(900, 1001):
        try:
            read('{"user_ids": ' + "[" * depth + "]" * depth + "}")
        except InvalidRequestError as error:
            reasons.add(error.reason)

    assert reasons <= {"read", "malformed_json", "user_ids_malformed"}


@pytest.mark.parametrize(
    ("body", "kind"),
    [("null", "null"), ("12", "a number"), ("true", "true or false"), ("[1]", "an array")],
)
def test_body_that_is_no_object_is_invalid_in_the_words_of_json(body: str, kind: str) -> None:
    refusal = refusal_of(body)

    assert refusal.reason == "not_an_object"
    assert refusal.detail == f"The body is {kind}; send a JSON object with a user_id."


def test_user_id_path_finds_the_users_id_anywhere_in_an_event() -> None:
    event = event_with({"contacts": [{"userId": " u7 "}], "user_id": "u1"})

    assert request_of(event, "detail.contacts[0].userId").user_id == "u7"


def test_events_detail_may_have_the_fields_of_a_request_and_call_the_users_id_as_it_likes() -> None:
    detail = {"userId": "u1", "request_id": 7, "on_active_window": "defer"}
    request = request_of(event_with(detail), "detail.userId")

    assert summary(request) == ("7", "u1", Source.EVENTBRIDGE, "defer", None, None)


@pytest.mark.parametrize("event_id", [" ", None, 7, "a\nb", "x" * 129])
def test_event_with_an_unusable_id_is_named_after_its_message(event_id: object) -> None:
    assert request_of({**EVENT, "id": event_id}).request_id == "m1"
    assert refusal_of({**EVENT, "id": event_id, "detail": {}}).request_id == "m1"


@pytest.mark.parametrize(
    "path",
    [
        "detail.nothing",
        "to_string(detail.none)",
        "to_string(detail.nothing)",
        "detail.user_id.deeper",
        "length(detail.none)",
        "detail.list[::0]",
        "avg(detail.huge)",
        "detail.text",
    ],
)
def test_path_that_yields_nothing_is_a_missing_user_id(path: str) -> None:
    detail = {"user_id": "u1", "none": None, "list": [1], "huge": [10**400], "text": "null"}
    refusal = refusal_of(event_with(detail), path)

    assert (refusal.reason, refusal.request_id) == ("user_id_missing", "e1")
    assert "UserIdPath" in refusal.detail


@pytest.mark.parametrize(
    ("detail", "kind"),
    [('{"user_id": "u1"}', "a string"), ([{"user_id": "u1"}], "an array"), (None, "null")],
)
def test_events_detail_that_is_no_object_is_an_unsupported_shape(detail: object, kind: str) -> None:
    refusal = refusal_of(event_with(detail), "detail")

    assert (refusal.reason, refusal.source) == ("unsupported_shape", "eventbridge")
    assert (refusal.request_id, refusal.user_id) == ("e1", None)
    assert refusal.detail.startswith(f"The event's detail is {kind}; send an object")


def test_user_ids_in_an_events_detail_are_no_order() -> None:
    assert isinstance(read(event_with({"user_id": "u1", "user_ids": ["u2"]})), Request)
    assert refusal_of(event_with({"user_ids": ["u2"]})).reason == "user_id_missing"


@pytest.mark.parametrize(
    ("body", "request_id", "source"),
    [
        (EVENT, "e1", "eventbridge"),
        (notification({"user_id": "u1"}), "m1", "sns"),
        (notification(EVENT), "e1", "sns"),
        # A byte order mark is skipped.
        ('\ufeff{"user_id": "u1"}', "m1", "sqs"),
        (notification('\ufeff{"user_id": "u1"}'), "m1", "sns"),
        # An object that names a user is a request, whatever else it contains.
        ({"user_id": "u1", "Type": "Notification", "Message": "{}"}, "m1", "sqs"),
        ({"user_id": "u1", "Records": []}, "m1", "sqs"),
        ({"user_id": "u1", "requestContext": {}, "body": "{}"}, "m1", "sqs"),
    ],
)
def test_request_is_taken_out_of_its_envelopes(body: object, request_id: str, source: str) -> None:
    assert summary(request_of(body)) == (request_id, "u1", source, "skip", None, None)


def test_notification_may_contain_an_order() -> None:
    assert read(notification({"user_ids": ["u1"]})).source == "sns"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello", "malformed_json"),
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
    ("body", "instead"),
    [
        ({"Service": "Amazon S3", "Event": "s3:TestEvent"}, "test event of an S3 notification"),
        ({"Records": [{"eventSource": "aws:s3", "s3": {}}]}, "notification of S3"),
        ({"Records": [{"eventSource": "aws:kinesis"}]}, "send each record's request"),
        (
            {"Records": [{"EventSource": "aws:sns"}]},
            "subscribe the request queue, not the function",
        ),
        ([{"messageId": "m", "body": "{}"}], "send each element by itself"),
        ({"messageId": "m", "body": "{}"}, "send the record's body"),
        ({"MessageId": "m", "Body": "{}"}, "send its Body"),
        ({"requestContext": {"http": {}}, "headers": {}, "body": "{}"}, "send its body"),
        ({"httpMethod": "POST", "body": None}, "API Gateway"),
        ({"specversion": "1.0", "type": "t", "source": "s"}, "send its data"),
        ({"requestContext": {}, "requestPayload": {"user_id": "u1"}}, "send its requestPayload"),
        ({"Type": "SubscriptionConfirmation", "TopicArn": "a"}, "subscribe the queue by its ARN"),
        ({"Type": "UnsubscribeConfirmation"}, "subscribe the queue again"),
        ({"Type": "Notification", "TopicArn": "a", "Message": {}}, "publish the request as text"),
        ({"Source": "crm", "DetailType": "t", "Detail": "{}"}, "put it on the event bus"),
        ('"{\\"user_id\\": \\"u1\\"}"', "send the object itself"),
    ],
)
def test_foreign_shape_is_named_with_what_to_send_instead(body: object, instead: str) -> None:
    refusal = refusal_of(body)

    assert (refusal.reason, refusal.user_id) == ("unsupported_shape", None)
    assert instead in refusal.detail
    assert refusal.detail.endswith(".")


@pytest.mark.parametrize("document", [{}, {"user": {"id": "u1"}}, {"body": "x"}])
def test_any_other_object_without_user_id_is_told_which_field_is_read(
    document: dict[str, object],
) -> None:
    refusal = refusal_of(document)

    assert refusal.reason == "user_id_missing"
    assert "has no user_id" in refusal.detail
    assert "UserIdPath is for EventBridge events" in refusal.detail
