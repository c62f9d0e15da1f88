"""The envelopes around a request, and the shapes of other services that contain none."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from invitations.messages import Message
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
    event: Fields
    """The EventBridge event whose detail the fields are; empty if there is none."""
    fields: Fields = field(default_factory=dict)
    fault: FieldError | None = None
    """Why there are no fields."""


def unwrap(message: Message) -> Content:
    """Take a request or an order out of an SNS notification and an EventBridge event."""
    source, event = message.source, {}
    try:
        document = _parse(message.body)
        match document:
            case {"Type": "Notification", "TopicArn": _, "Message": str(text)}:
                source = Source.SNS
                document = _parse(text)
    except FieldError as fault:
        return Content(source, {}, fault=fault)
    match document:
        case {"source": _, "detail-type": _, "detail": detail}:
            source = source if source == Source.SNS else Source.EVENTBRIDGE
            event, document = document, detail
    shape = _shape_of_another_service(event or document)
    if shape is not None:
        detail = f"The message is {shape}."
        return Content(source, event, fault=FieldError(Reason.UNSUPPORTED_SHAPE, detail))
    if not isinstance(document, dict):
        detail = f"The message is {kind_of(document)}; send a JSON object with a user_id."
        return Content(source, event, fault=FieldError(Reason.NOT_AN_OBJECT, detail))
    return Content(source, event, document)


def kind_of(value: Any) -> str:
    """Return what a value is, in the words of JSON."""
    return _KINDS.get(type(value), "an object")


def _parse(text: str) -> Any:
    try:
        return json.loads(
            text.removeprefix("\ufeff"), object_pairs_hook=_object_of, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as error:
        detail = f"The message is not valid JSON ({error}); send a JSON object."
        raise FieldError(Reason.MALFORMED_JSON, detail) from error


def _refuse(constant: str) -> None:
    # Python's parser takes NaN and Infinity.
    raise ValueError(f"{constant} is no JSON")


def _object_of(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        detail = "An object has the same key twice; send each key once."
        raise FieldError(Reason.DUPLICATE_KEY, detail)
    return document


def _shape_of_another_service(document: Any) -> str | None:
    """Return what a document is and what to send instead; None for no known shape."""
    match document:
        case {"source": _, "detail-type": _, "detail": detail}:
            if isinstance(detail, dict):
                return None
            return (
                f"an event whose detail is {kind_of(detail)}; send an object with the user's id "
                "where UserIdPath looks for it"
            )
        case {"user_id": _} | {"user_ids": _}:
            # A request, whatever else it contains.
            return None
        case str():
            return "a string; send the object itself, without quotes around it"
        case [dict(), *_]:
            return "an array, as EventBridge Pipes send it; send each element by itself"
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
