"""What the build leaves: one interpreter's bytecode, of botocore's data what is read, no tests."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from botocore.loaders import Loader

from tests.infrastructure.test_settings import ENVIRONMENT

REPOSITORY = Path(__file__).parents[2]
SERVICES = {"dynamodb", "secretsmanager", "sns", "sqs"}
# PEP 552: the interpreter's magic number, then the flags: named by a hash, and that not checked.
HASHED_AND_UNCHECKED = (1).to_bytes(4, "little")
MAGIC_BYTES = 4
# The dates in a zip that `sam deploy` makes.
ZIP_EPOCH = 315_532_800


# Where the calls of a client of each service go, in each region.
ADDRESSES = """
import json
import sys
from botocore.session import Session

session = Session()
session.set_credentials("any", "any")
regions, services = json.loads(sys.argv[1])
clients = [session.create_client(each, region) for region in regions for each in services]
print(json.dumps([each.meta.endpoint_url for each in clients]))
"""


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


def run_from(built: Artifacts, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a program that finds the artifacts and the standard library, and nothing else."""
    return subprocess.run(
        [sys.executable, "-S", "-B", "-v", "-c", program, *arguments],
        env={
            **ENVIRONMENT,
            "AWS_DEFAULT_REGION": "eu-west-1",
            "PYTHONPATH": os.pathsep.join([str(built.functions), str(built.packages)]),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_module_has_bytecode_of_one_interpreter_that_is_never_checked_against_its_source(
    built: Artifacts,
) -> None:
    modules, compiled = built.files("*.py"), built.files("*.pyc")

    assert len(modules) > 100
    assert sorted(compiled) == sorted(Path(cache_from_source(str(path))) for path in modules)
    assert {path.read_bytes()[MAGIC_BYTES:][:4] for path in compiled} == {HASHED_AND_UNCHECKED}


def test_bytecode_names_the_place_where_it_runs(built: Artifacts) -> None:
    functions, packages = built.functions.rglob("*.pyc"), built.packages.rglob("*.pyc")

    assert all(b"/var/task/" in each.read_bytes() for each in functions)
    assert all(b"/opt/python/" in each.read_bytes() for each in packages)


def test_function_starts_from_artifacts_alone_and_reads_no_source(built: Artifacts) -> None:
    run = run_from(built, "import reinvite_user.app")

    assert run.returncode == 0, run.stderr
    folders = (str(built.functions), str(built.packages))
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
    makefile = (REPOSITORY / "layers/dependencies/Makefile").read_text(encoding="utf-8")
    folders = {path.name for path in (built.packages / "botocore/data").iterdir()}

    assert "--require-hashes" in makefile
    assert built.files("tests") == []
    assert not (built.packages / "bin").exists()
    assert {name for name in folders if "." not in name} == SERVICES


def test_sdk_sends_calls_where_the_whole_data_does_in_every_region(built: Artifacts) -> None:
    partitions = Loader().load_data("partitions")["partitions"]
    # Regions may open that this version of botocore does not know.
    regions = [each for partition in partitions for each in partition["regions"]] + ["eu-new-9"]
    arguments = json.dumps([regions, sorted(SERVICES)])
    trimmed = run_from(built, ADDRESSES, arguments)
    whole = subprocess.run(
        [sys.executable, "-c", ADDRESSES, arguments], capture_output=True, text=True, check=True
    )

    assert len(json.loads(whole.stdout)) > 40 * len(SERVICES)
    assert trimmed.stdout == whole.stdout, trimmed.stderr
