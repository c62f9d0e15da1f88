"""Templates as Python reads them, for the tests of their rules."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from samtranslator.translator.transform import (  # type: ignore[import-untyped]  # has no types
    transform,
)
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]  # has no types

REPOSITORY = Path(__file__).parents[2]


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
    """The template at a path of the repository."""
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    # A SafeLoader with more tags is still one.
    template: dict[str, Any] = yaml.load(text, CloudFormationLoader)  # noqa: S506
    return template


TEMPLATE = load("template.yaml")
PARAMETERS = TEMPLATE["Parameters"]
RESOURCES = TEMPLATE["Resources"]


def function(name: str) -> dict[str, Any]:
    """A function's properties, those for all functions included."""
    own, shared = RESOURCES[name]["Properties"], TEMPLATE["Globals"]["Function"]
    variables = shared["Environment"]["Variables"] | own.get("Environment", {}).get("Variables", {})
    return {**shared, **own, "Environment": {"Variables": variables}}


def resources_of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in RESOURCES.items()
        if resource["Type"] == kind
    }


def statements(name: str) -> list[dict[str, Any]]:
    """What a function's role allows, whatever the parameters are."""
    own = [each for policy in function(name)["Policies"] for each in policy["Statement"]]
    return [each for each in own if "If" not in each]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def expanded(
    *, values_put_in: bool = False, layer: str = "s3://bucket/layer", **parameters: str
) -> dict[str, dict[str, Any]]:
    """The resources that SAM's transform makes of the template, as AWS calls it.

    With `values_put_in`, after AWS::LanguageExtensions has put the parameters' values in.
    """
    template = yaml_parse((REPOSITORY / "template.yaml").read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/functions"
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = layer
    template["Globals"]["Function"].pop("CodeUri")
    template["Transform"] = "AWS::Serverless-2016-10-31"
    if values_put_in:
        defaults = {name: each.get("Default") for name, each in PARAMETERS.items()}
        template["Globals"] = _with_values(template["Globals"], defaults | parameters)
        template["Resources"] = _with_values(template["Resources"], defaults | parameters)
    resources: dict[str, dict[str, Any]] = transform(template, parameters, _NoPolicies())[
        "Resources"
    ]
    return resources


def _with_values(node: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        if node.keys() == {"Ref"} and node["Ref"] in values:
            return str(values[node["Ref"]])
        return {key: _with_values(each, values) for key, each in node.items()}
    return [_with_values(each, values) for each in node] if isinstance(node, list) else node


class _NoPolicies:
    def load(self) -> dict[str, str]:
        return {}
