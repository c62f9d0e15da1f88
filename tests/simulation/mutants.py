"""Breaks the rules one by one, and shows that a test notices each fault.

`make mutants` applies each fault of `mutants.txt` to a copy of the working tree and runs the tests
there that must fail.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.e2e.clone import clone

# The simulation needs up to so many histories until one shows a fault.
_HISTORIES = "2000"
_SECONDS = 900
_AT_ONCE = 2
_FAILURE = re.compile(r"^=+ short test summary info =+\n(?:FAILED|ERROR) (.+)$", re.MULTILINE)


class Mutant(NamedTuple):
    """A fault: a text of a file, which is there once, and what stands in its place."""

    what: str
    tests: str
    file: str
    text: str
    replacement: str

    def applied(self, content: str) -> str:
        """The file's content with the fault; raises ValueError when its text is not there once."""
        found = content.count(self.text)
        if found != 1:
            raise ValueError(f"{self.file} has the text {found} times, not once: {self.text}")
        return content.replace(self.text, self.replacement)


def read_mutants() -> list[Mutant]:
    mutants = []
    what = tests = file = text = ""
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        kind, _, rest = line.partition(" ")
        match kind:
            case "==":
                tests = rest
            case "--":
                file = rest
            case "-":
                text = rest
            case "+":
                mutants.append(Mutant(what, tests, file, text, rest))
            case _:
                what = line or what
    return mutants


def first_failure(tests: Sequence[str], mutant: Mutant | None = None) -> str | None:
    """The test that fails first in a copy of the tree, or None; raises if pytest cannot run."""
    with tempfile.TemporaryDirectory() as folder:
        tree, histories = clone(Path(folder)), {}
        if mutant is not None:
            path, histories = tree / mutant.file, {"HISTORIES": _HISTORIES}
            path.write_text(mutant.applied(path.read_text(encoding="utf-8")), encoding="utf-8")
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
            cwd=tree,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"} | histories,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    if run.returncode == 0:
        return None
    failed = _FAILURE.search(run.stdout)
    if run.returncode != 1 or failed is None:
        raise RuntimeError(f"pytest {' '.join(tests)}: {run.stdout}{run.stderr}")
    return failed[1]


def main(words: Sequence[str]) -> int:
    """Try the mutants whose tests or files contain one of the words; without words, all."""
    mutants = [
        each
        for each in read_mutants()
        if not words or any(word in each.tests + each.file for word in words)
    ]
    failure = first_failure(sorted({each.tests for each in mutants}))
    if failure is not None:
        print(f"Without any fault: {failure}", file=sys.stderr)
        return 1
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        failures = threads.map(lambda each: first_failure([each.tests], each), mutants)
        noticed = []
        for mutant, test in zip(mutants, failures, strict=True):
            noticed.append(test is not None)
            print(f"{mutant.what}\n    {(test or 'NOT NOTICED')[:150]}", flush=True)
    return int(not all(noticed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
