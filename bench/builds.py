"""Builds both handlers as they are shipped."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from local.aws import REPOSITORY, clean_environment
from local.processes import run
from local.stack import build

PYTHON = REPOSITORY / ".venv/aws/bin/python"
"""Runs every handler here: the local AWS's interpreter, for which the build makes bytecode."""

_PACKAGES = REPOSITORY / "requirements/bench.txt"


@dataclass(frozen=True)
class Builds:
    template: Path
    handlers: dict[str, tuple[list[Path], str]]
    """Of `ours`, `sweep` and `naive`: where imports are found, and the handler's dotted name."""


def build_all(workspace: Path, logs: Path) -> Builds:
    """Build ours with `sam build`, and the naive one as `sam build` would.

    Raises ProcessFailedError, NotInstalledError.
    """
    template = build(workspace / "sam", logs=logs)
    folder, naive = template.parent, workspace / "naive"
    _build_naive(naive, logs)
    layer = folder / "DependenciesLayer/python"
    handlers = {
        "ours": ([folder / "ReinviteUserFunction", layer], "reinvite_user.app.handler"),
        "sweep": ([folder / "SweepInvitationsFunction", layer], "sweep_invitations.app.handler"),
        "naive": ([naive], "app.handler"),
    }
    return Builds(template, handlers)


def _build_naive(folder: Path, logs: Path) -> None:
    """Install packages beside the code without bytecode, as a default `sam build` does."""
    installed = folder.with_suffix(".installed")
    if not installed.exists() or installed.read_text() != _PACKAGES.read_text():
        shutil.rmtree(folder, ignore_errors=True)
        options = ["--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps"]
        packages = ["--require-hashes", "--requirement", str(_PACKAGES), "--target", str(folder)]
        run(
            [str(PYTHON), "-m", "pip", "install", *options, *packages],
            environment=clean_environment(),
            log=logs / "naive-build.log",
            directory=REPOSITORY,
        )
        installed.write_text(_PACKAGES.read_text())
    shutil.copy(REPOSITORY / "bench/naive/app.py", folder / "app.py")
