"""The documents, the shell commands and headings in them, and the published schemas."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator, FormatChecker

REPOSITORY = Path(__file__).parents[1]
DOCS = sorted([*(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "examples").rglob("*.md")])
"""The documents whose commands are run by tests, unless they are marked."""
PAGES = sorted([*REPOSITORY.glob("*.md"), *DOCS])
"""All documents."""

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


def text_of(path: Path | str) -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


@cache
def schema(name: str) -> Draft202012Validator:
    """The validator of what is published as `request`, `result` or `sweep`."""
    document = json.loads(text_of(f"schemas/{name}-1.1.json"))
    Draft202012Validator.check_schema(document)
    return Draft202012Validator(document, format_checker=FormatChecker())


@dataclass(frozen=True)
class Command:
    """One line of a block of shell commands; `document` is a path of the repository."""

    document: str
    text: str

    @property
    def needs_aws(self) -> bool:
        return self.text.endswith("# (needs AWS)")

    @property
    def tool(self) -> str:
        return self.text.split()[0]


def blocks(path: Path | str) -> list[tuple[str, str]]:
    """The language and the text of each block of a document."""
    return [(block["language"], block["text"]) for block in _BLOCK.finditer(text_of(path))]


def commands() -> list[Command]:
    return [
        Command(str(path.relative_to(REPOSITORY)), line.strip())
        for path in DOCS
        for language, text in blocks(path)
        if language == "sh"
        for line in text.splitlines()
    ]


def inline_code(path: Path) -> list[str]:
    """What stands between backticks in the text."""
    return re.findall(r"`([^`]+)`", _BLOCK.sub("", text_of(path)))


def key_policy(**names: str) -> str:
    """The policy of a KMS key in docs/security.md, with these in place of its capitals."""
    (policy,) = [text for language, text in blocks("docs/security.md") if language == "json"]
    return re.sub("|".join(names), lambda name: names[name[0]], policy)


def headings(path: str) -> Iterator[tuple[str, str]]:
    """Each heading of the third level, and that of the second level above it."""
    above = ""
    for line in text_of(path).splitlines():
        if line.startswith("## "):
            above = line.removeprefix("## ")
        if line.startswith("### "):
            yield above, line.removeprefix("### ")
