"""What AWS makes of the switch for tracing, by the transforms' own code."""

import pytest

from tests.infrastructure.template import FUNCTIONS, expanded, function

POLICY = "AWSXrayWriteOnlyAccess"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tracing_is_off_and_allows_nothing_by_default(name: str) -> None:
    resources = expanded()

    assert "TracingConfig" not in resources[name]["Properties"]
    assert POLICY not in str(resources[f"{name}Role"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tracing_can_be_switched_on(name: str) -> None:
    resources = expanded(Tracing="Active")

    mode = resources[name]["Properties"]["TracingConfig"]["Mode"]
    assert mode in ("Active", {"Ref": "Tracing"})
    assert POLICY in str(resources[f"{name}Role"])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_knows_whether_it_is_traced(name: str) -> None:
    assert function(name)["Environment"]["Variables"]["TRACING"] == {"Ref": "Tracing"}
