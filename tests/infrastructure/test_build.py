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
# Regions may open that this version of botocore does not know.
NEW_REGIONS = {"aws": ["eu-new-9"], "aws-cn": ["cn-new-9"], "aws-us-gov": ["us-gov-new-9"]}
# PEP 552: the interpreter's magic number, then the flags: named by a hash, and that not checked.
HASHED_AND_UNCHECKED = (1).to_bytes(4, "little")
MAGIC_BYTES = 4
# The dates in a zip that `sam deploy` makes.
ZIP_EPOCH = 315_532_800


# Where the call of a client of each service would go, and for which region it is signed.
ADDRESSES = """
import json
import sys
from botocore.session import Session

class Seen(Exception):
    pass

CALLS = {
    "dynamodb": ("get_item", {"TableName": "any", "Key": {"pk": {"S": "any"}}}),
    "secretsmanager": ("get_secret_value", {"SecretId": "any"}),
    "sns": ("publish", {"TopicArn": "any", "Message": "any"}),
    "sqs": ("send_message", {"QueueUrl": "any", "MessageBody": "any"}),
}
session = Session()
session.set_credentials("any", "any")
addresses = {}
for region in json.loads(sys.argv[1]):
    for service, (operation, parameters) in CALLS.items():
        client = session.create_client(service, region)
        def note(request, **_):
            scope = str(request.headers["Authorization"]).split("Credential=")[1].split("/")[2:4]
            addresses[f"{service} in {region}"] = [request.url, *scope]
            raise Seen
        client.meta.events.register("before-send", note)
        try:
            getattr(client, operation)(**parameters)
        except Seen:
            pass
print(json.dumps(addresses))
"""


@dataclass(frozen=True)
class Artifacts:
    functions: Path
    packages: Path

    def files(self, pattern: str) -> list[Path]:
        return [*self.functions.rglob(pattern), *self.packages.rglob(pattern)]


def make(folder: str, target: str, artifacts: Path, *, bytecode: str) -> str:
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
    layer = folder / "layer"
    artifacts = Artifacts(folder / "functions", layer / "python")
    make("functions", "build-Function", artifacts.functions, bytecode=sys.executable)
    make("layers/dependencies", "build-DependenciesLayer", layer, bytecode=sys.executable)
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


class TestBytecode:
    def test_is_there_for_every_module(self, built: Artifacts) -> None:
        modules = built.files("*.py")

        assert len(modules) > 100
        assert [path for path in modules if not Path(cache_from_source(str(path))).exists()] == []

    def test_is_there_for_one_interpreter_only(self, built: Artifacts) -> None:
        assert len(built.files("*.pyc")) == len(built.files("*.py"))

    def test_is_never_checked_against_its_source(self, built: Artifacts) -> None:
        flags = {path.read_bytes()[MAGIC_BYTES:][:4] for path in built.files("*.pyc")}

        assert flags == {HASHED_AND_UNCHECKED}

    def test_names_the_place_where_it_runs_and_not_where_it_was_built(
        self, built: Artifacts
    ) -> None:
        functions = [path.read_bytes() for path in built.functions.rglob("*.pyc")]
        packages = [path.read_bytes() for path in built.packages.rglob("*.pyc")]

        assert all(b"/var/task/" in each for each in functions)
        assert all(b"/opt/python/" in each for each in packages)

    def test_is_all_that_a_start_reads_when_the_dates_are_those_of_a_zip(
        self, built: Artifacts
    ) -> None:
        told = run_from(built, "import reinvite_user.app").stderr
        read = re.findall(r"(?m)^# code object from '?(.*?)'?$", told)
        from_artifacts = [
            path for path in read if path.startswith((str(built.functions), str(built.packages)))
        ]

        assert len(from_artifacts) > 100
        assert [path for path in from_artifacts if not path.endswith(".pyc")] == []

    def test_is_left_out_where_its_interpreter_is_not_at_hand(self, tmp_path: Path) -> None:
        told = make("functions", "build-Function", tmp_path / "functions", bytecode="python0.0")

        assert "No python0.0 that runs: build-Function has no bytecode" in told
        assert list(tmp_path.rglob("*.pyc")) == []
        assert list(tmp_path.rglob("app.py")) != []


class TestPackages:
    def test_are_all_that_the_functions_need(self, built: Artifacts) -> None:
        run = run_from(built, "import reinvite_user.app")

        assert run.returncode == 0, run.stderr

    def test_come_without_tests_and_commands(self, built: Artifacts) -> None:
        assert built.files("tests") == []
        assert not (built.packages / "bin").exists()


class TestSdkData:
    def test_is_that_of_the_services_in_use(self, built: Artifacts) -> None:
        folders = {path.name for path in (built.packages / "botocore/data").iterdir()}

        assert {name for name in folders if "." not in name} == SERVICES

    def test_sends_calls_where_the_whole_data_does_in_every_region(self, built: Artifacts) -> None:
        partitions = Loader().load_data("partitions")["partitions"]
        regions = [
            region
            for partition in partitions
            for region in (*partition["regions"], *NEW_REGIONS.get(partition["id"], ()))
            if not region.endswith("-global")
        ]
        trimmed = run_from(built, ADDRESSES, json.dumps(regions))
        whole = subprocess.run(
            [sys.executable, "-c", ADDRESSES, json.dumps(regions)],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=True,
        )

        assert len(regions) > 40
        assert len(json.loads(whole.stdout)) == len(regions) * len(SERVICES)
        assert json.loads(trimmed.stdout) == json.loads(whole.stdout)
