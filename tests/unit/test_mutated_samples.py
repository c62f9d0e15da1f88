"""Samples of events/ with random changes: each is a request, an order or invalid input."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jmespath
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invitations.messages import Message
from invitations.requests import InvalidRequestError, Order, Request, read_message
from invitations.results import Reason, Source, invalid_result

EVENTS = Path(__file__).parents[2] / "events"
SAMPLES = [
    json.loads(path.read_text(encoding="utf-8"))
    for folder in ("queue", "bus", "invoke")
    for path in sorted((EVENTS / folder).glob("*.json"))
]
PATHS = [
    jmespath.compile(path)
    for path in (
        "detail.user_id",
        "to_string(detail.user_id)",
        "detail.*",
        "@",
        "detail.users[0].id",
    )
]

any_text = st.text(st.characters(exclude_categories=()), max_size=20)
any_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
values = any_json | st.sampled_from(
    ["", " ", ".", "..", "null", "skip", "DEFER", "2027-01-15", "9999-12-31", 10**400, "x" * 129]
)
SPELLINGS: list[Callable[[str], str]] = [
    str.upper,
    str.title,
    lambda name: name.replace("_", "-"),
    lambda name: name.replace("_", ""),
    lambda name: name.title().replace("_", ""),
    lambda name: f" {name}",
    lambda name: f"{name}\u200b",
]
NESTINGS: list[Callable[[Any], Any]] = [
    lambda value: [value],
    lambda value: {"user_id": value},
    lambda value: {"body": json.dumps(value)},
    lambda value: {"Records": [value]},
    json.dumps,
    lambda value: {"Type": "Notification", "TopicArn": "arn", "Message": json.dumps(value)},
    lambda value: {"Type": "Notification", "TopicArn": "arn", "Message": value},
    lambda value: {"source": "crm", "detail-type": "t", "detail": value},
    lambda value: {"user_ids": [value, value]},
    lambda value: {"messageId": "m", "body": json.dumps(value), "requestContext": value},
]
ENCODINGS: list[Callable[[Any], str]] = [
    json.dumps,
    lambda value: json.dumps(value, ensure_ascii=False, indent=1),
    lambda value: "\ufeff" + json.dumps(value),
    lambda value: json.dumps(json.dumps(value)),
    repr,
    lambda value: json.dumps(value)[:-1],
    lambda value: json.dumps(value).replace(",", ",,", 1),
    lambda value: json.dumps(value).replace(': "', ': "1", "user_id": "', 1),
    lambda value: quote(json.dumps(value)),
    lambda value: base64.b64encode(json.dumps(value).encode()).decode(),
    lambda value: json.dumps(value).encode("utf-16").decode("latin-1"),
    lambda value: "\n".join([json.dumps(value)] * 2),
    lambda value: json.dumps(value) + "\x00",
]


@st.composite
def mutated_texts(draw: st.DrawFn) -> str:
    document = json.loads(json.dumps(draw(st.sampled_from(SAMPLES))))
    for _ in range(draw(st.integers(1, 3))):
        document = draw(mutated(document))
    text: str = draw(st.just(json.dumps) | st.sampled_from(ENCODINGS))(document)
    return text


def mutated(document: Any) -> st.SearchStrategy[Any]:
    """The document with one change somewhere in it."""
    nested = st.sampled_from(NESTINGS).map(lambda nest: nest(document))
    if not isinstance(document, dict) or not document:
        return nested | values
    names = st.sampled_from(list(document))
    return st.one_of(
        nested,
        names.flatmap(lambda name: values.map(lambda value: {**document, name: value})),
        names.map(lambda name: {key: document[key] for key in document if key != name}),
        st.tuples(names, st.sampled_from(SPELLINGS)).map(
            lambda pair: {
                (pair[1](key) if key == pair[0] else key): value for key, value in document.items()
            }
        ),
        names.flatmap(
            lambda name: mutated(document[name]).map(lambda value: {**document, name: value})
        ),
        st.dictionaries(
            st.sampled_from(
                ["user_id", "user_ids", "request_id", "not_after", "dry_run", "detail"]
            ),
            values,
        ).map(lambda more: {**document, **more}),
    )


def users_named_in(value: Any) -> Iterator[str]:
    """Each id that stands under user_id or user_ids, also in JSON inside a string."""
    if isinstance(value, str):
        try:
            value = json.loads(value.removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            return
        yield from users_named_in(value)
    elif isinstance(value, list):
        for each in value:
            yield from users_named_in(each)
    elif isinstance(value, dict):
        ids = value.get("user_ids")
        for user_id in [value.get("user_id"), *(ids if isinstance(ids, list) else [])]:
            if isinstance(user_id, str):
                yield user_id.strip()
        for each in value.values():
            yield from users_named_in(each)


def outcome_of(message: Message, path: Any) -> Request | Order | InvalidRequestError:
    try:
        return read_message(message, path)
    except InvalidRequestError as error:
        return error


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated_texts(), st.sampled_from([Source.SQS, Source.DIRECT]))
def test_mutated_sample_is_a_request_for_a_user_that_it_names_or_invalid(
    text: str, source: Source
) -> None:
    message = Message("m1", text, source, 0.0, 0.0)
    named = set(users_named_in(text))
    match outcome_of(message, PATHS[0]):
        case Request(user_id=user_id):
            assert user_id in named
        case Order(user_ids=user_ids):
            assert {each for each in user_ids if isinstance(each, str)} <= named
        case InvalidRequestError() as error:
            assert error.reason in list(Reason)
            assert error.detail
            assert "@" not in error.detail
            assert error.user_id is None or error.user_id in named
            assert len(invalid_result(message, error).to_json()) < 10_000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated_texts() | any_text | any_json.map(json.dumps), st.sampled_from(PATHS))
def test_any_text_is_a_request_an_order_or_invalid_whatever_the_path(text: str, path: Any) -> None:
    outcome = outcome_of(Message("m1", text, Source.SQS, 0, 0), path)

    if isinstance(outcome, InvalidRequestError):
        assert outcome.reason in list(Reason)
        assert outcome.detail
