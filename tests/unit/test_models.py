import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invitations.errors import InvalidRequestError
from invitations.models import (
    Answered,
    CallOutcome,
    Delivery,
    Email,
    NeverSent,
    Request,
    Result,
    Source,
    Status,
    Unanswered,
    answer_invalid,
    answer_request,
    backoff_seconds,
    derived_request_id,
    iso,
    judge,
    retry_after_seconds,
    window_is_over,
)

NOW = 1_800_000_000.0
REQUEST = Request("r1", "u1", Source.SQS, correlation_id="c1")
DELIVERY = Delivery("m1", "{}", Source.SQS, received_at=NOW)


def sent_result(request: Request = REQUEST, occurred_at: float = NOW) -> Result:
    return answer_request(
        request,
        Status.SENT,
        "invited",
        occurred_at=occurred_at,
        attempts=2,
        http_status=200,
        window_ends_at=occurred_at + 300,
    )


class TestJudge:
    @pytest.mark.parametrize("code", [200, 201, 204, 299])
    def test_an_accepted_call_means_an_email_and_holds_the_window(self, code: int) -> None:
        verdict = judge(Answered(code, NOW))

        assert (verdict.email, verdict.status, verdict.reason) == (Email.YES, "sent", "invited")
        assert (verdict.held_from, verdict.http_status) == (NOW, code)

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (400, "bad_request"),
            (402, "client_error"),
            (403, "forbidden"),
            (404, "user_not_found"),
            (415, "unsupported_media_type"),
            (499, "client_error"),
        ],
    )
    def test_a_refusal_rejects_the_request_and_frees_the_window(
        self, code: int, reason: str
    ) -> None:
        verdict = judge(Answered(code, NOW))

        assert (verdict.email, verdict.status, verdict.reason) == (Email.NO, "rejected", reason)
        assert (verdict.held_from, verdict.http_status) == (None, code)

    @pytest.mark.parametrize(
        ("outcome", "reason", "pardoned"),
        [
            (Answered(401, NOW), "unauthorized", True),
            (Answered(429, NOW), "throttled", True),
            (Answered(300, NOW), "redirected", False),
            (Answered(302, NOW), "redirected", False),
            (Answered(308, NOW), "redirected", False),
            (NeverSent("refused"), "connection_failed", False),
        ],
    )
    def test_a_call_that_nobody_acted_on_is_deferred_and_frees_the_window(
        self, outcome: CallOutcome, reason: str, pardoned: bool
    ) -> None:
        verdict = judge(outcome)

        assert (verdict.email, verdict.status, verdict.held_from) == (Email.NO, None, None)
        assert (verdict.reason, verdict.pardoned) == (reason, pardoned)

    @pytest.mark.parametrize(
        ("outcome", "reason"),
        [
            (Answered(500, NOW), "server_error"),
            (Answered(503, NOW), "server_error"),
            (Answered(999, NOW), "server_error"),
            (Unanswered("timed out", NOW), "no_answer"),
        ],
    )
    def test_a_call_of_unknown_effect_is_deferred_and_holds_the_window(
        self, outcome: CallOutcome, reason: str
    ) -> None:
        verdict = judge(outcome)

        assert (verdict.email, verdict.status, verdict.held_from) == (Email.UNKNOWN, None, NOW)
        assert (verdict.reason, verdict.pardoned) == (reason, False)

    def test_only_a_full_quota_says_how_long_to_wait(self) -> None:
        assert judge(Answered(429, NOW, retry_after="7")).retry_after_seconds == 7
        assert judge(Answered(503, NOW, retry_after="7")).retry_after_seconds is None


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("60", 60),
            (" 7 ", 7),
            ("900", 900),
            ("Fri, 15 Jan 2027 08:01:30 GMT", 90),
            ("Friday, 15-Jan-27 08:01:30 GMT", 90),
        ],
    )
    def test_is_read_as_seconds_or_as_a_date(self, value: str, seconds: float) -> None:
        assert retry_after_seconds(value, NOW) == seconds

    @pytest.mark.parametrize("value", [None, "", "soon", "-5", "1.5", "7s", "١٢", "7, 8"])
    def test_is_a_minute_when_missing_or_unreadable(self, value: str | None) -> None:
        assert retry_after_seconds(value, NOW) == 60

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 1),
            ("901", 900),
            ("9" * 400, 900),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 1),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 900),
        ],
    )
    def test_stays_between_a_second_and_a_quarter_of_an_hour(
        self, value: str, seconds: float
    ) -> None:
        assert retry_after_seconds(value, NOW) == seconds

    @given(st.text() | st.from_regex(r"\A[A-Za-z]{3}, ?[0-9 :A-Za-z+-]{0,40}\Z"))
    def test_any_text_gives_a_wait_within_the_bounds(self, value: str) -> None:
        assert 1 <= retry_after_seconds(value, NOW) <= 900


class TestBackoff:
    @pytest.mark.parametrize(
        ("deferrals", "least", "most"),
        [(0, 2.5, 5), (1, 5, 10), (3, 20, 40), (7, 320, 640), (8, 450, 900), (10_000, 450, 900)],
    )
    def test_doubles_with_jitter_up_to_a_quarter_of_an_hour(
        self, deferrals: int, least: float, most: float
    ) -> None:
        dice = random.Random(1)
        waits = [backoff_seconds(deferrals, dice) for _ in range(200)]

        assert least <= min(waits) < max(waits) <= most


class TestWindow:
    @pytest.mark.parametrize(
        ("now", "over"), [(NOW, False), (NOW + 1.999, False), (NOW + 2, True), (NOW + 60, True)]
    )
    def test_is_over_only_by_every_clock(self, now: float, over: bool) -> None:
        assert window_is_over(NOW, now) is over


class TestResult:
    def test_says_when_the_window_and_the_invitation_end(self) -> None:
        result = sent_result()

        assert result.occurred_at == "2027-01-15T08:00:00.000Z"
        assert result.window_ends_at == "2027-01-15T08:05:00.000Z"
        assert result.invitation_expires_at == "2027-01-18T08:00:00.000Z"

    def test_repeats_what_the_request_brought(self) -> None:
        result = sent_result()

        assert (result.request_id, result.user_id) == ("r1", "u1")
        assert (result.correlation_id, result.source) == ("c1", "sqs")
        assert (result.attempts, result.http_status) == (2, 200)

    @pytest.mark.parametrize("status", [Status.SKIPPED, Status.REJECTED, Status.FAILED])
    def test_names_no_expiry_when_no_invitation_was_sent(self, status: Status) -> None:
        result = answer_request(REQUEST, status, "a_reason", occurred_at=NOW, attempts=0)

        assert result.invitation_expires_at is None

    def test_has_the_same_id_for_the_same_request_and_status(self) -> None:
        later = sent_result(REQUEST._replace(correlation_id=None), NOW + 86_400)

        assert later.result_id == sent_result().result_id

    def test_has_an_id_of_its_own_for_each_request_and_status(self) -> None:
        request_ids = ["r1", "r2"]
        ids = {
            answer_request(
                REQUEST._replace(request_id=request_id), status, "x", occurred_at=NOW, attempts=0
            ).result_id
            for request_id in request_ids
            for status in Status
        }

        assert len(ids) == len(request_ids) * len(Status)

    def test_survives_json(self) -> None:
        assert Result.from_json(sent_result().to_json()) == sent_result()

    def test_read_from_json_has_its_enums_back(self) -> None:
        result = Result.from_json(sent_result().to_json())

        assert (type(result.status), type(result.source)) == (Status, Source)

    @pytest.mark.parametrize(
        ("status", "rests"),
        [
            (Status.SENT, False),
            (Status.SKIPPED, False),
            (Status.REJECTED, False),
            (Status.FAILED, True),
            (Status.INVALID, True),
        ],
    )
    def test_rests_in_the_dead_letter_queue_when_somebody_must_look(
        self, status: Status, rests: bool
    ) -> None:
        assert sent_result()._replace(status=status).rests_in_dead_letter_queue is rests


class TestInvalidResult:
    def test_is_named_after_the_message_when_the_request_has_no_name(self) -> None:
        result = answer_invalid(DELIVERY, InvalidRequestError("malformed_json", "no JSON"))

        assert (result.request_id, result.user_id, result.reason) == ("m1", None, "malformed_json")

    def test_is_the_same_on_every_redelivery(self) -> None:
        error = InvalidRequestError("malformed_json", "no JSON")
        again = DELIVERY._replace(receive_count=3)

        assert answer_invalid(again, error) == answer_invalid(DELIVERY, error)

    def test_tells_two_faulty_messages_with_one_request_id_apart(self) -> None:
        error = InvalidRequestError("user_id_blank", "blank")
        error.request_id = "r1"
        results = [
            answer_invalid(delivery, error)
            for delivery in (DELIVERY, DELIVERY._replace(delivery_id="m2"))
        ]

        assert [result.request_id for result in results] == ["r1", "r1"]
        assert results[0].result_id != results[1].result_id


class TestDerivedRequestId:
    def test_is_the_same_for_the_same_order_and_user(self) -> None:
        assert derived_request_id("order", "u1") == derived_request_id("order", "u1")

    @pytest.mark.parametrize(("base", "user_id"), [("order", "u2"), ("another", "u1")])
    def test_differs_for_another_order_or_user(self, base: str, user_id: str) -> None:
        assert derived_request_id(base, user_id) != derived_request_id("order", "u1")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOW + 0.25, "2027-01-15T08:00:00.250Z"),
        (NOW + 0.0004, "2027-01-15T08:00:00.000Z"),
    ],
)
def test_a_time_is_written_in_utc_with_milliseconds(moment: float, text: str) -> None:
    assert iso(moment) == text
