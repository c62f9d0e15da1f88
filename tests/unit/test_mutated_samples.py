"""Samples of events/ with random changes: each is a request, an order or invalid input."""

import json
import random
import re
from collections.abc import Callable
from typing import Any

import jmespath
import pytest

from invitations.messages import Message
from invitations.requests import InvalidRequestError, Order, Request, read_message
from invitations.results import Source, invalid_result
from local.samples import read_samples
from tests.documents import schema

SAMPLES = [json.loads(sample.text) for sample in read_samples()]
FIELDS = ["user_id", "user_ids", "request_id", "not_after", "dry_run", "detail", "ada@example.com"]
ODD: list[Any] = [None, True, -1.5, 10**400, float("nan"), [], {}, ["u7", 7, "u7"], [[["u7"]]]]
ODD += ["", "..", "null", "DEFER", "9999-12-31", "x" * 129, "a\u200bb", "\ud800", "ada@example.com"]
SPELLINGS: list[Callable[[str], str]] = [
    str.upper,
    lambda name: name.title().replace("_", ""),
    lambda name: f"{name}\u200b",
]
NESTINGS: list[Callable[[Any], Any]] = [
    lambda value: [value],
    lambda value: {"user_id": value},
    lambda value: {"Records": [value]},
    json.dumps,
    lambda value: {"Type": "Notification", "TopicArn": "arn", "Message": json.dumps(value)},
    lambda value: {"source": "crm", "detail-type": "t", "detail": value},
    lambda value: {"user_ids": [value, value]},
    lambda value: {"messageId": "m", "body": json.dumps(value), "requestContext": value},
]
ENCODINGS: list[Callable[[Any], str]] = [
    lambda value: "\ufeff" + json.dumps(value),
    lambda value: json.dumps(json.dumps(value)),
    repr,
    lambda value: json.dumps(value)[:-1],
    lambda value: json.dumps(value).replace(': "', ': "1", "user_id": "', 1),
    lambda value: "\n".join([json.dumps(value)] * 2),
]


def mutated_text(rng: random.Random) -> str:
    document = rng.choice(SAMPLES)
    for _ in range(rng.randint(1, 3)):
        document = mutated(document, rng)
    encode = rng.choice(ENCODINGS)
    return encode(document) if rng.random() < 0.5 else json.dumps(document)


def mutated(document: Any, rng: random.Random) -> Any:
    """The document with one change somewhere in it."""
    if not isinstance(document, dict) or not document or rng.random() < 0.2:
        return rng.choice(NESTINGS)(rng.choice([document, rng.choice(ODD)]))
    name = rng.choice(list(document))
    match rng.randrange(5):
        case 0:
            return {**document, name: rng.choice(ODD)}
        case 1:
            return {key: document[key] for key in document if key != name}
        case 2:
            spelt = rng.choice(SPELLINGS)(name)
            return {spelt if key == name else key: document[key] for key in document}
        case 3:
            return {**document, rng.choice(FIELDS): rng.choice(ODD)}
        case _:
            return {**document, name: mutated(document[name], rng)}


def outcome_of(message: Message) -> Request | Order | InvalidRequestError:
    try:
        return read_message(message, jmespath.compile("detail.user_id"))
    except InvalidRequestError as error:
        return error


@pytest.mark.parametrize("seed", range(5))
def test_mutated_sample_is_a_request_for_a_user_that_it_names_or_invalid(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        judge(mutated_text(rng))


def judge(text: str) -> None:
    message = Message("m1", text, Source.SQS, 0.0, 0.0)
    match outcome_of(message):
        case Request(user_id=user_id):
            assert letters(user_id) in letters(text)
        case Order(user_ids=user_ids):
            assert [
                each for each in user_ids if letters(json.dumps(each)) not in letters(text)
            ] == []
        case InvalidRequestError() as error:
            result = invalid_result(message, error).to_json()
            schema("result").validate(json.loads(result))
            assert len(result) < 10_000
            assert "@" not in error.detail


def letters(text: str) -> str:
    """The letters and digits, which no escape changes."""
    return re.sub(r"\W", "", text)
