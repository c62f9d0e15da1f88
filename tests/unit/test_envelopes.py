import contextlib
import json
import math
from typing import Any
from urllib.parse import quote, unquote

import jmespath
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3.util import parse_url

from invitations.envelopes import (
    MAX_USER_IDS,
    deliveries_of_invocation,
    read_progress,
    read_request,
    write_progress,
)
from invitations.errors import InvalidRequestError
from invitations.models import (
    Cap,
    Claim,
    Delivery,
    OnActiveWindow,
    Progress,
    Request,
    Result,
    Source,
    Status,
    Tally,
    Unrecorded,
    answer_request,
)

NOW = 1_800_000_000.0
USER_ID_PATH = jmespath.compile("detail.user_id")
EVENT = {
    "id": "e1",
    "source": "crm",
    "detail-type": "user pending",
    "detail": {"user_id": "u1"},
}
RESULT = answer_request(
    Request("r1", "u1", Source.SQS),
    Status.SENT,
    "invited",
    occurred_at=NOW,
    attempts=1,
    http_status=200,
    window_ends_at=NOW + 300,
)


def delivery_of(body: str, source: Source = Source.SQS) -> Delivery:
    return Delivery("m1", body, source, received_at=NOW)


def read(document: Any, progress: Progress | None = None, path: str = "detail.user_id") -> Request:
    return read_request(
        delivery_of(json.dumps(document)), progress or Progress(), jmespath.compile(path)
    )


def refusal(document: Any, path: str = "detail.user_id") -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        read(document, path=path)
    return caught.value


def notification(message: str) -> dict[str, str]:
    return {
        "Type": "Notification",
        "MessageId": "n1",
        "TopicArn": "arn:aws:sns:eu-west-1:111122223333:topic",
        "Message": message,
    }


class TestBareRequest:
    def test_needs_only_a_user_id(self) -> None:
        assert read({"user_id": "u1"}) == Request("m1", "u1", Source.SQS)

    def test_may_have_every_field(self) -> None:
        document = {
            "user_id": "u1",
            "request_id": "r1",
            "on_active_window": "defer",
            "not_after": "2027-01-15T09:00:00+01:00",
            "correlation_id": "c1",
        }

        assert read(document) == Request(
            "r1", "u1", Source.SQS, OnActiveWindow.DEFER, not_after=NOW, correlation_id="c1"
        )

    def test_may_have_fields_that_nobody_knows(self) -> None:
        assert read({"user_id": "u1", "colour": "red"}) == Request("m1", "u1", Source.SQS)

    def test_takes_null_for_a_field_left_out(self) -> None:
        optional = ["request_id", "on_active_window", "not_after", "correlation_id"]

        assert read({"user_id": "u1", **dict.fromkeys(optional)}) == read({"user_id": "u1"})

    def test_keeps_the_source_of_its_delivery(self) -> None:
        delivery = delivery_of('{"user_id": "u1"}', Source.DIRECT)

        assert read_request(delivery, Progress(), USER_ID_PATH).source is Source.DIRECT

    @pytest.mark.parametrize(
        ("not_after", "moment"),
        [
            ("2027-01-15T08:00:00Z", NOW),
            ("2027-01-15T08:00:00.500Z", NOW + 0.5),
            ("2027-01-15T08:00:00", NOW),
            ("2027-01-15T03:00:00-05:00", NOW),
            ("2027-01-15", NOW - 8 * 3600),
        ],
    )
    def test_a_deadline_without_an_offset_is_utc(self, not_after: str, moment: float) -> None:
        assert read({"user_id": "u1", "not_after": not_after}).not_after == moment


class TestEventBridgeEvent:
    def test_is_a_request_named_after_the_event(self) -> None:
        assert read(EVENT) == Request("e1", "u1", Source.EVENTBRIDGE)

    def test_without_an_id_is_named_after_the_message(self) -> None:
        assert read({**EVENT, "id": None}).request_id == "m1"

    def test_may_have_the_fields_of_a_request_in_its_detail(self) -> None:
        detail = {"user_id": "u1", "request_id": "r1", "on_active_window": "defer"}
        request = read({**EVENT, "detail": detail})

        assert (request.request_id, request.on_active_window) == ("r1", OnActiveWindow.DEFER)

    def test_hides_the_user_id_where_the_configuration_says(self) -> None:
        event = {**EVENT, "detail": {"contacts": [{"partoo": "u7"}]}}

        assert read(event, path="detail.contacts[0].partoo").user_id == "u7"

    def test_may_have_a_detail_that_is_no_object(self) -> None:
        assert read({**EVENT, "detail": "u7"}, path="detail").user_id == "u7"

    @pytest.mark.parametrize(
        "path",
        ["detail.nothing", "detail.user_id.deeper", "abs(detail.user_id)", "length(detail.none)"],
    )
    def test_without_a_user_where_the_path_points_is_refused(self, path: str) -> None:
        assert refusal(EVENT, path=path).reason == "user_id_missing"

    @pytest.mark.parametrize("event_id", ["", 7, {}, "a\nb", "x" * 129])
    def test_with_a_faulty_id_is_named_after_its_message(self, event_id: object) -> None:
        assert read({**EVENT, "id": event_id}).request_id == "m1"


class TestSnsNotification:
    def test_is_the_request_that_it_carries(self) -> None:
        assert read(notification('{"user_id": "u1"}')) == Request("m1", "u1", Source.SNS)

    def test_may_carry_an_eventbridge_event(self) -> None:
        assert read(notification(json.dumps(EVENT))) == Request("e1", "u1", Source.SNS)

    @pytest.mark.parametrize(
        ("message", "reason"),
        [("hello", "malformed_json"), ('"hello"', "not_an_object"), ("{}", "user_id_missing")],
    )
    def test_is_refused_for_what_it_carries(self, message: str, reason: str) -> None:
        assert refusal(notification(message)).reason == reason

    @pytest.mark.parametrize(
        "mark",
        [
            {"Type": "Notification", "Message": "{}"},
            {"Type": "Notification", "TopicArn": "arn:topic"},
            {"TopicArn": "arn:topic", "Message": "{}"},
        ],
    )
    def test_a_request_that_only_resembles_one_is_read_as_a_request(
        self, mark: dict[str, str]
    ) -> None:
        assert read({"user_id": "u1", **mark}).source is Source.SQS


class TestRefusal:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("", "malformed_json"),
            ("{", "malformed_json"),
            ("user-1", "malformed_json"),
            ("[" * 100_000, "malformed_json"),
            ("9" * 5_000, "malformed_json"),
            ("null", "not_an_object"),
            ("[]", "not_an_object"),
            ('"u1"', "not_an_object"),
            ("12", "not_an_object"),
        ],
    )
    def test_of_a_body_that_is_no_json_object(self, body: str, reason: str) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            read_request(delivery_of(body), Progress(), USER_ID_PATH)
        assert caught.value.reason == reason

    @pytest.mark.parametrize(
        ("user_id", "reason"),
        [
            (None, "user_id_missing"),
            (12, "user_id_not_a_string"),
            (True, "user_id_not_a_string"),
            (["u1"], "user_id_not_a_string"),
            ({"id": "u1"}, "user_id_not_a_string"),
            ("", "user_id_blank"),
            (" \u3000", "user_id_blank"),
            ("x" * 129, "user_id_too_long"),
            ("a\x00b", "user_id_unsafe_character"),
            ("a\nb", "user_id_unsafe_character"),
            ("a\x7fb", "user_id_unsafe_character"),
            ("a\x9fb", "user_id_unsafe_character"),
            ("a\ud800b", "user_id_unsafe_character"),
            (".", "user_id_dot_segment"),
            ("..", "user_id_dot_segment"),
        ],
    )
    def test_of_a_user_id_that_cannot_stand_in_a_path(self, user_id: object, reason: str) -> None:
        assert refusal({"user_id": user_id}).reason == reason

    @pytest.mark.parametrize(
        ("field", "value", "reason"),
        [
            ("request_id", "", "request_id_malformed"),
            ("request_id", 7, "request_id_malformed"),
            ("request_id", "x" * 129, "request_id_malformed"),
            ("request_id", "a\tb", "request_id_malformed"),
            ("correlation_id", " ", "correlation_id_malformed"),
            ("correlation_id", {}, "correlation_id_malformed"),
            ("on_active_window", "wait", "on_active_window_unknown"),
            ("on_active_window", True, "on_active_window_unknown"),
            ("on_active_window", ["skip"], "on_active_window_unknown"),
            ("not_after", "tomorrow", "not_after_malformed"),
            ("not_after", "", "not_after_malformed"),
            ("not_after", 1_800_000_000, "not_after_malformed"),
            ("not_after", "2027-02-30T00:00:00Z", "not_after_malformed"),
            ("user_ids", ["u2"], "user_ids_malformed"),
            ("user_ids", None, "user_ids_malformed"),
        ],
    )
    def test_of_a_field_that_is_wrong(self, field: str, value: object, reason: str) -> None:
        assert refusal({"user_id": "u1", field: value}).reason == reason

    def test_names_the_request_as_far_as_it_was_read(self) -> None:
        error = refusal({"user_id": "", "request_id": "r1", "correlation_id": "c1"})

        assert (error.request_id, error.correlation_id) == ("r1", "c1")

    def test_names_a_request_without_an_id_after_its_event(self) -> None:
        assert refusal({**EVENT, "detail": {}}).request_id == "e1"

    def test_does_not_take_over_a_faulty_id(self) -> None:
        assert refusal({"user_id": "u1", "request_id": "a\nb"}).request_id == "m1"


@pytest.mark.parametrize(
    "user_id",
    ["x" * 128, "a/b", "a b", "%2e%2e", "...", "..%2f", "ä?#", "😀", "a:b@c", "a\u2028b", "~"],
)
def test_any_other_user_id_is_taken_as_it_is(user_id: str) -> None:
    assert read({"user_id": user_id}).user_id == user_id


class TestDeferredCopy:
    def test_stays_the_request_that_it_was(self) -> None:
        progress = Progress(request_id="r0", source=Source.SWEEP)
        request = read({**EVENT, "detail": {"user_id": "u1", "request_id": "r1"}}, progress)

        assert (request.request_id, request.source) == ("r0", Source.SWEEP)

    def test_without_notes_knows_nothing(self) -> None:
        assert read_progress(None) == Progress()

    @pytest.mark.parametrize(
        "progress",
        [
            Progress(),
            Progress("r1", Source.SNS, "m1", deferrals=3, tally=Tally(2, 1)),
            Progress("r1", Source.SWEEP, "r1", cap=Cap(3, 259_200.5)),
            Progress("r1", unrecorded=Unrecorded(Claim("c1", "r1", "u1"), RESULT, NOW, NOW + 300)),
            Progress("r1", unrecorded=Unrecorded(Claim("c1", "r1", "u1"), RESULT, NOW, None)),
        ],
    )
    def test_reads_the_notes_as_they_were_written(self, progress: Progress) -> None:
        assert read_progress(write_progress(progress)) == progress

    @pytest.mark.parametrize(
        "notes",
        [
            "",
            "null",
            "[]",
            "{}",
            "[" * 100_000,
            json.dumps({**json.loads(write_progress(Progress())), "source": "post"}),
            json.dumps({**json.loads(write_progress(Progress())), "tally": None}),
            json.dumps(
                {
                    **json.loads(write_progress(Progress())),
                    "tally": {"attempts": 1, "pardons": float("inf")},
                }
            ),
            json.dumps({**json.loads(write_progress(Progress())), "cap": {}}),
            json.dumps({**json.loads(write_progress(Progress())), "asked_at": "today"}),
            json.dumps({**json.loads(write_progress(Progress())), "asked_at": math.nan}),
            json.dumps({**json.loads(write_progress(Progress())), "unrecorded": {}}),
            json.dumps({**json.loads(write_progress(Progress())), "unrecorded": "x"}),
        ],
    )
    def test_with_notes_of_somebody_else_is_refused(self, notes: str) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            read_progress(notes)
        assert caught.value.reason == "malformed_progress"


class TestInvocation:
    @pytest.mark.parametrize("event", [{"user_id": "u1"}, EVENT, {}, [], "x", None, {"Records": 1}])
    def test_is_one_delivery_of_what_it_brought(self, event: object) -> None:
        assert deliveries_of_invocation(event, "i1", NOW) == [
            Delivery("i1", json.dumps(event), Source.DIRECT, received_at=NOW)
        ]

    def test_with_many_users_is_one_delivery_for_each(self) -> None:
        deliveries = deliveries_of_invocation({"user_ids": ["u1", "u2"]}, "i1", NOW)

        assert [json.loads(delivery.body)["user_id"] for delivery in deliveries] == ["u1", "u2"]
        assert [delivery.source for delivery in deliveries] == [Source.DIRECT] * 2
        assert [delivery.received_at for delivery in deliveries] == [NOW] * 2

    def test_gives_each_of_many_users_a_request_id(self) -> None:
        deliveries = deliveries_of_invocation({"user_ids": ["u1", "u2"]}, "i1", NOW)
        request_ids = [json.loads(delivery.body)["request_id"] for delivery in deliveries]

        assert request_ids == [delivery.delivery_id for delivery in deliveries]
        assert len(set(request_ids)) == 2

    def test_repeated_makes_the_same_deliveries(self) -> None:
        event = {"user_ids": ["u1", "u2"], "correlation_id": "c1"}

        assert deliveries_of_invocation(event, "i1", NOW) == deliveries_of_invocation(
            event, "i1", NOW
        )

    def test_of_another_name_makes_other_requests(self) -> None:
        event = {"user_ids": ["u1"]}
        [one] = deliveries_of_invocation(event, "i1", NOW)
        [other] = deliveries_of_invocation(event, "i2", NOW)

        assert one.delivery_id != other.delivery_id

    def test_with_a_request_id_makes_the_same_requests_whenever_it_comes(self) -> None:
        event = {"user_ids": ["u1"], "request_id": "r1"}
        [one] = deliveries_of_invocation(event, "i1", NOW)
        [other] = deliveries_of_invocation(event, "i2", NOW)

        assert one.body == other.body

    def test_hands_the_other_fields_to_every_request(self) -> None:
        event = {"user_ids": ["u1", "u2"], "on_active_window": "defer", "correlation_id": "c1"}
        requests = [
            read_request(delivery, Progress(), USER_ID_PATH)
            for delivery in deliveries_of_invocation(event, "i1", NOW)
        ]

        assert [request.on_active_window for request in requests] == ["defer", "defer"]
        assert [request.correlation_id for request in requests] == ["c1", "c1"]

    def test_names_a_user_only_once(self) -> None:
        deliveries = deliveries_of_invocation({"user_ids": ["u1", "u2", "u1"]}, "i1", NOW)

        assert [json.loads(delivery.body)["user_id"] for delivery in deliveries] == ["u1", "u2"]

    def test_takes_a_number_for_another_user_than_its_digits(self) -> None:
        assert len(deliveries_of_invocation({"user_ids": [7, "7"]}, "i1", NOW)) == 2

    def test_with_no_users_is_no_delivery(self) -> None:
        assert deliveries_of_invocation({"user_ids": []}, "i1", NOW) == []

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            (7, "user_id_not_a_string"),
            (None, "user_id_missing"),
            (["u1"], "user_id_not_a_string"),
            ("", "user_id_blank"),
        ],
    )
    def test_refuses_only_the_faulty_ones_of_many(self, entry: object, reason: str) -> None:
        faulty, good = deliveries_of_invocation({"user_ids": [entry, "u2"]}, "i1", NOW)

        with pytest.raises(InvalidRequestError) as caught:
            read_request(faulty, Progress(), USER_ID_PATH)
        assert caught.value.reason == reason
        assert read_request(good, Progress(), USER_ID_PATH).user_id == "u2"

    @pytest.mark.parametrize("request_id", [7, "", "a\nb", "\ud800", ["r1"]])
    def test_with_a_faulty_request_id_is_refused_for_each_user(self, request_id: object) -> None:
        event = {"user_ids": ["u1", "u2"], "request_id": request_id}
        one, other = deliveries_of_invocation(event, "i1", NOW)

        with pytest.raises(InvalidRequestError, match=r"^request_id must be a string"):
            read_request(one, Progress(), USER_ID_PATH)
        with pytest.raises(InvalidRequestError, match=r"^request_id must be a string"):
            read_request(other, Progress(), USER_ID_PATH)

    @pytest.mark.parametrize(
        "event",
        [
            {"user_ids": "u1"},
            {"user_ids": {"u1": 1}},
            {"user_ids": ["u1"], "user_id": "u2"},
            {"user_ids": [f"u{number}" for number in range(MAX_USER_IDS + 1)]},
        ],
    )
    def test_with_users_in_another_form_is_refused_as_a_whole(self, event: object) -> None:
        [delivery] = deliveries_of_invocation(event, "i1", NOW)

        with pytest.raises(InvalidRequestError) as caught:
            read_request(delivery, Progress(), USER_ID_PATH)
        assert caught.value.reason == "user_ids_malformed"

    def test_may_name_as_many_users_as_can_be_queued_in_time(self) -> None:
        event = {"user_ids": [f"u{number}" for number in range(MAX_USER_IDS)]}

        assert len(deliveries_of_invocation(event, "i1", NOW)) == MAX_USER_IDS


any_text = st.text(st.characters(exclude_categories=()))
any_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)
known_words = any_json | st.sampled_from(
    ["u1", ".", "..", "skip", "defer", "Notification", "2027-01-15T08:00:00Z", "9999-12-31", '"']
)
request_fields = st.fixed_dictionaries(
    {},
    optional={
        "user_id": known_words,
        "user_ids": known_words,
        "request_id": known_words,
        "on_active_window": known_words,
        "not_after": known_words,
        "correlation_id": known_words,
    },
)
events = st.fixed_dictionaries(
    {"source": known_words, "detail-type": known_words, "detail": known_words | request_fields},
    optional={"id": known_words, "user_ids": known_words},
)
notifications = (
    (request_fields | events).map(json.dumps).map(notification)
    | any_text.map(notification)
    | st.fixed_dictionaries(
        {"Type": known_words, "TopicArn": known_words, "Message": known_words | request_fields}
    )
)
documents = any_json | request_fields | events | notifications
bodies = any_text | documents.map(json.dumps)

progress_fields = st.fixed_dictionaries(
    {
        "request_id": known_words,
        "source": known_words | st.sampled_from(Source),
        "life_id": known_words,
        "deferrals": known_words | st.integers(),
        "tally": known_words | st.fixed_dictionaries({"attempts": st.integers()}),
        "unrecorded": st.none()
        | any_json
        | st.fixed_dictionaries(
            {
                "claim": any_json
                | st.fixed_dictionaries(
                    {"claim_id": any_json, "request_id": any_json, "user_id": any_json}
                ),
                "result": any_json | st.just(json.loads(RESULT.to_json())),
                "answered_at": known_words | st.floats(),
                "window_ends_at": known_words | st.floats(),
            }
        ),
    }
)
identifiers = st.text(
    st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=128
).filter(str.strip)
moments = st.floats(0, 253_402_000_000)
progresses = st.builds(
    Progress,
    request_id=st.none() | identifiers,
    source=st.none() | st.sampled_from(Source),
    life_id=st.none() | identifiers,
    asked_at=st.none() | moments,
    deferrals=st.integers(0),
    tally=st.builds(Tally, st.integers(0), st.integers(0)),
    http_status=st.none() | st.integers(100, 999),
    unrecorded=st.none()
    | st.builds(
        Unrecorded,
        claim=st.builds(Claim, identifiers, identifiers, identifiers),
        result=st.builds(
            Result,
            *[identifiers] * 2,
            *[st.none() | identifiers] * 2,
            st.sampled_from(Source),
            st.sampled_from(Status),
            identifiers,
            st.none() | st.integers(100, 999),
            st.integers(0),
            identifiers,
            *[st.none() | identifiers] * 2,
        ),
        answered_at=moments,
        window_ends_at=st.none() | moments,
    ),
    cap=st.none() | st.builds(Cap, st.integers(0), moments),
)


class TestAnyInput:
    @given(bodies, st.sampled_from(["detail.user_id", "@", "*", "detail", "join('/', detail)"]))
    def test_is_a_request_or_refused(self, body: str, path: str) -> None:
        with contextlib.suppress(InvalidRequestError):
            request = read_request(delivery_of(body), Progress(), jmespath.compile(path))
            assert isinstance(request, Request)

    @given(documents)
    @example([[]] * 2)
    @example({"user_ids": [["\ud800"]], "request_id": "\ud800"})
    def test_of_an_invocation_becomes_deliveries(self, event: Any) -> None:
        assert all(
            isinstance(delivery, Delivery)
            for delivery in deliveries_of_invocation(event, "i1", NOW)
        )

    @given(any_text | any_json.map(json.dumps) | progress_fields.map(json.dumps))
    def test_of_notes_is_progress_or_refused(self, notes: str) -> None:
        with contextlib.suppress(InvalidRequestError):
            assert isinstance(read_progress(notes), Progress)

    @given(progresses)
    def test_progress_survives_its_journey(self, progress: Progress) -> None:
        assert read_progress(write_progress(progress)) == progress

    @given(any_text | st.text(st.sampled_from("./%\\;?#@: eE2fF")))
    @example("..%2f")
    @example("%2E%2e")
    def test_user_id_that_comes_through_is_one_segment_of_the_path(self, user_id: str) -> None:
        with contextlib.suppress(InvalidRequestError):
            user_id = read({"user_id": user_id}).user_id
            url = parse_url(f"https://api.example.com/v2/user/{quote(user_id, safe='')}/invite")

            assert (url.host, url.query, url.fragment) == ("api.example.com", None, None)
            before, segment, after = (url.path or "").rsplit("/", 2)
            assert (before, unquote(segment), after) == ("/v2/user", user_id, "invite")
