"""What AWS makes of a gradual deployment, as the transform that it uses expands the template."""

from typing import Any

from tests.infrastructure.template import RESOURCES, TEMPLATE, expanded

FUNCTION = "ReinviteUserFunction"


def version(resources: dict[str, Any]) -> str:
    """The logical id of the function's version: another one is another version."""
    (name,) = [name for name, each in resources.items() if each["Type"] == "AWS::Lambda::Version"]
    return name


def test_is_off_by_default() -> None:
    resources = expanded()

    assert not [each for each in resources.values() if "CodeDeploy" in each["Type"]]
    assert "UpdatePolicy" not in resources[f"{FUNCTION}Aliaslive"]


def test_goes_back_when_the_new_version_raises_an_alarm() -> None:
    resources = expanded(GradualDeployment="true")

    deployment = resources[f"{FUNCTION}DeploymentGroup"]["Properties"]
    alarms = deployment["AlarmConfiguration"]["Alarms"]
    assert [each["Name"] for each in alarms] == [
        {"Ref": "ReinviteErrorsAlarm"},
        {"Ref": "MessagesReturnedAlarm"},
    ]
    assert "DEPLOYMENT_STOP_ON_ALARM" in deployment["AutoRollbackConfiguration"]["Events"]
    assert "Canary10Percent5Minutes" in str(deployment["DeploymentConfigName"])
    assert "CodeDeployLambdaAliasUpdate" in resources[f"{FUNCTION}Aliaslive"]["UpdatePolicy"]


def test_the_queue_and_callers_meet_the_version_that_is_live() -> None:
    resources = expanded()

    mapping = resources[f"{FUNCTION}Requests"]["Properties"]
    assert mapping["FunctionName"] == {"Ref": f"{FUNCTION}Aliaslive"}
    output = TEMPLATE["Outputs"]["ReinviteFunctionName"]["Value"]
    assert output == {"Sub": f"${{{FUNCTION}}}:live"}


def test_parameters_are_put_in_before_versions_are_compared() -> None:
    """SAM compares references, not values (aws/serverless-application-model#3820)."""
    assert TEMPLATE["Transform"] == ["AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"]
    before = expanded(values_put_in=True)
    after = expanded(values_put_in=True, RequestsPerMinute="100")

    assert version(before) == version(expanded(values_put_in=True))
    assert version(before) != version(after)


def test_new_packages_make_a_new_version() -> None:
    assert RESOURCES["DependenciesLayer"]["Properties"]["PublishLambdaVersion"] is True
    assert version(expanded()) != version(expanded(layer="s3://bucket/other"))
