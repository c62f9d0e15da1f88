"""Reads the sample events under events/."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import jmespath

from invitations.messages import Message
from invitations.requests import InvalidRequestError, Order, Request, read_message
from invitations.results import Source
from local.aws import REPOSITORY
from local.errors import CommandError

# The default of the template.
_USER_ID_PATH = jmespath.compile("detail.user_id")


class Entrance(StrEnum):
    """Where a sample enters the stack; the name of its folder."""

    QUEUE = "queue"
    BUS = "bus"
    INVOKE = "invoke"


@dataclass(frozen=True)
class Sample:
    """One file; its content may be malformed on purpose."""

    path: Path
    entrance: Entrance
    text: str

    @property
    def document(self) -> Any:
        """The parsed text, without an SNS notification around it; None if it is malformed."""
        document = _parse(self.text)
        if isinstance(document, dict) and document.get("Type") == "Notification":
            return _parse(document.get("Message"))
        return document


def read_body(body: str, message_id: str) -> Request | Order | InvalidRequestError:
    """Read a message of the request queue as the functions do."""
    message = Message(message_id, body, Source.SQS, sent_at=0, received_at=0)
    try:
        return read_message(message, _USER_ID_PATH)
    except InvalidRequestError as error:
        return error


def request_ids(body: str, message_id: str) -> list[str]:
    """Return the ids of all requests in a message: an order has one for each of its users."""
    found = read_body(body, message_id)
    if isinstance(found, Order):
        return [state.request_id for _, state in found.requests()]
    return [found.request_id]


def read_samples(only: Path | None = None) -> list[Sample]:
    """Read all samples or one; raises CommandError."""
    paths = [only] if only else sorted((REPOSITORY / "events").glob("*/*.json"))
    return [_read(path) for path in paths]


def known_users(samples: list[Sample]) -> set[str]:
    """Return the users that the samples name, except those that the API must not know."""
    users = {user_id for sample in samples for user_id in _user_ids(sample.document)}
    return {user_id for user_id in users if not user_id.startswith("unknown-")}


def _read(path: Path) -> Sample:
    folder = path.resolve().parent.name
    if folder not in list(Entrance):
        folders = ", ".join(f"{entrance}/" for entrance in Entrance)
        raise CommandError(
            f"{path} must be in a folder that says how to send it: {folders} as in events/."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeError as error:
        raise CommandError(f"{path} is not UTF-8 text: save it as UTF-8.") from error
    if not text.strip():
        raise CommandError(f"{path} is empty.")
    sample = Sample(path, Entrance(folder), text)
    # On the queue, text that is no JSON gets an `invalid` result.
    if sample.entrance is not Entrance.QUEUE and sample.document is None:
        raise CommandError(f"{path} is not JSON.")
    return sample


def _parse(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None


def _user_ids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        several = value.get("user_ids")
        named = [value.get("user_id"), *(several if isinstance(several, list) else [])]
        yield from (user_id.strip() for user_id in named if isinstance(user_id, str))
        yield from _user_ids(value.get("detail"))
