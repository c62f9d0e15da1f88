"""Real inputs (tests/cases/) get their answer on a deployed stack."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local.partoo.control import Answer
from ops.redrive import redrive
from tests.e2e.outside import Outside

CASES = Path(__file__).parents[1] / "cases"
KEY, KEY_OF_CASES = "e2e-default-key", "k3y-Abc_123"

SENT = {
    "02a-space-around-user-id": "64f0c1a27be35d0012b00000",
    "16-bom-body": "64f0c1a27be35d0012b00010",
    "22a-number-correlation-id": "64f0c1a27be35d0012b00019",
    "22c-empty-correlation-id": "64f0c1a27be35d0012b0001b",
    "23a-not-after-date-only-today": "64f0c1a27be35d0012b0001f",
}
INVALID = {
    "01-hubspot-number-user-id": ("user_id_not_a_string", "a number; Partoo's ids are strings"),
    "02d-zero-width-space-in-user-id": ("user_id_unsafe_character", "zero-width"),
    "06-eventbridge-detail-as-string": ("unsupported_shape", "detail is a string"),
    "07b-sns-around-sns": ("unsupported_shape", "inside another"),
    "09-input-transformer-quoted": ("unsupported_shape", "without quotes around it"),
    "11-lambda-destination-envelope": ("unsupported_shape", "Lambda destination"),
    "15-s3-test-event": ("unsupported_shape", "S3"),
    "19-duplicate-keys": ("duplicate_key", "key twice"),
    "22f-capital-defer": ("on_active_window_unknown", "skip or defer"),
    "26-cloudevents-structured": ("unsupported_shape", "CloudEvents"),
    "36-eventbridge-through-pipe-body-object": ("unsupported_shape", "send the record's body"),
    "40-dynamodb-json": ("user_id_not_a_string", "an object"),
    "41-user-object": ("user_id_missing", "UserIdPath is for EventBridge events"),
    "90-camel-case-optional-fields": ("field_misspelt", "on_active_window, not_after"),
}
USERS_OF_INVALID = {
    "22f-capital-defer": "64f0c1a27be35d0012b0001e",
    "90-camel-case-optional-fields": "8fd41cc611d14e3c91d9eee0",
}
INVOKED = {
    "50-sns-event-direct-subscription": ("unsupported_shape", "subscribe the request queue"),
    "54-api-gateway-proxy-event": ("unsupported_shape", "API Gateway"),
    "61-hello-world-console-event": ("user_id_missing", "has no user_id"),
    "91-dry-run-to-reinvite": ("dry_run_not_supported", "sweeps"),
}


def text_of(case: str) -> str:
    return (CASES / f"{case}.json").read_text(encoding="utf-8")


def document_of(case: str) -> Any:
    return json.loads(text_of(case))


def assert_invalid(answer: dict[str, str], reason: str, words: str) -> None:
    assert (answer["status"], answer["reason"]) == ("invalid", reason)
    assert words in answer["detail"]


# The request queue


def test_request_of_a_case_is_sent_to_the_user_that_its_text_names(stack: Outside) -> None:
    for user in SENT.values():
        stack.invited_user(named=user)
    texts = {case: text_of(case) for case in SENT}
    today = {
        "user_id": SENT["23a-not-after-date-only-today"],
        "not_after": datetime.now(UTC).date().isoformat(),
    }
    texts["23a-not-after-date-only-today"] = json.dumps(today)

    requests = {case: stack.send(text) for case, text in texts.items()}

    results = stack.results(requests.values())
    assert {case: results[name]["user_id"] for case, name in requests.items()} == SENT
    assert {result["status"] for result in results.values()} == {"sent"}
    assert [len(stack.partoo.emails(user)) for user in SENT.values()] == [1] * len(SENT)
    assert results[requests["22a-number-correlation-id"]]["correlation_id"] == "88213"
    assert results[requests["22c-empty-correlation-id"]]["correlation_id"] is None


def test_invalid_message_is_answered_with_a_sentence_kept_untouched_and_holds_nobody_up(
    stack: Outside,
) -> None:
    calls = len(stack.partoo.calls())
    # EventBridge itself takes no array as detail; a queue does.
    event = {"id": "93c", "source": "crm", "detail-type": "user pending"}
    of_array = json.dumps({**event, "detail": document_of("93c-bus-detail-array")})
    expected = {text_of(case): answer for case, answer in INVALID.items()}
    expected[of_array] = ("unsupported_shape", "send an object")
    requests = {text: stack.send(text) for text in expected}
    # An event's own id names its request.
    requests[text_of("06-eventbridge-detail-as-string")] = "1be6caad-1d6b-4934-a79a-e1533360283a"
    requests[of_array] = "93c"
    good = stack.send({"user_id": stack.invited_user()})

    results = stack.results([*requests.values(), good])

    answers = {text: results[name] for text, name in requests.items()}
    letters = stack.dead_letters(expected)
    for text, (reason, words) in expected.items():
        assert_invalid(answers[text], reason, words)
        assert letters[text]["reason"] == reason
    named = {case: answers[text_of(case)]["user_id"] for case in USERS_OF_INVALID}
    assert named == USERS_OF_INVALID
    assert results[good]["status"] == "sent"
    assert len(stack.partoo.calls()) == calls + 1


def test_order_on_the_queue_invites_each_user_once_also_from_the_dead_letter_queue(
    stack: Outside,
) -> None:
    order = document_of("12-user-ids-on-queue-as-after-redrive")
    again = {"user_ids": [stack.invited_user() for _ in range(2)]}
    users = [stack.invited_user(named=user) for user in order["user_ids"]] + again["user_ids"]
    dead_letter_queue = stack.stack.dead_letter_queue_url
    stack.sqs.send_message(QueueUrl=dead_letter_queue, MessageBody=json.dumps(again))

    stack.send(order)
    redrive(stack.sqs, dead_letter_queue, stack.stack.request_queue_url)

    stack.wait(lambda: all(stack.partoo.emails(user) for user in users))
    stack.wait_until_idle()
    assert [len(stack.partoo.emails(user)) for user in users] == [1] * 4


def test_message_with_ten_attributes_is_deferred_and_sent_and_the_log_names_those_dropped(
    stack: Outside,
) -> None:
    case = document_of("13b-ten-attributes-and-trace-header-deferred")
    user = stack.invited_user(named=json.loads(case["MessageBody"])["user_id"])
    stack.partoo.script(user, Answer(status=429, headers={"Retry-After": "1"}))

    sent = stack.sqs.send_message(QueueUrl=stack.stack.request_queue_url, **case)

    assert stack.result(sent["MessageId"])["status"] == "sent"
    logs = [line for line in stack.logs().splitlines() if "message attributes dropped" in line]
    assert json.loads(logs[0])["dropped"] == ["crm-6", "crm-7", "crm-8"]


# The bus


def test_blank_fields_of_an_event_count_as_absent(stack: Outside) -> None:
    detail = document_of("93d-bus-empty-optional-fields")
    stack.invited_user(named=detail["user_id"])

    result = stack.result(stack.put_event(detail))

    assert (result["status"], result["correlation_id"]) == ("sent", None)


# Invocations


def test_invocation_with_an_invalid_case_is_answered_and_published(stack: Outside) -> None:
    answers = {case: stack.invoke(document_of(case))["results"][0] for case in INVOKED}

    for case, (reason, words) in INVOKED.items():
        assert_invalid(answers[case], reason, words)
    published = stack.results(each["request_id"] for each in answers.values())
    assert published == {each["request_id"]: each for each in answers.values()}


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
    assert f"has no {missing}" in stack.invoke(document_of(case))["errorMessage"]


# The secret


@pytest.fixture
def stack_of_key(stack: Outside) -> Iterator[Outside]:
    """A stack whose API takes the key of the cases only."""
    stack.partoo.set_key(KEY_OF_CASES)
    yield stack
    stack.partoo.set_key(KEY)
    stack.put_secret(KEY)
    stack.restart_function()


def invite_with_secret(stack: Outside, case: str) -> Any:
    """Invite a user with a case's secret; the request has the case's name."""
    stack.put_secret(document_of(case)["SecretString"])
    stack.restart_function()
    request = {"user_id": stack.invited_user(), "request_id": case}
    return stack.invoke(request)["results"][0]


def test_requests_wait_while_the_secret_holds_no_key_and_the_log_names_its_form(
    stack_of_key: Outside,
) -> None:
    json_without_key = "JSON that is invalid or has no string in api_key"
    forms = {
        "85f-json-apiKey-secret": json_without_key,
        "85p-console-default-secret": json_without_key,
        "85k-header-line-secret": "a line with a name and a value",
        "85l-array-secret": json_without_key,
    }
    answers = [invite_with_secret(stack_of_key, case) for case in forms]
    # A key with a BOM or in quotes is taken.
    usable = ("85d-bom-secret", "85i-json-quoted-secret")
    sent = [invite_with_secret(stack_of_key, case)["status"] for case in usable]

    results = stack_of_key.results(forms)

    assert {each["reason"] for each in answers} == {"key_unavailable"}
    assert sent == ["sent", "sent"]
    assert {each["status"] for each in results.values()} == {"sent"}
    lines = stack_of_key.logs().splitlines()
    for case, form in forms.items():
        errors = "".join(line for line in lines if f'"{case}"' in line)
        assert f"the secret holds no key but {form}" in errors
        assert KEY_OF_CASES not in errors
