"""The template as Python reads it, for the tests of its rules."""

from pathlib import Path
from typing import Any

import yaml

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


def _load_template() -> dict[str, Any]:
    text = (REPOSITORY / "template.yaml").read_text(encoding="utf-8")
    # A SafeLoader with more tags is still one.
    template: dict[str, Any] = yaml.load(text, CloudFormationLoader)  # noqa: S506
    return template


TEMPLATE = _load_template()
PARAMETERS = TEMPLATE["Parameters"]
RESOURCES = TEMPLATE["Resources"]


def function(name: str) -> dict[str, Any]:
    """A function's properties, those for all functions included."""
    own, shared = RESOURCES[name]["Properties"], TEMPLATE["Globals"]["Function"]
    variables = shared["Environment"]["Variables"] | own["Environment"]["Variables"]
    return {**shared, **own, "Environment": {"Variables": variables}}


def resources_of_type(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in RESOURCES.items()
        if resource["Type"] == kind
    }


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
