"""What AWS makes of the switch for tracing, as the transform that it uses expands the template."""

from typing import Any

import pytest
from samtranslator.translator.transform import (  # type: ignore[import-untyped]  # has no types
    transform,
)
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]  # has no types

from tests.infrastructure.template import REPOSITORY, function

FUNCTIONS = ("ReinviteUserFunction", "SweepInvitationsFunction")
POLICY = "AWSXrayWriteOnlyAccess"


class _NoPolicies:
    def load(self) -> dict[str, str]:
        return {}


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


def expanded(tracing: str) -> Any:
    template = yaml_parse((REPOSITORY / "template.yaml").read_text(encoding="utf-8"))
    for name, resource in template["Resources"].items():
        if resource["Type"].startswith("AWS::Serverless::"):
            where = "ContentUri" if "Layer" in name else "CodeUri"
            resource["Properties"][where] = "s3://bucket/key"
    template["Globals"]["Function"].pop("CodeUri")
    return transform(template, {"Tracing": tracing}, _NoPolicies())["Resources"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_off_and_allows_nothing_by_default(name: str) -> None:
    resources = expanded("Disabled")

    assert "TracingConfig" not in resources[name]["Properties"]
    assert POLICY not in str(resources[f"{name}Role"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_can_be_switched_on(name: str) -> None:
    resources = expanded("Active")

    assert resources[name]["Properties"]["TracingConfig"] == {"Mode": {"Ref": "Tracing"}}
    assert POLICY in str(resources[f"{name}Role"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_has_an_entrypoint_of_its_own(name: str) -> None:
    condition, traced, plain = function(name)["Handler"]["If"]

    assert condition == "TracingIsOn"
    assert traced == plain.replace(".app.", ".traced.")
