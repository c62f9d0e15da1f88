"""What a body may be: JSON, an event, a notification; and the shapes of other services."""

import json

import pytest

from invitations.requests import Request
from tests.unit.test_requests import EVENT, read, refusal_of, request_of

NOTIFICATION = {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:111122223333:topic"}
FOREIGN = "unsupported_shape"


def event_with(detail: object) -> dict[str, object]:
    return {**EVENT, "detail": detail}


def notification(text: object) -> dict[str, object]:
    return {**NOTIFICATION, "Message": text if isinstance(text, str) else json.dumps(text)}


@pytest.mark.parametrize(
    ("body", "request_id", "source"),
    [
        (EVENT, "e1", "eventbridge"),
        (notification({"user_id": "u1"}), "m1", "sns"),
        (notification(EVENT), "e1", "sns"),
        (notification('\ufeff{"user_id": "u1"}'), "m1", "sns"),
        # An object that names a user is a request, whatever else it contains.
        ({"user_id": "u1", "Type": "Notification", "Message": "{}"}, "m1", "sqs"),
        ({"user_id": "u1", "Records": []}, "m1", "sqs"),
    ],
)
def test_request_is_taken_out_of_its_envelopes(body: object, request_id: str, source: str) -> None:
    request = request_of(body)

    assert (request.user_id, request.request_id, request.source) == ("u1", request_id, source)


def test_notification_may_contain_an_order_and_an_event_may_not() -> None:
    assert read(notification({"user_ids": ["u1"]})).source == "sns"
    assert isinstance(read(event_with({"user_id": "u1", "user_ids": ["u2"]})), Request)
    assert refusal_of(event_with({"user_ids": ["u2"]})).reason == "user_id_missing"


@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        # No JSON
        ("", "malformed_json", "not valid JSON"),
        ('{\n  user_id: "u1"}', "malformed_json", "(line 2, column 3)"),
        ("[" * 100_000, "malformed_json", "not valid JSON"),
        ('{"user_id": ' + "9" * 5_000 + "}", "malformed_json", "not valid JSON"),
        # No object
        ("null", "not_an_object", "The body is null; send a JSON object with a user_id."),
        ("[1]", "not_an_object", "is an array;"),
        # A key twice
        ('{"user_id": "u1", "user_id": "u2"}', "duplicate_key", "has the key user_id twice"),
        # Another text could be an e-mail address.
        ('{"a@example.com": 1, "a@example.com": 2}', "duplicate_key", "has a key twice"),
        # Shapes of other services; tests/e2e/test_cases.py sends more of them
        ({"Records": [{"eventSource": "aws:s3", "s3": {}}]}, FOREIGN, "notification of S3"),
        ({"Records": [{"eventSource": "aws:kinesis"}]}, FOREIGN, "send each record's request"),
        ([{"messageId": "m", "body": "{}"}], FOREIGN, "send each element by itself"),
        ({"MessageId": "m", "Body": "{}"}, FOREIGN, "send its Body"),
        ({"httpMethod": "POST", "body": None}, FOREIGN, "API Gateway"),
        ({"Type": "SubscriptionConfirmation", "SubscribeURL": "u"}, FOREIGN, "queue by its ARN"),
        ({"Source": "crm", "DetailType": "t", "Detail": "{}"}, FOREIGN, "put it on the event bus"),
    ],
)
def test_body_that_is_no_request_is_invalid_and_the_detail_says_what_to_send(
    body: object, reason: str, detail: str
) -> None:
    refusal = refusal_of(body)

    assert (refusal.reason, refusal.user_id, refusal.request_id) == (reason, None, "m1")
    assert detail in refusal.detail
    assert refusal.detail.endswith(".")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"user_id": 7}', "user_id_not_a_string"),
        (json.dumps(event_with("text")), FOREIGN),
        ("[]", "not_an_object"),
    ],
)
def test_fault_inside_a_notification_has_source_sns(text: str, reason: str) -> None:
    refusal = refusal_of(notification(text))

    assert (refusal.reason, refusal.source) == (reason, "sns")


# Events


@pytest.mark.parametrize(
    ("detail", "path"),
    [
        ({"contacts": [{"userId": " u7 "}], "user_id": "u1"}, "detail.contacts[0].userId"),
        # A name that would be misspelt in a request is the deployer's choice here.
        ({"userId": "u7"}, "detail.userId"),
    ],
)
def test_user_id_path_finds_the_users_id_anywhere_in_an_event(detail: object, path: str) -> None:
    assert request_of(event_with(detail), path).user_id == "u7"


@pytest.mark.parametrize("event_id", [" ", None, 7])
def test_event_with_an_unusable_id_is_named_after_its_message(event_id: object) -> None:
    assert request_of({**EVENT, "id": event_id}).request_id == "m1"
    assert refusal_of({**EVENT, "id": event_id, "detail": {}}).request_id == "m1"


@pytest.mark.parametrize(
    "path",
    [
        "detail.nothing",
        "to_string(detail.none)",
        "detail.user_id.deeper",
        "detail.list[::0]",
        "detail.text",
    ],
)
def test_path_that_yields_nothing_is_a_missing_user_id(path: str) -> None:
    detail = {"user_id": "u1", "none": None, "list": [1], "text": "null"}
    refusal = refusal_of(event_with(detail), path)

    assert (refusal.reason, refusal.request_id) == ("user_id_missing", "e1")
    assert "UserIdPath" in refusal.detail
