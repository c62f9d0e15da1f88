"""What comes in: any shape of message, read as a request or an order for many users.

No AWS, no clock; times are epoch seconds. Field names, types and texts in the errors are JSON's.
"""

import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import Any

from jmespath.parser import ParsedResult

from invitations.messages import Message, RetryState
from invitations.results import Reason, derived_request_id
from invitations.shapes import FieldError, Fields, kind_of, unwrap

MAX_ID_LENGTH = 128
MAX_USER_IDS = 1_000

_FIELDS_OF_ALL_USERS = ("on_active_window", "not_after", "correlation_id")
_OPTIONAL_FIELDS = ("request_id", *_FIELDS_OF_ALL_USERS)
_FIELDS = ("user_id", "user_ids", *_OPTIONAL_FIELDS)
# A thousand misspelt fields must not make a result that the topic refuses.
_MOST_FAULTS = 10
# Control, format (zero-width), surrogate, line separator, paragraph separator.
_UNSAFE_CATEGORIES = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# SQS refuses a message that contains one of these.
_NONCHARACTERS = "\ufffe\uffff"


class OnActiveWindow(StrEnum):
    SKIP = "skip"
    DEFER = "defer"


@dataclass(frozen=True)
class Request:
    """The wish that one user be invited again, with its message and its retry state."""

    message: Message
    state: RetryState
    user_id: str
    on_active_window: OnActiveWindow = OnActiveWindow.SKIP
    not_after: float | None = None
    correlation_id: str | None = None

    @property
    def request_id(self) -> str:
        return self.state.request_id

    @property
    def source(self) -> str:
        return self.state.source

    def is_over(self, now: float) -> bool:
        """Return whether `not_after` has passed."""
        return self.not_after is not None and now > self.not_after


@dataclass(frozen=True)
class Order:
    """The wish that each of many users be invited again; `fields` apply to all of them."""

    message: Message
    order_id: str
    source: str
    user_ids: Sequence[Any]
    """Trimmed, without duplicates; each id is validated when its own request is read."""
    fields: Fields

    def requests(self) -> list[tuple[str, RetryState]]:
        """Return a body and a state for each user; the order and the user determine the id."""
        requests = []
        for user_id in self.user_ids:
            request_id = derived_request_id(self.order_id, user_id)
            state = RetryState(request_id, self.source, self.message.asked_at)
            requests.append((json.dumps({"user_id": user_id, **self.fields}), state))
        return requests


@dataclass
class InvalidRequestError(Exception):
    """The input is no request; each delivery fails in the same way."""

    reason: Reason
    detail: str
    request_id: str
    source: str
    user_id: str | None = None
    correlation_id: str | None = None


def read_message(message: Message, user_id_path: ParsedResult) -> Request | Order:
    """Read the request or the order in a message's body.

    Raises InvalidRequestError, which names every fault of the message.
    """
    content = unwrap(message)
    fields, event = content.fields, content.event
    faults = [] if content.fault is None else [content.fault]

    def read(reader: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return reader(*arguments)
        except FieldError as fault:
            faults.append(fault)
            return None

    is_order = event is None and "user_ids" in fields
    user_id: Any = None
    user_ids: Any = None
    if is_order:
        user_ids = read(_read_user_ids, fields)
    elif content.fault is None:
        user_id = read(_find_user_id, fields, event, user_id_path)
    request_id = read(_read_id, fields, "request_id", Reason.REQUEST_ID_MALFORMED)
    correlation_id = read(_read_id, fields, "correlation_id", Reason.CORRELATION_ID_MALFORMED)
    on_active_window = read(_read_on_active_window, fields.get("on_active_window"))
    not_after = read(_read_not_after, fields.get("not_after"))
    # First, because a misspelt user_id explains a missing one.
    faults = [*_misspelt(fields, is_event=event is not None), *faults]

    event_id = usable_id((event or {}).get("id"))
    request_id = request_id or message.request_id or event_id or message.message_id
    state = message.retry_state or RetryState(request_id, content.source, message.asked_at)
    if faults:
        detail = " ".join([fault.detail for fault in faults[:_MOST_FAULTS]])
        raise InvalidRequestError(
            faults[0].reason, detail, state.request_id, state.source, user_id, correlation_id
        )
    if is_order:
        fields_of_all = {each: fields[each] for each in _FIELDS_OF_ALL_USERS if each in fields}
        return Order(message, state.request_id, state.source, user_ids, fields_of_all)
    return Request(message, state, user_id, on_active_window, not_after, correlation_id)


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
    """Return the text if it is a valid request id, else None."""
    if not isinstance(value, str) or _is_blank(value) or len(value) > MAX_ID_LENGTH:
        return None
    return None if _has_unsafe_character(value) else value


def _find_user_id(fields: Fields, event: Fields | None, user_id_path: ParsedResult) -> str:
    if event is None:
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
    allowed = f"send an array of 1 to {MAX_USER_IDS} ids"
    if fields.get("user_id") is not None:
        raise FieldError(Reason.USER_IDS_MALFORMED, "Send user_id or user_ids, not both of them.")
    if not isinstance(user_ids, list):
        raise FieldError(Reason.USER_IDS_MALFORMED, f"user_ids is {kind_of(user_ids)}; {allowed}.")
    if not 0 < len(user_ids) <= MAX_USER_IDS:
        raise FieldError(Reason.USER_IDS_MALFORMED, f"user_ids has {len(user_ids)} ids; {allowed}.")
    trimmed = [each.strip() if isinstance(each, str) else each for each in user_ids]
    return list({json.dumps(each): each for each in trimmed}.values())


def _misspelt(fields: Fields, *, is_event: bool) -> list[FieldError]:
    # An event may name the user in any field; UserIdPath says in which.
    names = {_plain(name): name for name in (_OPTIONAL_FIELDS if is_event else _FIELDS)}
    faults = [
        FieldError(Reason.FIELD_MISSPELT, f'The field "{name[:50]}" must be spelt {right}.')
        for name in fields
        if (right := names.get(_plain(name), name)) != name
    ]
    if any(_plain(name) == "dryrun" and not _is_blank(fields[name]) for name in fields):
        detail = "dry_run is for sweeps; no request has one."
        faults.append(FieldError(Reason.DRY_RUN_NOT_SUPPORTED, detail))
    return faults


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _has_unsafe_character(text: str) -> bool:
    return any(
        unicodedata.category(character) in _UNSAFE_CATEGORIES or character in _NONCHARACTERS
        for character in text
    )


def _read_id(fields: Fields, name: str, reason: Reason) -> str | None:
    value = fields.get(name)
    if _is_blank(value):
        return None
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise FieldError(reason, f"{name} is {kind_of(value)}; send a string or a whole number.")
    if usable_id(text) is None:
        raise FieldError(
            reason,
            f"{name} is too long or contains an invisible character; {MAX_ID_LENGTH} visible "
            "characters are allowed.",
        )
    return text


def _read_on_active_window(value: Any) -> OnActiveWindow:
    if _is_blank(value):
        return OnActiveWindow.SKIP
    if value not in list(OnActiveWindow):
        raise FieldError(Reason.ON_ACTIVE_WINDOW_UNKNOWN, "on_active_window must be skip or defer.")
    return OnActiveWindow(value)


def _read_not_after(value: Any) -> float | None:
    """Read a date as the end of that day, and a time without an offset as UTC."""
    if _is_blank(value):
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
