"""Templates as Python reads them, for the tests of their rules."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

REPOSITORY = Path(__file__).parents[2]
_SAM_PYTHON = REPOSITORY / ".venv/sam/bin/python"

Resources = dict[str, dict[str, Any]]


class CloudFormationLoader(yaml.SafeLoader):
    """Reads a tag like `!GetAtt A.Arn` as `{"GetAtt": "A.Arn"}`."""


def _construct(loader: CloudFormationLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    match node:
        case yaml.ScalarNode():
            return {name: loader.construct_scalar(node)}
        case yaml.SequenceNode():
            return {name: loader.construct_sequence(node, deep=True)}
    raise AssertionError(f"!{name} at {node.start_mark} has an argument that is not expected")


CloudFormationLoader.add_multi_constructor("!", _construct)


def load(path: str) -> dict[str, Any]:
    """Return the template at a path of the repository."""
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    # A SafeLoader with more tags is still one.
    template: dict[str, Any] = yaml.load(text, CloudFormationLoader)  # noqa: S506
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


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Deployment(NamedTuple):
    """Values of parameters that differ from their defaults, and the layer's content."""

    parameters: tuple[tuple[str, str], ...] = ()
    layer: str = "s3://bucket/layer"


def expanded(*, layer: str = Deployment().layer, **parameters: str) -> Resources:
    """Return the resources that AWS makes of the template."""
    (resources,) = expand([Deployment(tuple(sorted(parameters.items())), layer)])
    return resources


def expand(deployments: Sequence[Deployment]) -> list[Resources]:
    """Expand the template for each deployment with the transforms' own code."""
    return _expand(tuple(deployments))


@cache
def _expand(deployments: tuple[Deployment, ...]) -> list[Resources]:
    wanted = [{"parameters": dict(each.parameters), "layer": each.layer} for each in deployments]
    run = subprocess.run(
        [str(_SAM_PYTHON), str(Path(__file__).with_name("transforms.py"))],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    resources: list[Resources] = json.loads(run.stdout, object_hook=_short_form)
    return resources


def _short_form(node: dict[str, Any]) -> dict[str, Any]:
    """Write a function as `load` does."""
    match node:
        case {"Fn::GetAtt": [str(name), str(attribute)]} if len(node) == 1:
            return {"GetAtt": f"{name}.{attribute}"}
    return {name.removeprefix("Fn::"): each for name, each in node.items()}


def statements(name: str, **parameters: str) -> list[dict[str, Any]]:
    """Return what a function's role allows and denies, AWS's managed policies left out."""
    resources = expanded(**parameters)
    role = f"{name}Role"
    documents = [each["PolicyDocument"] for each in resources[role]["Properties"]["Policies"]]
    documents += [
        each["Properties"]["PolicyDocument"]
        for each in resources.values()
        if each["Type"] == "AWS::IAM::Policy"
        and {"Ref": role} in each["Properties"]["Roles"]
        and (each.get("Condition") != "HasKmsKey" or "KmsKeyArn" in parameters)
    ]
    return [each for document in documents for each in document["Statement"]]


def allowed(name: str, **parameters: str) -> dict[str, list[Any]]:
    """Return the resources of each action that a function's own policies allow."""
    actions: dict[str, list[Any]] = {}
    for statement in statements(name, **parameters):
        if statement["Effect"] == "Allow":
            for action in as_list(statement["Action"]):
                # The policy template's name for SendMessage and its batches.
                actions.setdefault(action.removesuffix("*"), []).extend(
                    _arn(each) for each in as_list(statement["Resource"])
                )
    return actions


def _arn(resource: Any) -> Any:
    """Return the ARN that a policy template of SAM builds from a name."""
    match resource:
        case {"Sub": [str(_), {**names}]} if len(names) == 1:
            (value,) = names.values()
            match value:
                case {"GetAtt": str(attribute)} if attribute.endswith((".QueueName", ".TopicName")):
                    return {"GetAtt": attribute.split(".")[0] + ".Arn"}
            return value
    return resource


def references(node: Any) -> set[str]:
    """Return the names that a part of a template refers to, in whatever way."""
    match node:
        case {"Ref": str(name)}:
            return {name}
        case Mapping():
            return set().union(*(references(each) for each in node.values()))
        case list():
            return set().union(*(references(each) for each in node))
    return set()
