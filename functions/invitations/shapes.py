"""The envelopes around a request, and the shapes of other services that contain none."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from invitations.messages import Message
from invitations.results import Reason, Source

Fields = Mapping[str, Any]


@dataclass
class FieldError(Exception):
    """One thing that is wrong with the input, in the words of JSON."""

    reason: Reason
    detail: str


@dataclass(frozen=True)
class Content:
    """The content of a message without its envelopes."""

    source: str
    fields: Fields = field(default_factory=dict)
    event: Fields | None = None
    """The EventBridge event whose detail the fields are."""
    fault: FieldError | None = None
    """Why there are no fields."""


def unwrap(message: Message) -> Content:
    """Take a request or an order out of an SNS notification and an EventBridge event."""
    source: str = message.source
    event = None
    try:
        document = _parse_object(message.body, "The body")
        match document:
            case {"Type": "Notification", "TopicArn": _, "Message": str(text)}:
                source = Source.SNS
                document = _parse_object(text, "The notification's Message")
        if {"source", "detail-type", "detail"} <= document.keys():
            source = Source.EVENTBRIDGE if source != Source.SNS else source
            event = document
            return Content(source, _detail_of(event), event)
        # An object with user_id or user_ids is a request, whatever else it contains.
        if not {"user_id", "user_ids"} & document.keys():
            _refuse_other_shapes(document)
        return Content(source, document)
    except FieldError as fault:
        return Content(source, event=event, fault=fault)


def kind_of(value: Any) -> str:
    """Return what a value is, in the words of JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def _parse_object(text: str, what: str) -> dict[str, Any]:
    try:
        document = json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_object_of,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError) as error:
        place = ""
        if isinstance(error, json.JSONDecodeError):
            place = f" (line {error.lineno}, column {error.colno})"
        raise FieldError(
            Reason.MALFORMED_JSON, f"{what} is not valid JSON{place}; send a JSON object."
        ) from error
    match document:
        case dict():
            return document
        case str():
            _refuse(f"{what} is a JSON string; send the object itself, without quotes around it")
        case [dict(), *_]:
            _refuse(
                f"{what} is an array, as EventBridge Pipes send it; send each element by itself"
            )
    raise FieldError(
        Reason.NOT_AN_OBJECT, f"{what} is {kind_of(document)}; send a JSON object with a user_id."
    )


def _object_of(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        # Another text could be an e-mail address.
        which = f"the key {twice}" if re.fullmatch(r"\w{1,50}", twice) else "a key"
        raise FieldError(Reason.DUPLICATE_KEY, f"An object has {which} twice; send each key once.")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _detail_of(event: Fields) -> Fields:
    detail = event["detail"]
    if not isinstance(detail, dict):
        _refuse(
            f"The event's detail is {kind_of(detail)}; send an object with the user's id where "
            "UserIdPath looks for it"
        )
    return detail


def _refuse(detail: str) -> NoReturn:
    raise FieldError(Reason.UNSUPPORTED_SHAPE, f"{detail}.")


def _refuse_other_shapes(document: Fields) -> None:
    for names, shape in _OTHER_SHAPES:
        if names <= document.keys():
            _refuse(f"The body is {shape}")
    match document.get("Records"):
        case [{"EventSource": "aws:sns"}, *_]:
            _refuse("The body is an SNS event; subscribe the request queue, not the function")
        case [{"eventSource": "aws:s3"}, *_]:
            _refuse("The body is a notification of S3; send a request for each user instead")
        case list():
            _refuse("The body is an event with Records; send each record's request by itself")


_OTHER_SHAPES = [
    ({"Type", "SubscribeURL"}, "a confirmation of SNS; subscribe the queue by its ARN"),
    (
        {"Type", "TopicArn"},
        "an SNS notification inside another, or without a text; publish the request as text",
    ),
    ({"Service", "Event", "Bucket"}, "the test event of an S3 notification; send requests instead"),
    ({"requestPayload"}, "the envelope of a Lambda destination; send its requestPayload"),
    ({"requestContext"}, "an event of API Gateway or a function URL; send its body"),
    ({"httpMethod"}, "an event of API Gateway or a load balancer; send its body"),
    ({"specversion", "type", "source"}, "a CloudEvents event; send its data"),
    ({"messageId", "body"}, "an SQS record, as EventBridge Pipes send it; send the record's body"),
    ({"MessageId", "Body"}, "a message as ReceiveMessage returns it; send its Body"),
    ({"DetailType", "Detail"}, "an entry for PutEvents; put it on the event bus"),
]
"""The names that give a shape away, and what to say of it."""
