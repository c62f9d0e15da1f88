"""The documents name everything that exists, and nothing else."""

import re
from pathlib import Path

import pytest

from invitations.errors import DependencyUnavailableError
from invitations.observability import VERSION
from invitations.outcomes import Cause
from invitations.results import Reason
from tests.documents import (
    PAGES,
    REPOSITORY,
    blocks_without_language,
    commands,
    headings,
    inline_code,
    make_targets,
)

_ALARM_LINK = re.compile(r"docs/runbook\.md#([a-z-]+)")
_REASON = re.compile(
    r'(?:return|reason(?: )?=|_ended\(\w+,|DelayedError\(|else|DUE =) ?"([a-z_]+)"'
)
_TEST_PATH = re.compile(r"tests/[a-z0-9_/]+(?:\.py)?")
_PICTURES = sorted((REPOSITORY / "docs/pictures").glob("*.svg"))
# Words of README, CONTRIBUTING and decisions together.
_MOST_WORDS = 4_500


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
    of_errors = [each.cause for each in DependencyUnavailableError.__subclasses__()]
    reasons = {*map(str, Reason), *map(str, Cause), *of_errors, *_reasons_of_sweeps_and_keys()}

    assert sorted(entries) == sorted(reasons)


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


def test_tests_that_the_documents_name_exist() -> None:
    texts = [path.read_text(encoding="utf-8") for path in PAGES]
    named = {each for text in texts for each in _TEST_PATH.findall(text)}

    assert named
    assert [each for each in named if not (REPOSITORY / each).exists()] == []


def test_pictures_load_nothing_from_a_host() -> None:
    texts = [path.read_text(encoding="utf-8") for path in _PICTURES]
    shown = "".join(texts).replace("http://www.w3.org/2000/svg", "")

    assert re.findall("https?://|@import|@font-face", shown) == []


def test_entry_documents_are_short() -> None:
    paths = ("README.md", "CONTRIBUTING.md", "docs/decisions.md")
    texts = [(REPOSITORY / path).read_text(encoding="utf-8") for path in paths]

    assert sum(len(text.split()) for text in texts) <= _MOST_WORDS


def test_log_and_template_name_the_latest_version_of_the_changelog() -> None:
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    template = (REPOSITORY / "template.yaml").read_text(encoding="utf-8")

    assert re.findall(r"^## ([0-9.]+) ", changelog, re.MULTILINE)[0] == VERSION
    assert f"partoo-reinvite {VERSION}." in template


def _reasons_of_sweeps_and_keys() -> set[str]:
    """Those that are in no enumeration: texts that are returned, or given to a reason."""
    folder = REPOSITORY / "functions/invitations"
    paths = [folder / "ledger.py", folder / "key_check.py", *(folder / "sweeps").glob("*.py")]
    sources = "".join(path.read_text(encoding="utf-8") for path in paths)
    return set(_REASON.findall(sources))


def _anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
