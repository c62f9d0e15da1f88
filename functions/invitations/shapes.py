"""The envelopes around a request, and the shapes of other services that contain none."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from invitations.messages import Message, refuse_constant
from invitations.results import Reason, Source

Fields = Mapping[str, Any]

_KINDS = {
    NoneType: "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
}


@dataclass
class FieldError(Exception):
    """One thing that is wrong with the input, in the words of JSON."""

    reason: Reason
    detail: str


@dataclass(frozen=True)
class Content:
    """The content of a message without its envelopes."""

    source: Source
    fields: Fields = field(default_factory=dict)
    event: Fields | None = None
    """The EventBridge event whose detail the fields are."""
    fault: FieldError | None = None
    """Why there are no fields."""


def unwrap(message: Message) -> Content:
    """Take a request or an order out of an SNS notification and an EventBridge event."""
    source, event = message.source, None
    try:
        document = _parse_object(message.body, "The body")
        match document:
            case {"Type": "Notification", "TopicArn": _, "Message": str(text)}:
                source = Source.SNS
                document = _parse_object(text, "The notification's Message")
        if {"source", "detail-type", "detail"} <= document.keys():
            source = source if source == Source.SNS else Source.EVENTBRIDGE
            event, document = document, document["detail"]
            if not isinstance(document, dict):
                raise _unsupported(
                    f"The event's detail is {kind_of(document)}; send an object with the user's id "
                    "where UserIdPath looks for it"
                )
        # An object with user_id or user_ids is a request, whatever else it contains.
        elif not {"user_id", "user_ids"} & document.keys():
            shape = _shape_of_another_service(document)
            if shape is not None:
                raise _unsupported(f"The body is {shape}")
    except FieldError as fault:
        return Content(source, event=event, fault=fault)
    return Content(source, document, event)


def kind_of(value: Any) -> str:
    """Return what a value is, in the words of JSON."""
    return _KINDS.get(type(value), "an object")


def _parse_object(text: str, what: str) -> dict[str, Any]:
    try:
        document = json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_object_of,
            parse_constant=refuse_constant,
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
            raise _unsupported(
                f"{what} is a JSON string; send the object itself, without quotes around it"
            )
        case [dict(), *_]:
            raise _unsupported(
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


def _unsupported(detail: str) -> FieldError:
    return FieldError(Reason.UNSUPPORTED_SHAPE, f"{detail}.")


def _shape_of_another_service(document: Fields) -> str | None:
    """Return what a document is and what to send instead; None for no known shape."""
    match document:
        case {"Type": _, "SubscribeURL": _}:
            return "a confirmation of SNS; subscribe the queue by its ARN"
        case {"Type": _, "TopicArn": _}:
            return (
                "an SNS notification inside another, or without text; publish the request as text"
            )
        case {"Records": [{"EventSource": "aws:sns"}, *_]}:
            return "an SNS event; subscribe the request queue, not the function"
        case {"Records": [{"eventSource": "aws:s3"}, *_]}:
            return "a notification of S3; send a request for each user instead"
        case {"Records": list()}:
            return "an event with Records; send each record's request by itself"
        case {"Service": _, "Event": _, "Bucket": _}:
            return "the test event of an S3 notification; send requests instead"
        case {"requestPayload": _}:
            return "the envelope of a Lambda destination; send its requestPayload"
        case {"requestContext": _} | {"httpMethod": _}:
            return "an event of API Gateway, a function URL or a load balancer; send its body"
        case {"specversion": _, "type": _, "source": _}:
            return "a CloudEvents event; send its data"
        case {"messageId": _, "body": _}:
            return "an SQS record, as EventBridge Pipes send it; send the record's body"
        case {"MessageId": _, "Body": _}:
            return "a message as ReceiveMessage returns it; send its Body"
        case {"DetailType": _, "Detail": _}:
            return "an entry for PutEvents; put it on the event bus"
    return None
