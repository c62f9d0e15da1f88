"""What the build leaves: one interpreter's bytecode, of botocore's data what is read, no tests."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

import botocore
import pytest

from tests.documents import REPOSITORY, text_of
from tests.infrastructure.test_settings import ENVIRONMENT

SERVICES = {"dynamodb", "secretsmanager", "sns", "sqs"}
# PEP 552: the interpreter's magic number, then the flags: named by a hash, and that not checked.
HASHED_AND_UNCHECKED = (1).to_bytes(4, "little")
MAGIC_BYTES = 4
# The dates in a zip that `sam deploy` makes.
ZIP_EPOCH = 315_532_800


@dataclass(frozen=True)
class Artifacts:
    functions: Path
    packages: Path

    def files(self, pattern: str) -> list[Path]:
        return [*self.functions.rglob(pattern), *self.packages.rglob(pattern)]


def make(folder: str, target: str, artifacts: Path, *, bytecode: str = sys.executable) -> str:
    artifacts.mkdir()
    variables = [f"ARTIFACTS_DIR={artifacts}", f"PYTHON={sys.executable}", f"BYTECODE={bytecode}"]
    run = subprocess.run(
        ["make", target, *variables],  # noqa: S607  # whichever make builds here
        cwd=REPOSITORY / folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """Functions and layer as a zip holds them, compiled for the interpreter that runs the tests."""
    folder = tmp_path_factory.mktemp("build")
    artifacts = Artifacts(folder / "functions", folder / "layer/python")
    make("functions", "build-Function", artifacts.functions)
    make("layers/dependencies", "build-DependenciesLayer", folder / "layer")
    for path in artifacts.files("*"):
        os.utime(path, (ZIP_EPOCH, ZIP_EPOCH))
    return artifacts


def test_every_module_has_bytecode_of_one_interpreter_for_the_place_where_it_runs(
    built: Artifacts,
) -> None:
    modules, compiled = built.files("*.py"), built.files("*.pyc")

    assert len(modules) > 100
    assert sorted(compiled) == sorted(Path(cache_from_source(str(path))) for path in modules)
    assert {path.read_bytes()[MAGIC_BYTES:][:4] for path in compiled} == {HASHED_AND_UNCHECKED}
    functions, packages = built.functions.rglob("*.pyc"), built.packages.rglob("*.pyc")
    assert all(b"/var/task/" in each.read_bytes() for each in functions)
    assert all(b"/opt/python/" in each.read_bytes() for each in packages)


def test_function_starts_from_artifacts_alone_and_reads_no_source(built: Artifacts) -> None:
    folders = (str(built.functions), str(built.packages))
    run = subprocess.run(
        [sys.executable, "-S", "-B", "-v", "-c", "import reinvite_user.app"],
        env={
            **ENVIRONMENT,
            "AWS_DEFAULT_REGION": "eu-west-1",
            "PYTHONPATH": os.pathsep.join(folders),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    read = re.findall(r"(?m)^# code object from '?(.*?)'?$", run.stderr)
    from_artifacts = [path for path in read if path.startswith(folders)]
    assert len(from_artifacts) > 100
    assert [path for path in from_artifacts if not path.endswith(".pyc")] == []


def test_bytecode_is_left_out_where_its_interpreter_is_not_at_hand(tmp_path: Path) -> None:
    printed = make("functions", "build-Function", tmp_path / "functions", bytecode="python0.0")

    assert "No python0.0 that runs: build-Function has no bytecode" in printed
    assert list(tmp_path.rglob("*.pyc")) == []
    assert list(tmp_path.rglob("app.py")) != []


def test_packages_are_pinned_by_hashes_and_come_without_tests_commands_and_idle_services(
    built: Artifacts,
) -> None:
    makefile = text_of("layers/dependencies/Makefile")
    data, whole = built.packages / "botocore/data", Path(botocore.__file__).with_name("data")

    assert "--require-hashes" in makefile
    assert built.files("tests") == []
    assert not (built.packages / "bin").exists()
    # The files between the services' folders say where each region's calls go.
    general = {path.name for path in whole.iterdir() if path.is_file()}
    assert {path.name for path in data.iterdir()} == SERVICES | general
