"""The documents, and the shell commands and headings in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
DOCS = sorted([*(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "examples").rglob("*.md")])
"""The documents whose commands are run by tests, unless they are marked."""
PAGES = sorted([*REPOSITORY.glob("*.md"), *DOCS])
"""All documents."""

_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r"`([^`]+)`")
_NEEDS_AWS = "# (needs AWS)"


@dataclass(frozen=True)
class Command:
    """One line of a block of shell commands; `document` is a path of the repository."""

    document: str
    text: str

    @property
    def needs_aws(self) -> bool:
        return self.text.endswith(_NEEDS_AWS)

    @property
    def tool(self) -> str:
        return self.text.split()[0]


def commands() -> list[Command]:
    return [
        Command(str(path.relative_to(REPOSITORY)), line.strip())
        for path in DOCS
        for block in _BLOCK.finditer(path.read_text(encoding="utf-8"))
        if block["language"] == "sh"
        for line in block["text"].splitlines()
    ]


def key_policy(**names: str) -> str:
    """The policy of a KMS key in docs/security.md, with these in place of its capitals."""
    text = (REPOSITORY / "docs/security.md").read_text(encoding="utf-8")
    (policy,) = [each["text"] for each in _BLOCK.finditer(text) if each["language"] == "json"]
    return re.sub("|".join(names), lambda name: names[name[0]], policy)


def blocks_without_language() -> list[str]:
    """Blocks that do not say what they are in: shell commands could hide there."""
    return [
        block["text"]
        for path in DOCS
        for block in _BLOCK.finditer(path.read_text(encoding="utf-8"))
        if block["language"] not in ("json", "sh")
    ]


def inline_code() -> list[str]:
    """What stands between backticks in the text."""
    texts = (_BLOCK.sub("", path.read_text(encoding="utf-8")) for path in DOCS)
    return [code for text in texts for code in _INLINE.findall(text)]


def make_targets(path: Path) -> set[str]:
    """Targets of make in a document's blocks and inline code."""
    text = path.read_text(encoding="utf-8")
    lines = [line for block in _BLOCK.finditer(text) for line in block["text"].splitlines()]
    codes = [*lines, *_INLINE.findall(_BLOCK.sub("", text))]
    return {code.split()[1] for code in codes if code.strip().startswith("make ")}


def headings(document: str) -> Iterator[tuple[str, str]]:
    """Each heading of the third level, and that of the second level above it."""
    above = ""
    for line in (REPOSITORY / "docs" / document).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            above = line.removeprefix("## ")
        if line.startswith("### "):
            yield above, line.removeprefix("### ")
