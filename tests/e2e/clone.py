"""Copies the working tree, uncommitted files included."""

import os
import shutil
import subprocess
from pathlib import Path

from local.aws import REPOSITORY


def clone(folder: Path) -> Path:
    """Copy all files that git does not ignore; the copy shares the installed tools."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    target = folder / "a path/partoo-reinvite"
    for name in filter(None, listed.split("\0")):
        if not os.path.lexists(REPOSITORY / name):
            # Deleted without a commit.
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target / name, follow_symlinks=False)
    (target / ".venv").symlink_to(REPOSITORY / ".venv")
    return target
