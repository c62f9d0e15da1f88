"""What a body may be: JSON, an event, a notification; and the shapes of other services."""

import json
from typing import Any

import pytest

from invitations.results import Source
from tests.unit.test_requests import BODY, EVENT, order_of, refusal_of, request_of

NOTIFICATION = {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:111122223333:topic"}
FOREIGN = "unsupported_shape"


def event_with(detail: object) -> dict[str, object]:
    return {**EVENT, "detail": detail}


def notification(text: object) -> dict[str, object]:
    return {**NOTIFICATION, "Message": text if isinstance(text, str) else json.dumps(text)}


@pytest.mark.parametrize(
    ("body", "fields", "request_id", "source"),
    [
        (BODY, {}, "m1", "sqs"),
        (BODY, {"source": Source.DIRECT}, "m1", "direct"),
        (BODY, {"message_id": "i1"}, "i1", "sqs"),
        (EVENT, {"message_id": "i1"}, "e1", "eventbridge"),
        *[({**EVENT, "id": unusable}, {}, "m1", "eventbridge") for unusable in (" ", None, 1.5)],
        (notification(BODY), {}, "m1", "sns"),
        (notification(EVENT), {}, "e1", "sns"),
        (notification('\ufeff{"user_id": "u1"}'), {}, "m1", "sns"),
        # An object that names a user is a request, whatever else it contains.
        ({**BODY, "Type": "Notification", "Message": "{}"}, {}, "m1", "sqs"),
        ({**BODY, "Records": []}, {}, "m1", "sqs"),
        # What a redriven message and a deferred copy bring along.
        (EVENT, {"given_request_id": "r0", "source": Source.SNS}, "r0", "sns"),
        ({**BODY, "request_id": "r1"}, {"given_request_id": "r0"}, "r1", "sqs"),
    ],
)
def test_request_is_taken_out_of_its_envelopes_with_their_name_and_source(
    body: object, fields: dict[str, Any], request_id: str, source: str
) -> None:
    request = request_of(body, **fields)

    assert request.user_id == "u1"
    assert (request.request_id, request.message.source) == (request_id, source)


def test_notification_may_contain_an_order_and_an_event_may_not() -> None:
    assert order_of(notification({"user_ids": ["u1"]})).message.source == "sns"
    assert request_of(event_with({"user_id": "u1", "user_ids": ["u2"]})).user_id == "u1"
    assert refusal_of(event_with({"user_ids": ["u2"]})).reason == "user_id_missing"


@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        # No JSON
        ("", "malformed_json", "not valid JSON"),
        ('{"user_id": "u1", "since": NaN}', "malformed_json", "NaN is no JSON"),
        ('{\n  user_id: "u1"}', "malformed_json", "line 2 column 3"),
        ("[" * 100_000, "malformed_json", "not valid JSON"),
        ('{"user_id": ' + "9" * 5_000 + "}", "malformed_json", "not valid JSON"),
        # No object
        ("null", "not_an_object", "The message is null; send a JSON object with a user_id."),
        ("[1]", "not_an_object", "is an array;"),
        # A key twice
        ('{"user_id": "u1", "user_id": "u2"}', "duplicate_key", "has the same key twice"),
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
    assert detail in str(refusal.detail)
    assert str(refusal.detail).endswith(".")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"user_id": 7}, "user_id_not_a_string"),
        (event_with("text"), FOREIGN),
        ("[]", "not_an_object"),
    ],
)
def test_fault_inside_a_notification_has_source_sns(content: object, reason: str) -> None:
    refusal = refusal_of(notification(content))

    assert (refusal.reason, refusal.source) == (reason, "sns")


def test_invalid_body_has_the_name_and_the_source_of_its_message() -> None:
    refusal = refusal_of("{", given_request_id="r0", source=Source.SNS)

    assert (refusal.request_id, refusal.source) == ("r0", "sns")


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


@pytest.mark.parametrize(
    "path",
    ["detail.nothing", "to_string(detail.none)", "detail.list[::0]", "detail.text"],
)
def test_path_that_yields_nothing_is_a_missing_user_id(path: str) -> None:
    detail = {"user_id": "u1", "none": None, "list": [1], "text": "null"}
    refusal = refusal_of(event_with(detail), path)

    assert (refusal.reason, refusal.request_id) == ("user_id_missing", "e1")
    assert "UserIdPath" in str(refusal.detail)
