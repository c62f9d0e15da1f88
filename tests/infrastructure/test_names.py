"""Names that AWS keeps for itself are not used, and what is deployed says whose it is."""

import re

import pytest

from tests.infrastructure.template import (
    PARAMETERS,
    RESOURCES,
    TEMPLATE,
    function,
    resources_of_type,
)
from tests.infrastructure.test_template import SAMCONFIG

# AWS Lambda Developer Guide, "Defined runtime environment variables": those that cannot be set.
RESERVED_VARIABLES = {
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_MAX_CONCURRENCY",
    "AWS_LAMBDA_METADATA_API",
    "AWS_LAMBDA_METADATA_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
}
# Theirs too, but can be set: what starts the function would look elsewhere.
OF_THE_RUNTIME = {"LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TZ"}


@pytest.mark.parametrize("name", resources_of_type("AWS::Serverless::Function"))
def test_a_function_is_given_no_variable_that_is_lambdas_own(name: str) -> None:
    variables = function(name)["Environment"]["Variables"]

    assert not variables.keys() & (RESERVED_VARIABLES | OF_THE_RUNTIME)
    # What Lambda takes for a name at all.
    assert [each for each in variables if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]+", each)] == []


def test_what_the_template_names_is_none_of_awss_names() -> None:
    """CloudWatch Logs keeps `aws/` for itself, not `/aws/`; everything else keeps `aws`."""
    groups = resources_of_type("AWS::Logs::LogGroup").values()
    names = [*RESOURCES, *PARAMETERS, *TEMPLATE["Outputs"], *TEMPLATE["Conditions"]]

    assert [each for each in names if each.lower().startswith("aws")] == []
    assert all(each["LogGroupName"]["Sub"].startswith("/aws/lambda/") for each in groups)
    assert all(
        not SAMCONFIG[each]["deploy"]["parameters"]["stack_name"].startswith("aws")
        for each in ("sandbox", "production")
    )


def test_no_resource_overrides_the_tags_of_its_stack() -> None:
    """CloudFormation hands a stack's tags on to all that can have some."""
    tagged = {name for name, each in RESOURCES.items() if "Tags" in each.get("Properties", {})}

    assert tagged == set()
    assert "Tags" not in TEMPLATE["Globals"]["Function"]


@pytest.mark.parametrize("environment", ["sandbox", "production"])
def test_a_deployment_is_tagged_with_what_and_where_it_is(environment: str) -> None:
    tags = SAMCONFIG[environment]["deploy"]["parameters"]["tags"]

    assert tags == ["application=partoo-reinvite", f"environment={environment}"]
