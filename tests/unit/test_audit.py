"""An audit distinguishes known vulnerabilities from pins without an answer."""

import json
import sys
from pathlib import Path

import pytest

from local.errors import NotInstalledError
from ops.audit import Finding, audit

CLEAN = {"name": "clean", "version": "1.0", "vulns": []}
VULNERABLE = {
    "name": "holed",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}],
}
UNKNOWN = {"name": "unheard", "skip_reason": "Dependency not found: unheard (1.0)"}


@pytest.mark.parametrize(
    ("pins", "finding", "printed"),
    [
        ([CLEAN], Finding.NOTHING_KNOWN, "1 of 1 pins audited, 0 known vulnerabilities"),
        ([CLEAN, VULNERABLE], Finding.VULNERABLE, "holed 1.0: PYSEC-1, fixed in 1.1, 2.0"),
        (
            [CLEAN, UNKNOWN],
            Finding.NOT_AUDITED,
            "1 of 2 pins audited, 0 known vulnerabilities\n  for example: Dependency",
        ),
        ([VULNERABLE, UNKNOWN], Finding.NOT_AUDITED, "1 of 2 pins audited, 1 known"),
    ],
)
def test_prints_the_findings_for_the_pins(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    pins: list[object],
    finding: Finding,
    printed: str,
) -> None:
    answer = json.dumps({"dependencies": pins, "fixes": []})

    assert audit([Path("some.txt")], _tool(tmp_path, f"print({answer!r})")) is finding
    assert printed in capsys.readouterr().out


def test_prints_the_error_without_an_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = _tool(tmp_path, "sys.exit('Traceback\\nConnectionError: nobody there')")

    assert audit([Path("some.txt")], tool) is Finding.NOT_AUDITED
    printed = capsys.readouterr().out
    assert "some.txt: not audited: ConnectionError: nobody there\n" in printed
    assert "Some pins were not audited" in printed


def test_returns_the_worst_finding_of_all_files(tmp_path: Path) -> None:
    answers = {
        "good.txt": {"dependencies": [CLEAN]},
        "bad.txt": {"dependencies": [VULNERABLE]},
    }
    tool = _tool(tmp_path, f"print(json.dumps({answers!r}[sys.argv[-1]]))")

    assert audit([Path("bad.txt"), Path("good.txt")], tool) is Finding.VULNERABLE


def test_missing_tool_raises(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError):
        audit([], tmp_path / "pip-audit")


def _tool(folder: Path, program: str) -> Path:
    """Write a program that replaces pip-audit."""
    tool = folder / "pip-audit"
    tool.write_text(f"#!{sys.executable}\nimport json, sys\n{program}\n", encoding="utf-8")
    tool.chmod(0o755)
    return tool
