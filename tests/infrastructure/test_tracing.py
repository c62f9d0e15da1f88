"""What AWS makes of the switch for tracing, as the transform that it uses expands the template."""

import pytest

from tests.infrastructure.template import expanded, function

FUNCTIONS = ("ReinviteUserFunction", "SweepInvitationsFunction", "CheckKeyFunction")
POLICY = "AWSXrayWriteOnlyAccess"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_off_and_allows_nothing_by_default(name: str) -> None:
    resources = expanded()

    assert "TracingConfig" not in resources[name]["Properties"]
    assert POLICY not in str(resources[f"{name}Role"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_can_be_switched_on(name: str) -> None:
    resources = expanded(Tracing="Active")

    assert resources[name]["Properties"]["TracingConfig"] == {"Mode": {"Ref": "Tracing"}}
    assert POLICY in str(resources[f"{name}Role"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_has_an_entrypoint_of_its_own(name: str) -> None:
    condition, traced, plain = function(name)["Handler"]["If"]

    assert condition == "TracingIsOn"
    assert traced == plain.replace(".app.", ".traced.")
