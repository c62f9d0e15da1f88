"""What comes in: any shape of message, read as a request or an order for many users.

No AWS, no clock; times are epoch seconds. Field names, types and texts in the errors are JSON's.
"""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any

from jmespath.parser import ParsedResult

from invitations.messages import Message, RetryState
from invitations.results import Reason, Result, Status, derived_request_id, iso, result_id
from invitations.shapes import FieldError, Fields, kind_of, unwrap

MAX_ID_LENGTH = 128
MAX_USER_IDS = 1_000
LARGEST_SMALL_ORDER = 10
"""Users of an order that one execution carries out side by side; a larger order is bulk."""

_OPTIONAL_FIELDS = ("request_id", "on_active_window", "not_after", "correlation_id")
_FIELDS = ("user_id", "user_ids", *_OPTIONAL_FIELDS)
# Control, format (zero-width), surrogate, line separator, paragraph separator.
_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# SQS refuses a message that contains one of these.
_NONCHARACTERS = "\ufffe\uffff"


@dataclass(frozen=True)
class Request:
    """The wish that one user be invited again, with its message."""

    message: Message
    user_id: str
    on_active_window: str = "skip"
    """`skip` or `defer`."""
    not_after: float | None = None
    correlation_id: str | None = None

    @property
    def request_id(self) -> str:
        return self.message.request_id

    @property
    def state(self) -> RetryState:
        return self.message.state

    def with_state(self, state: RetryState) -> "Request":
        return replace(self, message=replace(self.message, state=state))

    def is_over(self, now: float) -> bool:
        """Return whether `not_after` has passed."""
        return self.not_after is not None and now > self.not_after


@dataclass(frozen=True)
class Order:
    """The wish that each of many users be invited again; `fields` apply to all of them."""

    message: Message
    user_ids: Sequence[Any]
    """Trimmed, without duplicates; each id is validated when its own request is read."""
    fields: Fields

    @property
    def is_small(self) -> bool:
        return len(self.user_ids) <= LARGEST_SMALL_ORDER

    def messages(self) -> list[Message]:
        """Return a message for each user; the order and the user determine its request id."""
        messages = []
        for user_id in self.user_ids:
            body = json.dumps({"user_id": user_id, **self.fields})
            name = derived_request_id(self.message.request_id, user_id)
            messages.append(
                replace(self.message, message_id=name, given_request_id=name, body=body)
            )
        return messages


def read_message(message: Message, user_id_path: ParsedResult) -> Request | Order | Result:
    """Read the request or the order in a message's body.

    Returns the `invalid` result of a body that has none; the result says what is wrong first, and
    has the ids that are usable.
    """
    content = unwrap(message)
    fields, event = content.fields, content.event
    # Null and blank text mean that an optional field is absent.
    given = {each: fields[each] for each in _OPTIONAL_FIELDS if not _is_blank(fields.get(each))}
    request_id = (
        usable_id(given.get("request_id")) or message.given_request_id or usable_id(event.get("id"))
    )
    message = replace(message, given_request_id=request_id, source=content.source)
    correlation_id = usable_id(given.get("correlation_id"))
    is_order = "user_ids" in fields and not event
    user_id: Any = None
    # Before the user id: a misspelt name explains why there is none.
    fault = content.fault or _misspelt(fields, is_event=bool(event))
    try:
        if is_order:
            user_ids = _read_user_ids(fields)
        else:
            user_id = _find_user_id(fields, event, user_id_path)
        _check_id(given, "request_id", Reason.REQUEST_ID_MALFORMED)
        _check_id(given, "correlation_id", Reason.CORRELATION_ID_MALFORMED)
        on_active_window = _read_on_active_window(given)
        not_after = _read_not_after(given.get("not_after"))
    except FieldError as error:
        # After another fault, reading went on for the ids.
        fault = fault or error
    if fault is not None:
        # Not stored: each delivery of the message gives the same result. Two faulty messages may
        # name one request, so the id depends on the message.
        return Result(
            result_id=result_id(Status.INVALID, message.message_id),
            request_id=message.request_id,
            user_id=user_id,
            correlation_id=correlation_id,
            source=message.source,
            status=Status.INVALID,
            reason=fault.reason,
            detail=fault.detail,
            occurred_at=iso(message.state.asked_at),
        )
    if is_order:
        given.pop("request_id", None)
        return Order(message, user_ids, given)
    return Request(message, user_id, on_active_window, not_after, correlation_id)


def read_user_id(value: Any, missing: str = "The user has no id.") -> str:
    """Read a user id that, percent-encoded, is exactly one segment of a path.

    Raises FieldError.
    """
    if value is None:
        raise FieldError(Reason.USER_ID_MISSING, missing)
    if not isinstance(value, str):
        raise FieldError(
            Reason.USER_ID_NOT_A_STRING, f"user_id is {kind_of(value)}; Partoo's ids are strings."
        )
    text = value.strip()
    if not text:
        raise FieldError(Reason.USER_ID_EMPTY, "user_id is blank.")
    if len(text) > MAX_ID_LENGTH:
        raise FieldError(
            Reason.USER_ID_TOO_LONG,
            f"user_id has {len(text)} characters; {MAX_ID_LENGTH} are allowed.",
        )
    if _has_unsafe_character(text):
        raise FieldError(
            Reason.USER_ID_UNSAFE_CHARACTER,
            "user_id contains an invisible character, such as a zero-width space or a control "
            "character.",
        )
    if text in (".", ".."):
        raise FieldError(Reason.USER_ID_DOT_SEGMENT, f'user_id is "{text}", which is no id.')
    return text


def usable_id(value: Any) -> str | None:
    """Return the text of a valid request or correlation id, else None."""
    # A bool is an int, too, but no number in JSON.
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or _is_blank(text) or len(text) > MAX_ID_LENGTH:
        return None
    return None if _has_unsafe_character(text) else text


def _find_user_id(fields: Fields, event: Fields, user_id_path: ParsedResult) -> str:
    if not event:
        return read_user_id(
            fields.get("user_id"),
            "The request has no user_id. No other field is read; UserIdPath is for EventBridge "
            "events.",
        )
    try:
        found = user_id_path.search(event)
    except Exception:  # noqa: BLE001  # jmespath raises errors of many kinds for values that do not fit
        found = None
    # to_string() makes the text "null" of a field that is not there.
    return read_user_id(
        None if found == "null" else found,
        "The event has no user id where UserIdPath looks for it.",
    )


def _read_user_ids(fields: Fields) -> list[Any]:
    user_ids = fields["user_ids"]
    if (
        fields.get("user_id") is not None
        or not isinstance(user_ids, list)
        or not 0 < len(user_ids) <= MAX_USER_IDS
    ):
        raise FieldError(
            Reason.USER_IDS_MALFORMED,
            f"user_ids must be an array of 1 to {MAX_USER_IDS} ids, without a user_id beside it.",
        )
    trimmed = [each.strip() if isinstance(each, str) else each for each in user_ids]
    return list({json.dumps(each): each for each in trimmed}.values())


def _misspelt(fields: Fields, *, is_event: bool) -> FieldError | None:
    # An event may name the user in any field; UserIdPath says in which.
    names = {_plain(name): name for name in (_OPTIONAL_FIELDS if is_event else _FIELDS)}
    right = [names[_plain(each)] for each in fields if names.get(_plain(each), each) != each]
    if right:
        detail = f"Fields are misspelt; write {', '.join(dict.fromkeys(right))}."
        return FieldError(Reason.FIELD_MISSPELT, detail)
    if any(_plain(each) == "dryrun" and not _is_blank(fields[each]) for each in fields):
        detail = "dry_run is for sweeps; no request has one."
        return FieldError(Reason.DRY_RUN_NOT_SUPPORTED, detail)
    return None


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _has_unsafe_character(text: str) -> bool:
    return any(
        unicodedata.category(character) in _UNSAFE_CATEGORIES or character in _NONCHARACTERS
        for character in text
    )


def _check_id(given: Fields, name: str, reason: Reason) -> None:
    if name in given and usable_id(given[name]) is None:
        raise FieldError(
            reason,
            f"{name} must be a string of at most {MAX_ID_LENGTH} visible characters, or a whole "
            "number.",
        )


def _read_on_active_window(given: Fields) -> str:
    value: Any = given.get("on_active_window", "skip")
    if value not in ("skip", "defer"):
        detail = "on_active_window must be skip or defer."
        raise FieldError(Reason.ON_ACTIVE_WINDOW_UNKNOWN, detail)
    return str(value)


def _read_not_after(value: Any) -> float | None:
    """Read a date as the end of that day, and a time without an offset as UTC."""
    if value is None:
        return None
    try:
        text = value.strip()
        try:
            moment = datetime.combine(date.fromisoformat(text), time.max)
        except ValueError:
            moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (AttributeError, ValueError, OverflowError) as error:
        raise FieldError(
            Reason.NOT_AFTER_MALFORMED,
            "not_after must be an ISO 8601 date or time, such as 2030-06-30T18:00:00Z.",
        ) from error
