"""An audit tells what is known from what could not be asked."""

import json
import sys
from pathlib import Path

import pytest

from local.audit import Finding, audit
from local.errors import NotInstalledError

CLEAN = {"name": "clean", "version": "1.0", "vulns": []}
VULNERABLE = {
    "name": "holed",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}],
}
UNKNOWN = {"name": "unheard", "skip_reason": "Dependency not found: unheard (1.0)"}


@pytest.mark.parametrize(
    ("pins", "finding", "told"),
    [
        ([CLEAN], Finding.NOTHING_KNOWN, "1 of 1 pins audited, 0 known vulnerabilities"),
        ([CLEAN, VULNERABLE], Finding.VULNERABLE, "holed 1.0: PYSEC-1, fixed in 1.1, 2.0"),
        (
            [CLEAN, UNKNOWN],
            Finding.NOT_AUDITED,
            "1 of 2 pins audited, 0 known vulnerabilities\n  for example: Dependency",
        ),
        ([VULNERABLE, UNKNOWN], Finding.NOT_AUDITED, "holed 1.0: PYSEC-1"),
    ],
)
def test_says_what_is_known_of_the_pins(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    pins: list[object],
    finding: Finding,
    told: str,
) -> None:
    answer = json.dumps({"dependencies": pins, "fixes": []})

    assert audit([Path("some.txt")], _tool(tmp_path, f"print({answer!r})")) is finding
    assert told in capsys.readouterr().out


def test_says_why_when_nobody_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tool = _tool(tmp_path, "sys.exit('Traceback\\nConnectionError: nobody there')")

    assert audit([Path("some.txt")], tool) is Finding.NOT_AUDITED
    told = capsys.readouterr().out
    assert "some.txt: not audited: ConnectionError: nobody there\n" in told
    assert "Not audited, or not all of it" in told


def test_asks_about_each_file_and_tells_the_worst(tmp_path: Path) -> None:
    answers = {
        "good.txt": {"dependencies": [CLEAN]},
        "bad.txt": {"dependencies": [VULNERABLE]},
    }
    tool = _tool(tmp_path, f"print(json.dumps({answers!r}[sys.argv[-1]]))")

    assert audit([Path("bad.txt"), Path("good.txt")], tool) is Finding.VULNERABLE


def test_says_when_the_tool_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError):
        audit([], tmp_path / "pip-audit")


def _tool(folder: Path, program: str) -> Path:
    """Something that answers in pip-audit's place."""
    tool = folder / "pip-audit"
    tool.write_text(f"#!{sys.executable}\nimport json, sys\n{program}\n", encoding="utf-8")
    tool.chmod(0o755)
    return tool
