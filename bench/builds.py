"""Builds both handlers as they are shipped."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.aws import REPOSITORY, clean_environment
from local.processes import run
from local.stack import build

PYTHON = REPOSITORY / ".venv/aws/bin/python"
"""Runs every handler here, as it runs the local AWS: the bytecode of our build is made for it."""

FUNCTIONS = {"ours": "ReinviteUserFunction", "sweep": "SweepInvitationsFunction"}
_LAYER = "DependenciesLayer"
_NAIVE = REPOSITORY / "bench/naive/app.py"
_NAIVE_PACKAGES = REPOSITORY / "requirements/bench.txt"


@dataclass(frozen=True)
class Artifact:
    """A built handler: what its process finds imports in, and the handler's dotted name."""

    name: str
    paths: tuple[Path, ...]
    handler: str

    @property
    def megabytes(self) -> float:
        """Its files as they lie on the disk of the function, unzipped."""
        files = [each for path in self.paths for each in path.rglob("*") if each.is_file()]
        return sum(each.stat().st_size for each in files) / 1e6

    @property
    def bytecode_files(self) -> int:
        return sum(1 for path in self.paths for _ in path.rglob("*.pyc"))


@dataclass(frozen=True)
class Builds:
    ours: Artifact
    sweep: Artifact
    naive: Artifact
    template: Path

    def function(self, name: str) -> Mapping[str, Any]:
        """The properties of one of our functions in the built template."""
        own = self.document["Resources"][FUNCTIONS[name]]["Properties"]
        shared = self.document["Globals"]["Function"]["Environment"]["Variables"]
        return {**own, "Environment": {"Variables": shared | own["Environment"]["Variables"]}}

    @property
    def parameters(self) -> Mapping[str, Any]:
        parameters: Mapping[str, Any] = self.document["Parameters"]
        return parameters

    @property
    def document(self) -> Mapping[str, Any]:
        document: Mapping[str, Any] = yaml.safe_load(self.template.read_text())
        return document


def build_both(workspace: Path, logs: Path) -> Builds:
    """Build ours with `sam build`, and the naive one as `sam build` would.

    Raises CommandFailedError, NotInstalledError.
    """
    template = build(workspace / "sam", logs=logs)
    folder = template.parent
    packages = folder / _LAYER / "python"
    ours, sweep = (
        Artifact(name, (folder / FUNCTIONS[name], packages), handler)
        for name, handler in (
            ("ours", "reinvite_user.app.handler"),
            ("sweep", "sweep_invitations.app.handler"),
        )
    )
    naive = Artifact("naive", (_build_naive(workspace / "naive", logs),), "app.handler")
    return Builds(ours, sweep, naive, template)


def _build_naive(folder: Path, logs: Path) -> Path:
    """Packages beside the code and no bytecode: what a default `sam build` makes of them."""
    state = hashlib.sha256(_NAIVE_PACKAGES.read_bytes() + PYTHON.resolve().as_posix().encode())
    marker = folder.with_suffix(".installed")
    if not marker.exists() or marker.read_text() != state.hexdigest():
        shutil.rmtree(folder, ignore_errors=True)
        run(
            [
                str(PYTHON),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-compile",
                "--no-deps",
                "--require-hashes",
                "--requirement",
                str(_NAIVE_PACKAGES),
                "--target",
                str(folder),
            ],
            environment=clean_environment(),
            log=logs / "naive-build.log",
            directory=REPOSITORY,
        )
        marker.write_text(state.hexdigest())
    shutil.copy(_NAIVE, folder / "app.py")
    return folder
