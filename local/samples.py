"""Reads the sample events under events/."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from local.aws import REPOSITORY
from local.errors import CommandError


class Entrance(StrEnum):
    """Where a sample enters the stack; the name of its folder."""

    QUEUE = "queue"
    BUS = "bus"
    INVOKE = "invoke"


class NoSampleError(CommandError):
    """The sample does not exist."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not a file.")


class UnknownEntranceError(CommandError):
    """The folder of a sample is not an entrance."""

    def __init__(self, path: Path) -> None:
        folders = ", ".join(f"{entrance}/" for entrance in Entrance)
        super().__init__(f"{path} must be in one of the folders {folders}.")


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

    @property
    def request_id(self) -> str | None:
        """The request id in the sample; None if AWS assigns it."""
        document = self.document if isinstance(self.document, dict) else {}
        fields = document.get("detail", document)
        given = fields.get("request_id") if isinstance(fields, dict) else None
        if isinstance(given, str):
            return given
        # PutEvents assigns a new id to each event.
        return document.get("id") if self.entrance is Entrance.QUEUE else None


def read_samples(only: Path | None = None) -> list[Sample]:
    """Read all samples or one; raises NoSampleError, UnknownEntranceError."""
    if only and not only.is_file():
        raise NoSampleError(only)
    paths = [only] if only else sorted((REPOSITORY / "events").glob("*/*.json"))
    return [Sample(path, _entrance(path), path.read_text()) for path in paths]


def known_users(samples: list[Sample]) -> set[str]:
    """Return the users that the samples name, except those that the API must not know."""
    users = {user_id for sample in samples for user_id in _user_ids(sample.document)}
    return {user_id for user_id in users if not user_id.startswith("unknown-")}


def _entrance(path: Path) -> Entrance:
    try:
        return Entrance(path.resolve().parent.name)
    except ValueError:
        raise UnknownEntranceError(path) from None


def _parse(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return None


def _user_ids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        several = value.get("user_ids")
        named = [value.get("user_id"), *(several if isinstance(several, list) else [])]
        yield from (user_id for user_id in named if isinstance(user_id, str))
        yield from _user_ids(value.get("detail"))
