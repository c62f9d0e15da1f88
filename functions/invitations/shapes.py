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
        if _matches(document, {"Type": "Notification", "TopicArn": _ANY, "Message": str}):
            source = Source.SNS
            document = _parse_object(document["Message"], "The notification's Message")
        if _matches(document, {"source": _ANY, "detail-type": _ANY, "detail": _ANY}):
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
    for pattern, sentence in _OTHER_SHAPES:
        if _matches(document, pattern):
            _refuse(sentence)
    match document.get("Records"):
        case [{"EventSource": "aws:sns"}, *_]:
            _refuse("The body is an SNS event; subscribe the request queue, not the function")
        case [{"eventSource": "aws:s3"}, *_]:
            _refuse("The body is a notification of S3; send a request for each user instead")
        case list():
            _refuse("The body is an event with Records; send each record's request by itself")


_ANY = object
_OTHER_SHAPES: list[tuple[Mapping[str, Any], str]] = [
    (
        {"Type": "Notification", "TopicArn": _ANY, "Message": str},
        "The body is an SNS notification inside another; subscribe one queue to one topic",
    ),
    (
        {"Type": "Notification", "TopicArn": _ANY},
        "The body is an SNS notification without a text; publish the request as text",
    ),
    (
        {"Type": "SubscriptionConfirmation"},
        "The body is an SNS subscription confirmation; subscribe the queue by its ARN",
    ),
    (
        {"Type": "UnsubscribeConfirmation"},
        "The body is an SNS unsubscribe confirmation; subscribe the queue again",
    ),
    (
        {"Service": "Amazon S3", "Event": _ANY},
        "The body is the test event of an S3 notification; send a request for each user instead",
    ),
    (
        {"requestContext": _ANY, "requestPayload": _ANY},
        "The body is the envelope of a Lambda destination; send its requestPayload",
    ),
    (
        {"requestContext": _ANY},
        "The body is an event of API Gateway, a function URL or a load balancer; send its body",
    ),
    (
        {"httpMethod": _ANY},
        "The body is an event of API Gateway or a load balancer; send its body",
    ),
    (
        {"specversion": _ANY, "type": _ANY, "source": _ANY},
        "The body is a CloudEvents event; send its data",
    ),
    (
        {"messageId": _ANY, "body": _ANY},
        "The body is an SQS record, as EventBridge Pipes send it; send the record's body",
    ),
    (
        {"MessageId": _ANY, "Body": _ANY},
        "The body is a message as ReceiveMessage returns it; send its Body",
    ),
    (
        {"DetailType": _ANY, "Detail": _ANY},
        "The body is an entry for PutEvents; put it on the event bus",
    ),
]


def _matches(document: Fields, pattern: Mapping[str, Any]) -> bool:
    """Return whether the document has each name with this value, or with a value of this type."""
    return all(
        name in document
        and (
            wanted == document[name]
            or (isinstance(wanted, type) and isinstance(document[name], wanted))
        )
        for name, wanted in pattern.items()
    )
