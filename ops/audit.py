"""`make audit`: look up known vulnerabilities of the pinned packages."""

import json
import subprocess
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any

from local.aws import REPOSITORY
from local.errors import NotInstalledError
from local.rows import plain_console

_PIP_AUDIT = REPOSITORY / ".venv/audit/bin/pip-audit"
_REQUIREMENTS = REPOSITORY / "requirements"


class Finding(IntEnum):
    """The command's exit codes, the worst last."""

    NOTHING_KNOWN = 0
    VULNERABLE = 1
    NOT_AUDITED = 2


def main() -> int:
    """Audit all files `requirements/*.txt`."""
    return audit(sorted(_REQUIREMENTS.glob("*.txt")), _PIP_AUDIT)


def audit(files: Iterable[Path], tool: Path) -> Finding:
    """Look up the advisories for every pin, print them, and return the worst finding.

    A pin without an answer is worse than a known vulnerability. Raises NotInstalledError.
    """
    if not tool.exists():
        raise NotInstalledError(tool)
    console = plain_console()
    worst = Finding.NOTHING_KNOWN
    for file in files:
        finding, lines = _ask(file, tool)
        worst = max(worst, finding)
        console.print("\n".join([f"{file.name}: {lines[0]}", *(f"  {line}" for line in lines[1:])]))
    if worst is Finding.NOT_AUDITED:
        console.print("Some pins were not audited: try again where the advisories can be reached.")
    return worst


def _ask(file: Path, tool: Path) -> tuple[Finding, list[str]]:
    # One file at a time, because pins differ between files. The pins are complete, so pip has
    # nothing to resolve.
    options = ("--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json")
    process = subprocess.run(
        [str(tool), *options, "--requirement", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        pins: list[dict[str, Any]] = json.loads(process.stdout)["dependencies"]
    except ValueError:
        # The last line of a traceback is the error.
        why = (process.stderr.splitlines() or ["pip-audit printed nothing"])[-1]
        return Finding.NOT_AUDITED, [f"not audited: {why}"]
    vulnerable = [
        f"{pin['name']} {pin['version']}: {each['id']}, fixed in {_versions(each)}"
        for pin in pins
        for each in pin.get("vulns", [])
    ]
    unknown = [pin["skip_reason"] for pin in pins if "skip_reason" in pin]
    audited = f"{len(pins) - len(unknown)} of {len(pins)} pins audited"
    lines = [f"{audited}, {len(vulnerable)} known vulnerabilities", *vulnerable]
    if unknown:
        return Finding.NOT_AUDITED, [*lines, f"for example: {unknown[0]}"]
    return Finding(bool(vulnerable)), lines


def _versions(vulnerability: dict[str, Any]) -> str:
    return ", ".join(vulnerability["fix_versions"]) or "no version yet"
