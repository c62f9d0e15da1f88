"""The published schemas, the code and the sample events agree."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import jmespath
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from invitations.messages import Message, RetryState
from invitations.requests import InvalidRequestError, Order, Request, read_message
from invitations.results import Reason, Result, Source, Status, invalid_result, request_result
from tests.fakes import a_request

REPOSITORY = Path(__file__).parents[2]
EVENTS = REPOSITORY / "events"
NOW = 1_800_000_000.0
USER_ID_PATH = jmespath.compile("detail.user_id")
STATE = RetryState("r1", Source.SQS, NOW, attempts=1, http_status=200)
REQUEST = a_request(state=STATE)
SENT = request_result(
    REQUEST, Status.SENT, Reason.INVITED, NOW, window_ends_at=NOW + 300, sent_count=1
)


def load_schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((REPOSITORY / "schemas" / name).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return schema


REQUEST_SCHEMA = load_schema("request-1.1.json")
RESULT_SCHEMA = load_schema("result-1.1.json")
REQUESTS = Draft202012Validator(REQUEST_SCHEMA)
RESULTS = Draft202012Validator(RESULT_SCHEMA, format_checker=FormatChecker())


def published(result: Result) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(result.to_json())
    return fields


def message_of(body: str, source: Source = Source.SQS) -> Message:
    return Message("m1", body, source, sent_at=NOW, received_at=NOW)


def read(body: str, source: Source = Source.SQS) -> Request | Order | InvalidRequestError:
    try:
        return read_message(message_of(body, source), USER_ID_PATH)
    except InvalidRequestError as error:
        return error


def request_of(body: str, source: Source = Source.SQS) -> Request:
    request = read(body, source)
    assert isinstance(request, Request)
    return request


def sample(path: str) -> str:
    return (EVENTS / path).read_text(encoding="utf-8")


# Results


@pytest.mark.parametrize(
    ("status", "reason", "http_status", "attempts", "window_seconds"),
    [
        ("sent", "invited", 200, 1, 300),
        ("sent", "invited", 204, 8, 300.25),
        ("skipped", "window_active", None, 0, 12),
        ("skipped", "daily_limit", None, 0, None),
        ("skipped", "not_due", 503, 1, 360),
        ("rejected", "user_not_found", 404, 2, None),
        ("rejected", "client_error", 422, 1, None),
        ("failed", "deadline_passed", None, 0, None),
        ("failed", "deadline_passed", 429, 3, None),
        ("failed", "attempts_exhausted", None, 8, None),
        ("failed", "attempts_exhausted", 503, 8, 300),
    ],
)
def test_result_schema_accepts_what_the_code_builds(
    status: str, reason: str, http_status: int | None, attempts: int, window_seconds: float | None
) -> None:
    result = request_result(
        a_request(state=replace(STATE, attempts=attempts, http_status=http_status)),
        Status(status),
        Reason(reason),
        NOW,
        window_ends_at=None if window_seconds is None else NOW + window_seconds,
        sent_count=3 if status == "sent" else None,
    )

    RESULTS.validate(published(result))


def test_result_schema_lists_the_codes_statuses_sources_and_reasons_and_no_other() -> None:
    fields = RESULT_SCHEMA["properties"]
    cases = [case["properties"]["status"]["const"] for case in RESULT_SCHEMA["oneOf"]]

    assert fields["status"]["enum"] == cases == list(Status)
    assert fields["source"]["enum"] == list(Source)
    assert sorted(fields["reason"]["enum"]) == sorted(Reason)


def test_result_schema_requires_every_field_of_a_result_and_allows_no_other() -> None:
    assert sorted(RESULT_SCHEMA["required"]) == sorted(published(SENT))
    assert sorted(RESULT_SCHEMA["properties"]) == sorted(published(SENT))
    assert RESULT_SCHEMA["additionalProperties"] is False


@pytest.mark.parametrize(
    "body",
    [
        '{"user_id": 7}',
        '{"user_id": "u1", "request_id": []}',
        '{"user_id": "u1", "not_after": "tomorrow", "correlation_id": "c1"}',
        '{"source": "crm", "detail-type": "user pending", "detail": {}, "id": "%s"}' % ("x" * 129),
        *[
            text
            for path in sorted((REPOSITORY / "tests/cases").glob("*.json"))
            if isinstance(read(text := path.read_text(encoding="utf-8")), InvalidRequestError)
        ],
    ],
)
def test_result_schema_accepts_the_result_of_any_invalid_input(body: str) -> None:
    error = read(body)
    assert isinstance(error, InvalidRequestError)

    RESULTS.validate(published(invalid_result(message_of(body), error)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema_version", "1.0"),
        ("result_id", "r1"),
        ("request_id", ""),
        ("user_id", None),
        ("source", "post"),
        ("reason", "some_other_reason"),
        ("detail", ""),
        ("http_status", None),
        ("http_status", 404),
        ("attempts", 0),
        ("attempts", 1.5),
        ("occurred_at", "2027-01-15T08:00:00+00:00"),
        ("occurred_at", "2027-01-15"),
        ("window_ends_at", None),
        ("invitation_expires_at", None),
        ("sent_count", None),
        ("sent_count", 0),
        ("colour", "red"),
        *[("status", status) for status in ("queued", "skipped", "rejected", "failed", "invalid")],
    ],
)
def test_result_schema_refuses_a_result_that_contradicts_itself(name: str, value: object) -> None:
    assert not RESULTS.is_valid(published(SENT) | {name: value})


@pytest.mark.parametrize(
    "change",
    [
        {"http_status": 400},
        {"attempts": 1},
        {"window_ends_at": "2027-01-15T08:05:00.000Z"},
        {"invitation_expires_at": "2027-01-18T08:00:00.000Z"},
        {"sent_count": 1},
    ],
)
def test_result_schema_refuses_an_invalid_result_with_a_call(change: dict[str, Any]) -> None:
    error = InvalidRequestError(Reason.MALFORMED_JSON, "no JSON", "r1", Source.SQS, "u1")
    result = published(invalid_result(message_of("{"), error))

    assert RESULTS.is_valid(result)
    assert not RESULTS.is_valid(result | change)


# Requests

words = st.sampled_from(
    ["u1", " u1 ", "", " ", ".", " ..", "skip", "defer", "a\nb", "a\x9fb", "x" * 129, "a\u200bb"]
)
values = (
    words
    | st.text(st.characters(exclude_categories=()), max_size=130)
    | st.none()
    | st.integers(-(10**18), 10**18)
    | st.booleans()
    | st.lists(st.text(), max_size=1)
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "user_id": st.just("u1") | values,
        "request_id": values,
        "on_active_window": values,
        "correlation_id": values,
        "user_ids": values | st.lists(st.text(), min_size=1, max_size=3),
        "dry_run": values,
        "colour": values,
    },
)


def is_read(fields: dict[str, Any]) -> bool:
    """Whether each request that the fields ask for can be carried out."""
    asked = read(json.dumps(fields))
    if isinstance(asked, Order):
        return all(is_read({"user_id": user_id}) for user_id in asked.user_ids)
    return isinstance(asked, Request)


@settings(deadline=None)
@given(requests)
@example({"user_id": "."})
@example({"user_id": " " + "x" * 128 + "\u3000"})
@example({"user_id": "x" * 129})
@example({"user_id": "u1", "user_ids": []})
@example({"user_ids": ["u1"], "user_id": None})
@example({"user_ids": ["u1", 7]})
@example({"user_id": "u\ud800"})
@example({"user_id": "u1", "correlation_id": " " * 200})
@example({"user_id": "\u180eu1"})
@example({"user_id": "\x1fu1"})
def test_request_schema_accepts_exactly_what_the_code_reads(fields: dict[str, Any]) -> None:
    assert REQUESTS.is_valid(fields) is is_read(fields)


@settings(deadline=None)
@given(st.characters(exclude_categories=()))
def test_request_schema_and_code_allow_the_same_characters(character: str) -> None:
    for text in (character, f"a{character}b", f" {character}b"):
        for name in ("user_id", "correlation_id"):
            fields = {"user_id": "u1", name: text}
            assert REQUESTS.is_valid(fields) is is_read(fields), (name, ascii(text))


@pytest.mark.parametrize(
    ("not_after", "fits"),
    [
        (None, True),
        (" ", True),
        ("2027-01-15", True),
        (" 2027-01-15T08:00+01:00 ", True),
        (1_800_000_000, False),
        ("tomorrow", False),
    ],
)
def test_request_schema_accepts_a_deadline_that_the_code_reads(
    not_after: object, fits: bool
) -> None:
    fields = {"user_id": "u1", "not_after": not_after}

    assert (REQUESTS.is_valid(fields), is_read(fields)) == (fits, fits)


@pytest.mark.parametrize(("count", "fits"), [(0, False), (1, True), (1000, True), (1001, False)])
def test_request_schema_accepts_an_order_of_up_to_a_thousand_users(count: int, fits: bool) -> None:
    assert REQUESTS.is_valid({"user_ids": ["u1"] * count}) is fits


# Sample events


@pytest.mark.parametrize(
    ("path", "invoked", "source", "request_id"),
    [
        ("queue/request.json", False, "sqs", "m1"),
        ("queue/request-for-the-same-user.json", False, "sqs", "m1"),
        ("queue/request-for-an-unknown-user.json", False, "sqs", "m1"),
        ("queue/request-with-all-fields.json", False, "sqs", "crm-task-88213"),
        ("queue/sns-around-a-request.json", False, "sns", "m1"),
        (
            "queue/sns-around-an-eventbridge-event.json",
            False,
            "sns",
            "e51b9a37-04dc-4c86-a2f7-3c8e6d0b9407",
        ),
        (
            "queue/eventbridge-event.json",
            False,
            "eventbridge",
            "3f6a0c52-9d1b-4e78-8c0e-5b7d1f2a6e05",
        ),
        ("bus/user-pending.json", False, "eventbridge", "8b1e4d90-27c6-4f3a-b5a9-0d9c3e7f1208"),
        ("invoke/request.json", True, "direct", "m1"),
        (
            "invoke/eventbridge-event.json",
            True,
            "eventbridge",
            "c9d27a64-51f8-4b0d-9e63-7a4f8e15d30c",
        ),
    ],
)
def test_sample_message_is_read_as_what_it_shows(
    path: str, invoked: bool, source: str, request_id: str
) -> None:
    request = request_of(sample(path), Source.DIRECT if invoked else Source.SQS)

    assert (request.source, request.request_id) == (source, request_id)


def test_sample_without_a_user_is_invalid() -> None:
    error = read(sample("queue/request-without-a-user.json"))

    assert isinstance(error, InvalidRequestError)
    assert (error.reason, error.correlation_id) == ("field_misspelt", "onboarding-2293")


def test_sample_invocation_for_several_users_is_an_order_that_fits_the_schema() -> None:
    text = sample("invoke/user-ids.json")
    order = read(text, Source.DIRECT)

    REQUESTS.validate(json.loads(text))
    assert isinstance(order, Order)
    assert (len(order.user_ids), order.source) == (2, "direct")


def test_no_sample_expires_for_years() -> None:
    text = sample("queue/request-with-all-fields.json")
    in_2090 = 3_786_912_000

    REQUESTS.validate(json.loads(text))
    assert (request_of(text).not_after or 0) > in_2090


def test_two_samples_are_for_one_user_and_all_others_for_users_of_their_own() -> None:
    one = request_of(sample("queue/request.json"))
    other = request_of(sample("queue/request-for-the-same-user.json"))
    texts = [path.read_text(encoding="utf-8") for path in EVENTS.glob("*/*.json")]
    named = Counter(re.findall(r"[0-9a-f]{24}", "".join(texts)))

    assert (one.user_id, one.on_active_window) == (other.user_id, other.on_active_window)
    assert one.on_active_window == "skip"
    assert sorted(named.values(), reverse=True)[:2] == [2, 1]
