"""The sample events under events/: what each sends, and which request it is."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from local.aws import REPOSITORY
from local.errors import LocalStackError


class Entrance(StrEnum):
    """The folder that a sample lies in says where it enters the stack."""

    QUEUE = "queue"
    BUS = "bus"
    INVOKE = "invoke"


class NoSampleError(LocalStackError):
    """The sample that was asked for does not exist."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is not a file.")


class UnknownEntranceError(LocalStackError):
    """A sample lies in a folder that names no entrance."""

    def __init__(self, path: Path) -> None:
        folders = ", ".join(f"{entrance}/" for entrance in Entrance)
        super().__init__(f"{path} must lie in one of {folders} to say where it enters the stack.")


@dataclass(frozen=True)
class Sample:
    """One file; what is in it may be broken on purpose."""

    path: Path
    entrance: Entrance
    text: str

    @property
    def document(self) -> Any:
        """The parsed text, unwrapped when it is an SNS notification; None when it is broken."""
        document = _parse(self.text)
        if isinstance(document, dict) and document.get("Type") == "Notification":
            return _parse(document.get("Message"))
        return document

    @property
    def request_id(self) -> str | None:
        """The id that the request brings along; None when AWS gives it one."""
        document = self.document if isinstance(self.document, dict) else {}
        fields = document.get("detail", document)
        given = fields.get("request_id") if isinstance(fields, dict) else None
        if isinstance(given, str):
            return given
        # PutEvents gives every event a new id, the queue takes it as it is.
        return document.get("id") if self.entrance is Entrance.QUEUE else None


def read_samples(only: Path | None = None) -> list[Sample]:
    """Return all samples, or one; raises NoSampleError, UnknownEntranceError."""
    if only and not only.is_file():
        raise NoSampleError(only)
    paths = [only] if only else sorted((REPOSITORY / "events").glob("*/*.json"))
    return [Sample(path, _entrance(path), path.read_text()) for path in paths]


def known_users(samples: list[Sample]) -> set[str]:
    """Return the users whom the samples name, except those that are to be unknown to the API."""
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
