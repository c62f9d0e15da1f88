"""The documents name everything that exists, and nothing else."""

import re
from pathlib import Path

import pytest

from invitations.errors import DependencyUnavailableError
from invitations.observability import VERSION
from invitations.outcomes import Cause
from invitations.results import Reason
from tests.documents import (
    DOCS,
    PAGES,
    REPOSITORY,
    blocks,
    commands,
    headings,
    inline_code,
    text_of,
)

# In no enumeration: texts that are returned, or given to a reason.
_OF_SWEEPS_AND_KEYS = re.compile(
    r'(?:return|reason(?: )?=|_ended\(\w+,|DelayedError\(|else|DUE =) ?"([a-z_]+)"'
)


def test_runbook_has_one_entry_for_each_alarm() -> None:
    templates = text_of("template.yaml") + text_of("monitoring.yaml")
    linked = set(re.findall(r"docs/runbook\.md#([a-z-]+)", templates))

    assert linked
    assert sorted(linked) == sorted(
        name for above, name in headings("docs/runbook.md") if above == "Alarms"
    )


def test_runbook_has_one_entry_for_each_reason_and_cause_of_the_code() -> None:
    folder = REPOSITORY / "functions/invitations"
    paths = [folder / "ledger.py", folder / "key_check.py", *(folder / "sweeps").glob("*.py")]
    of_sweeps_and_keys = _OF_SWEEPS_AND_KEYS.findall("".join(map(text_of, paths)))
    of_errors = [each.cause for each in DependencyUnavailableError.__subclasses__()]
    entries = [
        reason
        for above, heading in headings("docs/runbook.md")
        if above != "Alarms"
        for reason in re.findall(r"`([a-z_]+)`", heading)
    ]

    assert sorted(entries) == sorted({*Reason, *Cause, *of_errors, *of_sweeps_and_keys})


def test_every_command_of_the_documents_is_run_by_a_test_or_marked() -> None:
    """`tests/e2e/test_docs.py` runs those of make, `tests/e2e/test_examples.py` those of sam."""
    tools = {(each.tool, each.document.split("/")[0]) for each in commands() if not each.needs_aws}

    # Shell commands could hide in a block that does not say what it is in.
    assert {language for path in DOCS for language, _ in blocks(path)} == {"json", "sh"}
    assert tools <= {("make", "docs"), ("make", "examples"), ("sam", "examples")}
    assert [code for path in DOCS for code in inline_code(path) if code.startswith("aws ")] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_targets_of_make_tests_files_and_headings_that_a_page_names_exist(path: Path) -> None:
    text = text_of(path)
    lines = [line for _, block in blocks(path) for line in block.splitlines()]
    made = {
        code.split()[1] for code in [*lines, *inline_code(path)] if code.strip().startswith("make ")
    }
    links = re.findall(r"\]\((?!https:)([^)#]*)#?([^)]*)\)", text)

    assert made <= set(re.findall(r"^\.PHONY: (\w+)$", text_of("Makefile"), re.MULTILINE))
    tests = re.findall(r"tests/[a-z0-9_/]+(?:\.py)?", text)
    assert [each for each in tests if not (REPOSITORY / each).exists()] == []
    assert [name for name, _ in links if not (path.parent / name).exists()] == []
    assert [
        (name, heading)
        for name, heading in links
        if heading and heading not in _anchors(path.parent / name if name else path)
    ] == []


def test_log_and_template_name_the_latest_version_of_the_changelog() -> None:
    versions = re.findall(r"^## ([0-9.]+) ", text_of("CHANGELOG.md"), re.MULTILINE)

    assert versions[0] == VERSION
    assert f"partoo-reinvite {VERSION}." in text_of("template.yaml")


def _anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
