"""Reads the sample events under events/."""

import json
from dataclasses import dataclass
from pathlib import Path

import jmespath

from invitations.messages import Message, RetryState
from invitations.requests import Order, read_message
from invitations.results import Source
from local.aws import REPOSITORY
from local.errors import CommandError

# The default of the template.
_USER_ID_PATH = jmespath.compile("detail.user_id")
# Where a sample enters the stack is the name of its folder.
_ENTRANCES = ("queue", "bus", "invoke")


@dataclass(frozen=True)
class Sample:
    """One file; its content may be malformed on purpose."""

    path: Path
    entrance: str
    text: str


def read_samples(only: Path | None = None) -> list[Sample]:
    """Read all samples or one; raises CommandError."""
    paths = [only] if only else sorted((REPOSITORY / "events").glob("*/*.json"))
    return [_read(path) for path in paths]


def users_by_request(body: str, message_id: str = "") -> dict[str, str]:
    """Return the ids of all requests in a message, as the functions read it, with their users.

    An order has a request for each of its users. An invalid request has no user.
    """
    found = read_message(Message(message_id, body, Source.SQS, RetryState(0)), _USER_ID_PATH)
    if isinstance(found, Order):
        messages = found.messages()
        return {each.request_id: str(json.loads(each.body)["user_id"]) for each in messages}
    return {found.request_id: found.user_id or ""}


def known_users(samples: list[Sample]) -> set[str]:
    """Return the users that the samples name, except those that the API must not know."""
    users = {user for sample in samples for user in users_by_request(sample.text).values()}
    return {user for user in users - {""} if not user.startswith("unknown-")}


def _read(path: Path) -> Sample:
    entrance = path.resolve().parent.name
    if entrance not in _ENTRANCES:
        folders = ", ".join(f"{each}/" for each in _ENTRANCES)
        raise CommandError(
            f"{path} must be in a folder that says how to send it: {folders} as in events/."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
        # On the queue, text that is no JSON gets an `invalid` result.
        if entrance != "queue":
            json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise CommandError(f"{path} cannot be read as JSON in UTF-8: {error}.") from error
    return Sample(path, entrance, text)
