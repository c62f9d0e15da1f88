"""Real inputs (tests/cases/) and other input that is no request get their answer, deployed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.aws import LocalAws
from local.partoo.control import Answer
from ops.redrive import redrive
from tests.e2e.conftest import own_stack
from tests.e2e.outside import Outside

CASES = Path(__file__).parents[1] / "cases"
KEY, KEY_OF_CASES = "e2e-cases-key", "k3y-Abc_123"

SENT = {
    "02a-space-around-user-id": "64f0c1a27be35d0012b00000",
    "16-bom-body": "64f0c1a27be35d0012b00010",
    "22a-number-correlation-id": "64f0c1a27be35d0012b00019",
    "22c-empty-correlation-id": "64f0c1a27be35d0012b0001b",
}
INVALID = {
    "01-hubspot-number-user-id": ("user_id_not_a_string", "a number; Partoo's ids are strings"),
    "02d-zero-width-space-in-user-id": ("user_id_unsafe_character", "zero-width"),
    "06-eventbridge-detail-as-string": ("unsupported_shape", "detail is a string"),
    "07b-sns-around-sns": ("unsupported_shape", "inside another"),
    "09-input-transformer-quoted": ("unsupported_shape", "without quotes around it"),
    "11-lambda-destination-envelope": ("unsupported_shape", "Lambda destination"),
    "15-s3-test-event": ("unsupported_shape", "S3"),
    "19-duplicate-keys": ("duplicate_key", "user_id twice"),
    "22f-capital-defer": ("on_active_window_unknown", "skip or defer"),
    "26-cloudevents-structured": ("unsupported_shape", "CloudEvents"),
    "36-eventbridge-through-pipe-body-object": ("unsupported_shape", "send the record's body"),
    "40-dynamodb-json": ("user_id_not_a_string", "an object"),
    "41-user-object": ("user_id_missing", "UserIdPath is for EventBridge events"),
    "90-camel-case-optional-fields": ("field_misspelt", "must be spelt not_after"),
}
USERS_OF_INVALID = {
    "22f-capital-defer": "64f0c1a27be35d0012b0001e",
    "90-camel-case-optional-fields": "8fd41cc611d14e3c91d9eee0",
}
MALFORMED = {
    "this is not JSON": "malformed_json",
    "null": "not_an_object",
    '["a", "list"]': "not_an_object",
    '{"user_id": "   "}': "user_id_empty",
    json.dumps({"user_id": "x" * 5_000}): "user_id_too_long",
    '{"user_id": ".."}': "user_id_dot_segment",
    '{"user_id": "a\\r\\nx-APIKey: b"}': "user_id_unsafe_character",
    '{"user_id": "\\ud800"}': "user_id_unsafe_character",
    '{"user_id": "a", "not_after": "tomorrow"}': "not_after_malformed",
    '{"user_id": "a", "request_id": true}': "request_id_malformed",
    '{"user_id": "a", "correlation_id": {}}': "correlation_id_malformed",
    '{"user_ids": []}': "user_ids_malformed",
}


def text_of(case: str) -> str:
    return (CASES / f"{case}.json").read_text(encoding="utf-8")


def document_of(case: str) -> Any:
    return json.loads(text_of(case))


@pytest.fixture(scope="module")
def stack(own_aws: LocalAws, deployed_template: Path) -> Iterator[Outside]:
    with own_stack(own_aws, deployed_template, "cases", PendingEventSource="crm") as cases:
        yield cases


# The request queue


def test_request_of_a_case_is_sent_to_the_user_that_its_text_names(stack: Outside) -> None:
    for user in SENT.values():
        stack.invited_user_named(user)

    requests = {case: stack.send(text_of(case)) for case in SENT}

    results = stack.results(requests.values())
    assert {results[name]["status"] for name in requests.values()} == {"sent"}
    assert {case: results[name]["user_id"] for case, name in requests.items()} == SENT
    assert [len(stack.partoo.emails(user)) for user in SENT.values()] == [1] * len(SENT)
    assert results[requests["22a-number-correlation-id"]]["correlation_id"] == "88213"
    assert results[requests["22c-empty-correlation-id"]]["correlation_id"] is None


def test_invalid_case_is_answered_with_a_sentence_and_kept_untouched(stack: Outside) -> None:
    calls = len(stack.partoo.calls())

    requests = {case: stack.send(text_of(case)) for case in INVALID}
    # An event's own id names its request.
    requests["06-eventbridge-detail-as-string"] = "1be6caad-1d6b-4934-a79a-e1533360283a"

    results = stack.results(requests.values())
    answers = {case: results[name] for case, name in requests.items()}
    assert {answer["status"] for answer in answers.values()} == {"invalid"}
    assert {case: answer["reason"] for case, answer in answers.items()} == {
        case: reason for case, (reason, _) in INVALID.items()
    }
    assert [
        case for case, (_, part) in INVALID.items() if part not in answers[case]["detail"]
    ] == []
    named = {case: answers[case]["user_id"] for case in USERS_OF_INVALID}
    assert named == USERS_OF_INVALID
    assert len(stack.dead_letters(text_of(case) for case in INVALID)) == len(INVALID)
    assert len(stack.partoo.calls()) == calls


def test_malformed_messages_are_refused_kept_and_hold_nobody_up(stack: Outside) -> None:
    refused, good = {}, []
    for body in MALFORMED:
        refused[body] = stack.send(body)
        good.append(stack.send({"user_id": stack.invited_user()}))

    results = stack.results([*refused.values(), *good])

    assert {results[name]["status"] for name in good} == {"sent"}
    assert {body: results[name]["reason"] for body, name in refused.items()} == MALFORMED
    letters = stack.dead_letters(MALFORMED)
    assert {body: letters[body].attributes["reason"] for body in MALFORMED} == MALFORMED


def test_order_on_the_queue_invites_each_user_once_also_from_the_dead_letter_queue(
    stack: Outside,
) -> None:
    order = document_of("12-user-ids-on-queue-as-after-redrive")
    again = {"user_ids": [stack.invited_user() for _ in range(2)]}
    users = [stack.invited_user_named(user) for user in order["user_ids"]] + again["user_ids"]
    dead_letter_queue = stack.stack.dead_letter_queue_url
    stack.sqs.send_message(QueueUrl=dead_letter_queue, MessageBody=json.dumps(again))

    stack.send(order)
    redrive(stack.sqs, dead_letter_queue, stack.stack.request_queue_url, report=print)

    stack.wait(lambda: all(stack.partoo.emails(user) for user in users))
    stack.wait_until_idle()
    assert [len(stack.partoo.emails(user)) for user in users] == [1] * 4


def test_message_with_ten_attributes_is_deferred_and_sent_and_the_log_names_those_dropped(
    stack: Outside,
) -> None:
    case = document_of("13b-ten-attributes-and-trace-header-deferred")
    user = stack.invited_user_named(json.loads(case["MessageBody"])["user_id"])
    stack.partoo.script(user, Answer(status=429, headers={"Retry-After": "1"}))

    sent = stack.sqs.send_message(QueueUrl=stack.stack.request_queue_url, **case)

    assert stack.result(sent["MessageId"])["status"] == "sent"
    logs = [line for line in stack.logs().splitlines() if "message attributes dropped" in line]
    assert json.loads(logs[0])["dropped"] == ["crm-6", "crm-7", "crm-8"]


def test_date_of_today_is_a_deadline_that_is_not_over(stack: Outside) -> None:
    case = document_of("23a-not-after-date-only-today")
    stack.invited_user_named(case["user_id"])

    today = datetime.now(UTC).date().isoformat()
    result = stack.result(stack.send({**case, "not_after": today}))

    assert result["status"] == "sent"


def test_user_id_reaches_the_api_as_one_segment_whatever_its_characters(stack: Outside) -> None:
    user = stack.invited_user_named("../../admin?x=1#y/%2e%2e/é")

    result = stack.result(stack.send({"user_id": user}))

    assert result["status"] == "sent"
    (call,) = stack.partoo.calls(user)
    assert call.path == "/v2/user/..%2F..%2Fadmin%3Fx%3D1%23y%2F%252e%252e%2F%C3%A9/invite"


# The bus


def test_blank_fields_of_an_event_count_as_absent(stack: Outside) -> None:
    detail = document_of("93d-bus-empty-optional-fields")
    stack.invited_user_named(detail["user_id"])

    result = stack.result(stack.put_event(detail))

    assert (result["status"], result["correlation_id"]) == ("sent", None)


def test_event_whose_detail_is_an_array_is_answered_with_what_detail_must_be(
    stack: Outside,
) -> None:
    event = {"id": "93c", "source": "crm", "detail-type": "user pending"}
    # EventBridge itself takes no array; a queue does.
    stack.send({**event, "detail": document_of("93c-bus-detail-array")})

    result = stack.result("93c")
    assert (result["status"], result["reason"]) == ("invalid", "unsupported_shape")
    assert "send an object" in result["detail"]


# Invocations


@pytest.mark.parametrize(
    ("case", "reason", "detail"),
    [
        ("50-sns-event-direct-subscription", "unsupported_shape", "subscribe the request queue"),
        ("54-api-gateway-proxy-event", "unsupported_shape", "API Gateway"),
        ("61-hello-world-console-event", "user_id_missing", "has no user_id"),
        ("91-dry-run-to-reinvite", "dry_run_not_supported", "sweeps"),
    ],
)
def test_invocation_with_an_invalid_case_is_answered_and_published(
    stack: Outside, case: str, reason: str, detail: str
) -> None:
    (answer,) = stack.invoke(document_of(case))["results"]

    assert (answer["status"], answer["reason"]) == ("invalid", reason)
    assert detail in answer["detail"]
    assert stack.result(answer["request_id"]) == answer


@pytest.mark.parametrize(
    ("case", "missing"),
    [
        ("52-trimmed-console-sqs-event", "attributes"),
        ("52b-sqs-record-without-message-id", "messageId"),
    ],
)
def test_event_of_sqs_that_lacks_a_field_is_an_error_that_names_it(
    stack: Outside, case: str, missing: str
) -> None:
    answer = stack.invoke(document_of(case))

    assert f"has no {missing}" in answer["errorMessage"]


# The secret


@pytest.fixture
def stack_of_key(stack: Outside) -> Iterator[Outside]:
    """A stack whose API takes the key of the cases only."""
    stack.partoo.set_key(KEY_OF_CASES)
    yield stack
    stack.partoo.set_key(KEY)
    stack.put_secret(KEY)
    stack.restart_function()


@pytest.mark.parametrize("case", ["85d-bom-secret", "85i-json-quoted-secret"])
def test_key_is_taken_from_a_secret_with_a_bom_or_quotes(stack_of_key: Outside, case: str) -> None:
    stack_of_key.put_secret(document_of(case)["SecretString"])
    stack_of_key.restart_function()

    (answer,) = stack_of_key.invoke({"user_id": stack_of_key.invited_user()})["results"]

    assert answer["status"] == "sent"


@pytest.mark.parametrize(
    ("case", "form"),
    [
        ("85f-json-apiKey-secret", "an object without api_key"),
        ("85p-console-default-secret", "an object without api_key"),
        ("85k-header-line-secret", "a line with a name and a value"),
        ("85l-array-secret", "an array"),
    ],
)
def test_request_waits_while_the_secret_holds_no_key_and_the_log_names_its_form(
    stack_of_key: Outside, case: str, form: str
) -> None:
    user = stack_of_key.invited_user()
    stack_of_key.put_secret(document_of(case)["SecretString"])
    stack_of_key.restart_function()

    (answer,) = stack_of_key.invoke({"user_id": user, "request_id": case})["results"]
    stack_of_key.put_secret(KEY_OF_CASES)

    assert (answer["status"], answer["reason"]) == ("queued", "key_unavailable")
    assert stack_of_key.result(case)["status"] == "sent"
    assert len(stack_of_key.partoo.calls(user)) == 1
    errors = [line for line in stack_of_key.logs().splitlines() if f'"{case}"' in line]
    assert any(f"the secret holds no key: it is {form}" in line for line in errors)
    assert not any(KEY_OF_CASES in line for line in errors)
