"""Expands template.yaml with the code of the transforms themselves.

`.venv/sam/bin/python` runs this file: samcli implements AWS::LanguageExtensions, and brings SAM's
transform along. The file reads a JSON list of deployments from stdin, each with values of
parameters and with the address of the layer's content, and prints the list of their resources.
"""

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


class _NoPolicies:
    def load(self) -> dict[str, str]:
        return {}


def main() -> None:
    # SAM's transform asks for a region.
    os.environ["AWS_DEFAULT_REGION"] = "eu-west-1"
    # Installed where this file runs, not where mypy does.
    from samcli.yamlhelper import yaml_parse  # type: ignore[import-not-found]  # noqa: PLC0415

    template = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
    deployments = json.load(sys.stdin)
    json.dump([_expand(copy.deepcopy(template), **each) for each in deployments], sys.stdout)


def _expand(template: dict[str, Any], parameters: dict[str, str], layer: str) -> Any:
    from samcli.lib.cfn_language_extensions import (  # type: ignore[import-not-found]  # noqa: PLC0415
        sam_integration,
    )
    from samtranslator.translator import (  # type: ignore[import-untyped]  # noqa: PLC0415
        transform,
    )

    # Addresses like those of what `sam deploy` uploads.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/functions"
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = layer
    values = {name: str(each["Default"]) for name, each in template["Parameters"].items()}
    resolved = sam_integration.expand_language_extensions(
        template, parameter_values=values | parameters, enabled=True
    )
    expanded = transform.transform(resolved.expanded_template, values | parameters, _NoPolicies())
    return expanded["Resources"]


if __name__ == "__main__":
    main()
