"""A repository that a test makes for itself."""

import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(
        ["git", *identity, *arguments],  # noqa: S607  # whichever there is
        cwd=folder,
        check=True,
        capture_output=True,
    )
