"""The published schemas, the code and the sample events agree."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jmespath
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from invitations.envelopes import deliveries_of_invocation, read_request
from invitations.errors import InvalidRequestError
from invitations.models import (
    Delivery,
    Progress,
    Request,
    Result,
    Source,
    Status,
    answer_invalid,
    answer_request,
)

REPOSITORY = Path(__file__).parents[2]
EVENTS = REPOSITORY / "events"
NOW = 1_800_000_000.0
USER_ID_PATH = jmespath.compile("detail.user_id")
REQUEST = Request("r1", "u1", Source.SQS)
SENT = answer_request(
    REQUEST,
    Status.SENT,
    "invited",
    occurred_at=NOW,
    attempts=1,
    http_status=200,
    window_ends_at=NOW + 300,
    sent_count=1,
)


def load_schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((REPOSITORY / "schemas" / name).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return schema


REQUEST_SCHEMA = load_schema("request-1.0.json")
RESULT_SCHEMA = load_schema("result-1.0.json")
REQUESTS = Draft202012Validator(REQUEST_SCHEMA)
RESULTS = Draft202012Validator(RESULT_SCHEMA, format_checker=FormatChecker())


def published(result: Result) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(result.to_json())
    return fields


def request_of(body: str, source: Source = Source.SQS) -> Request:
    return read_request(Delivery("m1", body, source, received_at=NOW), Progress(), USER_ID_PATH)


def is_read(fields: dict[str, Any]) -> bool:
    try:
        request_of(json.dumps(fields))
    except InvalidRequestError:
        return False
    return True


def sample(path: str) -> str:
    return (EVENTS / path).read_text(encoding="utf-8")


class TestResultSchema:
    @pytest.mark.parametrize(
        ("status", "reason", "http_status", "attempts", "window_ends_at"),
        [
            (Status.SENT, "invited", 200, 1, NOW + 300),
            (Status.SENT, "invited", 204, 8, NOW + 300.25),
            (Status.SKIPPED, "window_active", None, 0, NOW + 12),
            (Status.SKIPPED, "window_active", None, 2, NOW + 12),
            (Status.REJECTED, "bad_request", 400, 1, None),
            (Status.REJECTED, "forbidden", 403, 1, None),
            (Status.REJECTED, "user_not_found", 404, 2, None),
            (Status.REJECTED, "unsupported_media_type", 415, 1, None),
            (Status.REJECTED, "client_error", 422, 1, None),
            (Status.FAILED, "deadline_passed", None, 0, None),
            (Status.FAILED, "attempts_exhausted", None, 8, None),
            (Status.FAILED, "attempts_exhausted", 503, 8, NOW + 300),
        ],
    )
    def test_accepts_what_the_code_builds(
        self,
        status: Status,
        reason: str,
        http_status: int | None,
        attempts: int,
        window_ends_at: float | None,
    ) -> None:
        result = answer_request(
            REQUEST,
            status,
            reason,
            occurred_at=NOW,
            attempts=attempts,
            http_status=http_status,
            window_ends_at=window_ends_at,
            sent_count=3 if status is Status.SENT else None,
        )

        RESULTS.validate(published(result))

    @pytest.mark.parametrize("source", Source)
    def test_accepts_every_source(self, source: Source) -> None:
        RESULTS.validate(published(SENT._replace(source=source)))

    def test_knows_every_status_and_source_and_no_other(self) -> None:
        fields = RESULT_SCHEMA["properties"]

        assert fields["status"]["enum"] == list(Status)
        assert fields["source"]["enum"] == list(Source)

    def test_says_what_each_status_comes_with(self) -> None:
        cases = RESULT_SCHEMA["oneOf"]

        assert [case["properties"]["status"]["const"] for case in cases] == list(Status)

    def test_requires_every_field_of_a_result_and_allows_no_other(self) -> None:
        assert sorted(RESULT_SCHEMA["required"]) == sorted(published(SENT))
        assert sorted(RESULT_SCHEMA["properties"]) == sorted(published(SENT))
        assert RESULT_SCHEMA["additionalProperties"] is False

    @pytest.mark.parametrize(
        "body",
        [
            "{",
            "[]",
            "{}",
            '{"user_id": 7}',
            '{"user_id": " "}',
            '{"user_id": ".."}',
            '{"user_id": "a\\u0000b"}',
            '{"user_id": "u1", "request_id": ""}',
            '{"user_id": "u1", "correlation_id": 7}',
            '{"user_id": "u1", "on_active_window": "wait", "request_id": "r1"}',
            '{"user_id": "u1", "not_after": "tomorrow", "correlation_id": "c1"}',
            '{"user_ids": ["u1"]}',
            '{"source": "crm", "detail-type": "user pending", "detail": {}, "id": 7}',
        ],
    )
    def test_accepts_the_result_of_any_refusal(self, body: str) -> None:
        delivery = Delivery("m1", body, Source.SQS, received_at=NOW)
        with pytest.raises(InvalidRequestError) as caught:
            read_request(delivery, Progress(), USER_ID_PATH)

        RESULTS.validate(published(answer_invalid(delivery, caught.value)))

    @pytest.mark.parametrize(
        "change",
        [
            {"schema_version": "2.0"},
            {"result_id": "r1"},
            {"request_id": ""},
            {"user_id": None},
            {"source": "post"},
            {"status": "queued"},
            {"reason": "Invited!"},
            {"http_status": None},
            {"http_status": 404},
            {"attempts": 0},
            {"attempts": 1.5},
            {"occurred_at": "2027-01-15T08:00:00+00:00"},
            {"occurred_at": "2027-01-15"},
            {"occurred_at": NOW},
            {"window_ends_at": None},
            {"invitation_expires_at": None},
            {"status": "skipped"},
            {"status": "rejected"},
            {"status": "failed"},
            {"status": "invalid"},
            {"colour": "red"},
        ],
    )
    def test_refuses_a_result_that_contradicts_itself(self, change: dict[str, Any]) -> None:
        assert not RESULTS.is_valid(published(SENT) | change)

    @pytest.mark.parametrize(
        "change",
        [
            {"user_id": "u1"},
            {"http_status": 400},
            {"attempts": 1},
            {"window_ends_at": "2027-01-15T08:05:00.000Z"},
            {"invitation_expires_at": "2027-01-18T08:00:00.000Z"},
        ],
    )
    def test_refuses_an_invalid_one_that_tells_of_a_call(self, change: dict[str, Any]) -> None:
        delivery = Delivery("m1", "{", Source.SQS, received_at=NOW)
        result = answer_invalid(delivery, InvalidRequestError("malformed_json", "no JSON"))

        assert not RESULTS.is_valid(published(result) | change)


words = st.sampled_from(["u1", "", " ", ".", "..", "skip", "defer", "a\nb", "a\x9fb", "x" * 129])
values = (
    words
    | st.text(st.characters(exclude_categories=()), max_size=130)
    | st.none()
    | st.integers()
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
        "user_ids": values,
        "colour": values,
    },
)


class TestRequestSchema:
    @given(requests)
    @example({"user_id": "."})
    @example({"user_id": ".."})
    @example({"user_id": "x" * 128})
    @example({"user_id": "x" * 129})
    @example({"user_id": "u1", "user_ids": []})
    @example({"user_id": "u1", "user_ids": None})
    @example({"user_id": "u\ud800"})
    def test_accepts_exactly_what_the_code_reads(self, request_fields: dict[str, Any]) -> None:
        assert REQUESTS.is_valid(request_fields) is is_read(request_fields)

    @pytest.mark.parametrize("not_after", [None, "2027-01-15T08:00:00Z", "2027-01-15"])
    def test_accepts_a_deadline_in_any_spelling_that_the_code_reads(
        self, not_after: str | None
    ) -> None:
        fields = {"user_id": "u1", "not_after": not_after}

        REQUESTS.validate(fields)
        assert request_of(json.dumps(fields)).user_id == "u1"

    @pytest.mark.parametrize("not_after", [1_800_000_000, "", True, {}])
    def test_refuses_a_deadline_that_is_no_text(self, not_after: object) -> None:
        assert not REQUESTS.is_valid({"user_id": "u1", "not_after": not_after})


class TestSampleEvents:
    @pytest.mark.parametrize("path", ["queue/request.json", "queue/request-with-all-fields.json"])
    def test_a_request_fits_the_schema(self, path: str) -> None:
        REQUESTS.validate(json.loads(sample(path)))

    @pytest.mark.parametrize(
        ("path", "source", "request_id"),
        [
            ("queue/request.json", "sqs", "m1"),
            ("queue/request-for-the-same-user.json", "sqs", "m1"),
            ("queue/request-for-an-unknown-user.json", "sqs", "m1"),
            ("queue/request-with-all-fields.json", "sqs", "crm-task-88213"),
            ("queue/sns-around-a-request.json", "sns", "m1"),
            (
                "queue/sns-around-an-eventbridge-event.json",
                "sns",
                "e51b9a37-04dc-4c86-a2f7-3c8e6d0b9407",
            ),
            (
                "queue/eventbridge-event.json",
                "eventbridge",
                "3f6a0c52-9d1b-4e78-8c0e-5b7d1f2a6e05",
            ),
            ("bus/user-pending.json", "eventbridge", "8b1e4d90-27c6-4f3a-b5a9-0d9c3e7f1208"),
        ],
    )
    def test_a_message_is_read_as_what_it_shows(
        self, path: str, source: str, request_id: str
    ) -> None:
        request = request_of(sample(path))

        assert (request.source, request.request_id) == (source, request_id)

    def test_the_faulty_one_is_refused(self) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            request_of(sample("queue/request-without-a-user.json"))
        assert caught.value.reason == "user_id_missing"

    @pytest.mark.parametrize(
        ("path", "sources"),
        [
            ("invoke/request.json", ["direct"]),
            ("invoke/user-ids.json", ["direct", "direct"]),
            ("invoke/eventbridge-event.json", ["eventbridge"]),
        ],
    )
    def test_an_invocation_is_read_as_what_it_shows(self, path: str, sources: list[str]) -> None:
        deliveries = deliveries_of_invocation(json.loads(sample(path)), "i1", NOW)
        requests = [request_of(delivery.body, delivery.source) for delivery in deliveries]

        assert [request.source for request in requests] == sources

    def test_none_of_them_expires_for_years(self) -> None:
        in_2090 = 3_786_912_000
        deadline = request_of(sample("queue/request-with-all-fields.json")).not_after

        assert deadline is not None
        assert deadline > in_2090

    def test_two_are_for_one_user_so_that_one_of_them_is_skipped(self) -> None:
        one = request_of(sample("queue/request.json"))
        other = request_of(sample("queue/request-for-the-same-user.json"))

        assert one.user_id == other.user_id
        assert one.on_active_window is other.on_active_window
        assert one.on_active_window == "skip"

    def test_all_others_are_for_users_of_their_own(self) -> None:
        texts = [path.read_text(encoding="utf-8") for path in EVENTS.glob("*/*.json")]
        named = Counter(re.findall(r"[0-9a-f]{24}", "".join(texts)))

        assert sorted(named.values(), reverse=True)[:2] == [2, 1]

    def test_the_unknown_user_is_marked(self) -> None:
        request = request_of(sample("queue/request-for-an-unknown-user.json"))

        assert request.user_id.startswith("unknown-")
