"""Any shape in which a request arrives, turned into requests."""

import json
import math
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeGuard

from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

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
    Tally,
    Unrecorded,
    derived_request_id,
)

MAX_ID_LENGTH = 128
MAX_USER_IDS = 1_000
"""Users in one direct invocation: those who do not fit its time can all be queued in the rest."""

_COMMON_FIELDS = ("on_active_window", "not_after", "correlation_id")

Fields = Mapping[str, Any]


def read_request(delivery: Delivery, progress: Progress, user_id_path: ParsedResult) -> Request:
    """The request in a message's body.

    Raises InvalidRequestError with the reason when the body holds none.
    """
    document = _parse_object(delivery.body)
    source = delivery.source
    if _is_sns_notification(document):
        source = Source.SNS
        document = _parse_object(document["Message"])
    default_id = delivery.delivery_id
    if _is_eventbridge_event(document):
        if source is not Source.SNS:
            source = Source.EVENTBRIDGE
        if _is_identifier(document.get("id")):
            default_id = document["id"]
        detail = document["detail"]
        fields: Fields = detail if isinstance(detail, dict) else {}
        user_id = _search(user_id_path, document)
    else:
        fields = document
        user_id = fields.get("user_id")
    request_id = progress.request_id
    correlation_id = None
    try:
        request_id = request_id or _identifier(fields.get("request_id"), "request_id")
        correlation_id = _identifier(fields.get("correlation_id"), "correlation_id")
        _refuse_user_ids(fields)
        return Request(
            request_id=request_id or default_id,
            user_id=read_user_id(user_id),
            source=progress.source or source,
            on_active_window=_on_active_window(fields.get("on_active_window")),
            not_after=_moment(fields.get("not_after")),
            correlation_id=correlation_id,
        )
    except InvalidRequestError as error:
        error.about(request_id or default_id, correlation_id, source)
        raise


def deliveries_of_invocation(event: object, invocation_id: str, now: float) -> list[Delivery]:
    """One delivery for each user that a direct invocation names.

    Lambda repeats a failed asynchronous invocation under the same id, so ids made from it make
    the repetition the same requests.
    """

    def delivery(body: object, delivery_id: str) -> Delivery:
        return Delivery(delivery_id, json.dumps(body), Source.DIRECT, received_at=now)

    if not _names_many(event):
        return [delivery(event, invocation_id)]
    common = {name: event[name] for name in _COMMON_FIELDS if name in event}
    given_id = event.get("request_id", invocation_id)
    deliveries: dict[str, Delivery] = {}
    for entry in event["user_ids"]:
        name = json.dumps(entry)
        # A faulty id stays as it came, so that each of the requests is refused for it.
        request_id = derived_request_id(given_id, name) if _is_identifier(given_id) else given_id
        body = {"user_id": entry, "request_id": request_id, **common}
        deliveries[name] = delivery(body, derived_request_id(invocation_id, name))
    return list(deliveries.values())


def write_progress(progress: Progress) -> str:
    return json.dumps(_plain(progress))


def _plain(record: Any) -> dict[str, Any]:
    """As a dict, and so the records in it, which would be lists in JSON."""
    return {
        name: _plain(each) if isinstance(each, tuple) else each
        for name, each in record._asdict().items()
    }


def read_progress(notes: str | None) -> Progress:
    """Raises InvalidRequestError, reason `malformed_progress`: somebody else wrote the notes."""
    if notes is None:
        return Progress()
    try:
        fields = json.loads(notes)
        return Progress(
            request_id=_identifier(fields["request_id"], "request_id"),
            source=None if fields["source"] is None else Source(fields["source"]),
            life_id=_identifier(fields["life_id"], "life_id"),
            asked_at=_time_or_none(fields.get("asked_at")),
            deferrals=_count(fields["deferrals"]),
            tally=Tally(_count(fields["tally"]["attempts"]), _count(fields["tally"]["pardons"])),
            http_status=None if fields["http_status"] is None else _count(fields["http_status"]),
            unrecorded=_unrecorded(fields["unrecorded"]),
            cap=_cap(fields.get("cap")),
        )
    except (InvalidRequestError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidRequestError(
            "malformed_progress", "the message's notes on earlier attempts cannot be read"
        ) from error


def _unrecorded(fields: Fields | None) -> Unrecorded | None:
    if fields is None:
        return None
    claim, result, window_ends_at = (
        Claim(**fields["claim"]),
        Result.from_json(json.dumps(fields["result"])),
        fields["window_ends_at"],
    )
    _count(result.attempts)
    texts = (claim.claim_id, claim.request_id, claim.user_id, result.request_id, result.reason)
    if not all(_is_identifier(text) for text in texts):
        raise ValueError("an id is missing")
    return Unrecorded(
        claim=claim,
        result=result,
        answered_at=float(fields["answered_at"]),
        window_ends_at=None if window_ends_at is None else float(window_ends_at),
    )


def _cap(fields: Fields | None) -> Cap | None:
    if fields is None:
        return None
    return Cap(_count(fields["max_invites"]), float(fields["min_age_seconds"]))


def _time_or_none(value: Any) -> float | None:
    if value is None or (isinstance(value, float | int) and math.isfinite(value)):
        return value
    raise ValueError("a time is a number of seconds")


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("a count is a whole number")
    return value


def _parse_object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError("malformed_json", "the body is not JSON") from error
    if not isinstance(document, dict):
        kind = type(document).__name__
        raise InvalidRequestError("not_an_object", f"the body is a JSON {kind}, not an object")
    return document


def _is_sns_notification(document: Fields) -> bool:
    return (
        document.get("Type") == "Notification"
        and "TopicArn" in document
        and isinstance(document.get("Message"), str)
    )


def _is_eventbridge_event(document: Fields) -> bool:
    return {"source", "detail-type", "detail"} <= document.keys()


def _names_many(event: object) -> TypeGuard[dict[str, Any]]:
    return (
        isinstance(event, dict)
        and "user_id" not in event
        and not _is_eventbridge_event(event)
        and isinstance(event.get("user_ids"), list)
        and len(event["user_ids"]) <= MAX_USER_IDS
    )


def _refuse_user_ids(fields: Fields) -> None:
    if "user_ids" in fields:
        raise InvalidRequestError(
            "user_ids_malformed",
            f"user_ids is for direct invocations, a list of at most {MAX_USER_IDS}, "
            "without a user_id beside it",
        )


def _search(user_id_path: ParsedResult, event: Fields) -> object:
    try:
        return user_id_path.search(event)
    except JMESPathError as error:
        raise InvalidRequestError(
            "user_id_missing", f"UserIdPath does not fit the event: {type(error).__name__}"
        ) from error


def read_user_id(value: object) -> str:
    """A user id that, percent-encoded, is exactly one segment of a path."""
    if value is None:
        raise InvalidRequestError("user_id_missing", "the request names no user_id")
    if not isinstance(value, str):
        kind = type(value).__name__
        raise InvalidRequestError("user_id_not_a_string", f"user_id is a {kind}, not a string")
    if not value.strip():
        raise InvalidRequestError("user_id_blank", "user_id is blank")
    if len(value) > MAX_ID_LENGTH:
        raise InvalidRequestError(
            "user_id_too_long", f"user_id has {len(value)} characters, at most {MAX_ID_LENGTH}"
        )
    if _has_unsafe_character(value):
        raise InvalidRequestError(
            "user_id_unsafe_character", f"user_id {value!a} has a control character or a surrogate"
        )
    if value in (".", ".."):
        raise InvalidRequestError(
            "user_id_dot_segment", f"user_id {value!r} would name another path"
        )
    return value


def _is_identifier(value: object) -> TypeGuard[str]:
    return (
        isinstance(value, str)
        and bool(value.strip())
        and len(value) <= MAX_ID_LENGTH
        and not _has_unsafe_character(value)
    )


def _identifier(value: object, name: str) -> str | None:
    if value is None or _is_identifier(value):
        return value
    raise InvalidRequestError(
        f"{name}_malformed",
        f"{name} must be a string of 1 to {MAX_ID_LENGTH} characters, none of them a control "
        "character",
    )


def _has_unsafe_character(value: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in value)


def _on_active_window(value: object) -> OnActiveWindow:
    if value is None:
        return OnActiveWindow.SKIP
    try:
        return OnActiveWindow(value)  # type: ignore[arg-type]  # anything else is a ValueError
    except ValueError as error:
        raise InvalidRequestError(
            "on_active_window_unknown", "on_active_window must be skip or defer"
        ) from error


def _moment(value: object) -> float | None:
    """Epoch seconds of an ISO 8601 time; without an offset it is UTC."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type]  # a TypeError below
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequestError(
            "not_after_malformed", "not_after must be an ISO 8601 time"
        ) from error
