"""The documents name everything that exists, and nothing else."""

import json
import re
from pathlib import Path

import pytest

from invitations.results import Reason
from tests.documents import (
    DOCS,
    PAGES,
    REPOSITORY,
    blocks_without_language,
    commands,
    headings,
    inline_code,
    make_targets,
)
from tests.reasons import reasons_in, reasons_of_the_functions

_ALARM_LINK = re.compile(r"docs/runbook\.md#([a-z-]+)")
_TEST_PATH = re.compile(r"tests/[a-z0-9_/]+(?:\.py)?")
# Words of README, CONTRIBUTING and decisions together.
_MOST_WORDS = 4_500

SOURCE = """
FINISHED = "from_a_constant"

class _DelayedError(Exception):
    cause: str

def not_due(user) -> str | None:
    if user is None:
        return "returned"
    return None

def verdict(user) -> str:
    return ("either" if user else "or_else") or FINISHED

def sentence(user) -> str | None:
    return "Not one word."

def sweep(self):
    reason = "assigned"
    status, cause = "no_reason", "of_a_pair"
    self.organisation_ended("sweep_failed", "by_position", "Why.")
    if reason:
        raise _DelayedError("of_an_error", 1)
    return Expiry(reason="by_name", status="no_reason")
"""


def test_runbook_has_one_entry_for_each_alarm() -> None:
    templates = [REPOSITORY / name for name in ("template.yaml", "monitoring.yaml")]
    linked = {
        heading
        for path in templates
        for heading in _ALARM_LINK.findall(path.read_text(encoding="utf-8"))
    }
    entries = [name for above, name in headings("runbook.md") if above == "Alarms"]

    assert linked
    assert sorted(entries) == sorted(linked)


def test_runbook_has_one_entry_for_each_reason_and_cause_of_the_code() -> None:
    entries = [
        reason
        for above, heading in headings("runbook.md")
        if above != "Alarms"
        for reason in re.findall(r"`([a-z_]+)`", heading)
    ]

    reasons = reasons_of_the_functions()
    assert {"missing": reasons - {*entries}, "stale": {*entries} - reasons} == {
        "missing": set(),
        "stale": set(),
    }
    assert len(entries) == len({*entries})


def test_schema_lists_every_reason_of_a_result() -> None:
    schema = json.loads((REPOSITORY / "schemas/result-1.1.json").read_text(encoding="utf-8"))

    assert sorted(schema["properties"]["reason"]["enum"]) == sorted(Reason)


def test_reasons_are_found_in_source_code() -> None:
    assert reasons_in([SOURCE]) == {
        "from_a_constant",
        "returned",
        "either",
        "or_else",
        "assigned",
        "of_a_pair",
        "by_position",
        "of_an_error",
        "by_name",
    }


def test_every_command_of_the_documents_is_run_by_a_test_or_marked() -> None:
    """`tests/e2e/test_docs.py` runs those of make, `tests/e2e/test_examples.py` those of sam."""
    unmarked = [each for each in commands() if not each.needs_aws]

    assert blocks_without_language() == []
    assert {each.tool for each in unmarked} == {"make", "sam"}
    assert [
        each.document
        for each in unmarked
        if each.tool == "sam" and not each.document.startswith("examples/")
    ] == []


def test_every_target_of_make_in_the_documents_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\.PHONY: (\w+)$", makefile, re.MULTILINE))
    mentioned = {(path, target) for path in PAGES for target in make_targets(path)}

    assert mentioned
    assert {(path.name, target) for path, target in mentioned if target not in targets} == set()
    assert [code for code in inline_code() if code.startswith("aws ")] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_to_files_and_headings(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https:)([^)#]*)#?([^)]*)\)", text)

    assert [name for name, _ in links if not (path.parent / name).exists()] == []
    assert [
        (name, heading)
        for name, heading in links
        if heading and heading not in _anchors(path.parent / name if name else path)
    ] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_tests_that_a_document_names_exist(path: Path) -> None:
    named = _TEST_PATH.findall(path.read_text(encoding="utf-8"))

    assert [each for each in named if not (REPOSITORY / each).exists()] == []


def test_entry_documents_are_short() -> None:
    paths = ("README.md", "CONTRIBUTING.md", "docs/decisions.md")
    texts = [(REPOSITORY / path).read_text(encoding="utf-8") for path in paths]

    assert sum(len(text.split()) for text in texts) <= _MOST_WORDS


def test_pages_are_all_documents() -> None:
    assert set(DOCS) < set(PAGES)
    assert {path.name for path in set(PAGES) - set(DOCS)} == {
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "README.md",
    }


def _anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
