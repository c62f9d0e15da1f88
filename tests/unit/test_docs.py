"""The documents say all that there is to say, and name nothing that there is not."""

import re
from pathlib import Path

import pytest

from tests.documents import (
    DOCS,
    REPOSITORY,
    blocks_without_language,
    commands,
    headings,
    inline_code,
)
from tests.reasons import reasons_in, reasons_of_the_functions

ALARMS = [
    "dead-letters",
    "sweep-dead-letters",
    "key-refused",
    "key-expiring",
    "breaker-open",
    "backlog-old",
    "function-errors",
    "messages-returned",
    "function-throttles",
    "sweep-failed",
    "sweep-overdue",
    "secret-not-readable",
]

NEVER_TOLD = {
    # Whatever is wrong with the notes is told as malformed_progress.
    "life_id_malformed",
    # Of the base class; each error that is raised has its own.
    "dependency_unavailable",
}

SOURCE = """
REFUSALS = {400: "from_a_table"}

class Verdict:
    email: str
    reason: str

class PutOffError(Exception):
    def __init__(self, cause: str, wait: float) -> None: ...

class Unavailable(Exception):
    cause = "of_a_class"

def judge(code):
    reason = REFUSALS.get(code, "else_of_a_table")
    status, reason = "not_this", "of_a_pair"
    return Verdict("not_that", "by_position")

def identifier(name):
    raise PutOffError(f"{name}_malformed", 1)

def why() -> str | None:
    return known() or "returned"

def put_off():
    identifier("some_id")
    raise PutOffError(cause="by_name" if 1 else "or_else", wait=1)
"""


def test_the_runbook_has_an_entry_for_each_alarm() -> None:
    assert [name for above, name in headings("runbook.md") if above == "Alarms"] == ALARMS


def test_the_runbook_has_one_entry_for_each_reason_in_the_code() -> None:
    entries = [
        reason
        for above, heading in headings("runbook.md")
        if above != "Alarms"
        for reason in re.findall(r"`([a-z_]+)`", heading)
    ]

    assert sorted(entries) == sorted(reasons_of_the_functions() - NEVER_TOLD)


def test_a_reason_is_found_wherever_the_code_may_give_one() -> None:
    assert reasons_in([SOURCE]) == {
        "from_a_table",
        "else_of_a_table",
        "of_a_pair",
        "by_position",
        "of_a_class",
        "some_id_malformed",
        "returned",
        "by_name",
        "or_else",
    }


def test_every_shell_command_is_run_by_a_test_or_marked() -> None:
    """`tests/e2e/test_docs.py` runs those of make, `test_examples.py` those of sam."""
    assert blocks_without_language() == []
    assert {each.tool for each in commands() if not each.needs_aws} == {"make", "sam"}
    sam = {each.document for each in commands() if each.tool == "sam"}
    assert [path for path in sam if not path.startswith("examples/")] == []


def test_what_is_mentioned_of_make_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\.PHONY: (\w+)$", makefile, re.MULTILINE))
    mentioned = [code for code in inline_code() if code.startswith("make ")]

    assert mentioned
    assert {code.split()[1] for code in mentioned} <= targets
    assert [code for code in inline_code() if code.startswith("aws ")] == []


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_to_files_and_headings(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https:)([^)#]*)#?([^)]*)\)", text)

    assert [name for name, _ in links if not (path.parent / name).exists()] == []
    assert [
        (name, heading)
        for name, heading in links
        if heading and heading not in _anchors(path.parent / name if name else path)
    ] == []


def _anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {title.lower().replace(" ", "-") for title in titles}
