"""A clone of the work tree as it stands, whether it is committed or not."""

import os
import shutil
import subprocess
from pathlib import Path

from local.aws import REPOSITORY


def clone(folder: Path) -> Path:
    """Copy what git would have in a clone; the installed tools are shared."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    target = folder / "partoo-reinvite"
    for name in filter(None, listed.split("\0")):
        if not os.path.lexists(REPOSITORY / name):
            # Deleted, and not yet committed.
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target / name, follow_symlinks=False)
    (target / ".venv").symlink_to(REPOSITORY / ".venv")
    return target
