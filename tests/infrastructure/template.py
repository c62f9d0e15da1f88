"""Templates as Python reads them, for the tests of their rules."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.documents import REPOSITORY, text_of

_SAM_PYTHON = REPOSITORY / ".venv/sam/bin/python"

Resources = dict[str, dict[str, Any]]


class CloudFormationLoader(yaml.SafeLoader):
    """Reads short forms of functions like `!GetAtt A.Arn` as their long forms."""


def _construct(loader: CloudFormationLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    match name, node:
        case "Ref", yaml.ScalarNode():
            return {name: node.value}
        case "GetAtt", yaml.ScalarNode():
            return {"Fn::GetAtt": node.value.split(".", 1)}
        case _, yaml.SequenceNode():
            return {f"Fn::{name}": loader.construct_sequence(node, deep=True)}
    return {f"Fn::{name}": node.value}


CloudFormationLoader.add_multi_constructor("!", _construct)


def load(path: str) -> dict[str, Any]:
    """Return the template at a path of the repository."""
    # A SafeLoader with more tags is still one.
    template: dict[str, Any] = yaml.load(text_of(path), CloudFormationLoader)  # noqa: S506
    return template


TEMPLATE = load("template.yaml")
MONITORING = load("monitoring.yaml")
PARAMETERS = TEMPLATE["Parameters"]
# Of both templates: no logical id is in both.
RESOURCES: Resources = TEMPLATE["Resources"] | MONITORING["Resources"]


def function(name: str) -> dict[str, Any]:
    """Return a function's properties, those of all functions included."""
    own, shared = RESOURCES[name]["Properties"], TEMPLATE["Globals"]["Function"]
    variables = shared["Environment"]["Variables"] | own.get("Environment", {}).get("Variables", {})
    return {**shared, **own, "Environment": {"Variables": variables}}


def resources_of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in RESOURCES.items()
        if resource["Type"] == kind
    }


FUNCTIONS = tuple(resources_of_type("AWS::Serverless::Function"))


def arn(name: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [name, "Arn"]}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Deployment(NamedTuple):
    """Values of parameters that differ from their defaults, and the layer's content."""

    parameters: tuple[tuple[str, str], ...] = ()
    layer: str = "s3://bucket/layer"


KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRET_ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:mine-AbCdEf"
DEFAULTS = Deployment()
EVERYTHING_ON = Deployment(
    (
        ("ApiKeySecretArn", SECRET_ARN),
        ("KmsKeyArn", KEY_ARN),
        ("Tracing", "Active"),
        ("GradualDeployment", "true"),
        ("DeletionProtection", "true"),
    )
)


def expanded(deployment: Deployment = DEFAULTS) -> Resources:
    """Return the resources that AWS makes of the template, for one of these two."""
    deployments = (DEFAULTS, EVERYTHING_ON)
    return expand(deployments)[deployments.index(deployment)]


@cache
def expand(deployments: Sequence[Deployment]) -> list[Resources]:
    """Expand the template for each deployment with the transforms' own code."""
    wanted = [{"parameters": dict(each.parameters), "layer": each.layer} for each in deployments]
    run = subprocess.run(
        [str(_SAM_PYTHON), str(Path(__file__).with_name("transforms.py"))],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    resources: list[Resources] = json.loads(run.stdout)
    return resources


def statements(name: str, deployment: Deployment = DEFAULTS) -> list[dict[str, Any]]:
    """Return what a function's role allows and denies, AWS's managed policies left out."""
    resources = expanded(deployment)
    role = f"{name}Role"
    documents = [each["PolicyDocument"] for each in resources[role]["Properties"]["Policies"]]
    documents += [
        each["Properties"]["PolicyDocument"]
        for each in resources.values()
        if each["Type"] == "AWS::IAM::Policy"
        and {"Ref": role} in each["Properties"]["Roles"]
        and (each.get("Condition") != "HasKmsKey" or deployment == EVERYTHING_ON)
    ]
    return [each for document in documents for each in document["Statement"]]


def references(node: Any) -> set[str]:
    """Return the names that a part of a template refers to by `Ref` and `GetAtt`."""
    match node:
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
            return {name}
        case Mapping():
            return set().union(*(references(each) for each in node.values()))
        case list():
            return set().union(*(references(each) for each in node))
    return set()
